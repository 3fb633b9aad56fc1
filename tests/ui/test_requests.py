"""What never reaches a handler is answered in one sentence; and what Gradio keeps of requests stays bounded."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import platform
import random
import re
import time
from pathlib import Path

import httpx
import pytest
from gradio.routes import file_upload_statuses

from evfsam.ui import tidy
from evfsam.ui.errors import BARE
from evfsam.ui.guard import NO_EVENT, NOT_HERE, TOO_LONG, WRONG_NAME
from evfsam.ui.tidy import RECORDED_EVENTS, UNREAD_ANSWER_S, Requests, forget_files, trim
from tests.corpus.doors import call, png

TRIMS = platform.libc_ver()[0] == "glibc"
JSON = {"Content-Type": "application/json"}
ENDPOINTS = ("segment", "semantic", "parts", "compare", "track", "models")
BODIES = {
    "nothing": b"",
    "text": b"hello",
    "half of it": b'{"data": [',
    "a list": b"[1]",
    "a number": b"5",
    "null": b"null",
    "NaN": b"NaN",
    "100,000 brackets": b"[" * 100_000,
    "50,000 lists": b'{"data": [' + b"[" * 50_000 + b"]" * 50_000 + b"]}",
    "a number of 6,000 digits": b'{"data": [' + b"9" * 6_000 + b"]}",
    "no UTF-8": b'{"data": ["\xff\xfe"]}',
    "data that is an object": b'{"data": {"a": 1}}',
    "data that is text": b'{"data": "x"}',
    "data that is null": b'{"data": null}',
    "no data": b'{"x": 1}',
    "data twice, the last one null": b'{"data": [], "data": null}',
}


@pytest.fixture
def picture_data(app, image):
    path = httpx.post(f"{app.local_url}gradio_api/upload", files={"files": ("a.png", png(image))}).json()[0]
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def sentence(answer: httpx.Response) -> str:
    """The one sentence of a refusal."""
    kind = answer.headers["content-type"].split(";")[0]
    if kind == "text/event-stream":
        told = json.loads(answer.text.partition("data: ")[2])
        told = told.get("error") or told["message"]
    else:
        told = answer.json()["error"] if kind == "application/json" else answer.text
    assert told.endswith(".") and "\n" not in told and "Traceback" not in told and len(told) < 200
    return told


@pytest.mark.parametrize("route", ["call/segment", "call/v2/segment", "queue/join", "cancel", "reset"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_cannot_be_read(app, route, body):
    answer = httpx.post(f"{app.local_url}gradio_api/{route}", content=body, headers=JSON)
    assert answer.status_code == 400 and sentence(answer)


def test_a_connection_outlives_what_cannot_be_read(app):
    """A client that keeps its connection would lose its next request."""
    opened = []
    with httpx.Client(base_url=app.local_url, headers=JSON) as client:
        for refused in (b"", b'{"data": null}', b'{"data": [], "session_hash": 5}'):
            assert client.post("gradio_api/call/segment", content=refused).status_code == 400
            told = client.get("gradio_api/info", extensions={"trace": lambda name, _: opened.append(name)})
            assert told.status_code == 200
    assert not [name for name in opened if name.startswith("connection.connect")]


@pytest.mark.parametrize("path", ["/etc/passwd", "no/such.png", "a" * 3000, "%00", "..%2f..%2fetc/passwd"])
def test_a_file_that_is_not_for_visitors(app, path):
    answer = httpx.get(f"{app.local_url}gradio_api/file={path}")
    assert answer.status_code == 403 and sentence(answer) == BARE["Forbidden"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a/b", ""])
def test_a_content_type_that_is_not_json(app, kind):
    url = f"{app.local_url}gradio_api/call/segment"
    assert sentence(httpx.post(url, content='{"data": []}', headers={"Content-Type": kind}))


@pytest.mark.parametrize("value", [-1, 10**6, 10**30, 1.5, "a", None, [1], {"a": 1}])
def test_a_handler_that_is_not_there(app, value):
    body = json.dumps({"data": [], "fn_index": value, "session_hash": "s"})
    assert sentence(httpx.post(f"{app.local_url}gradio_api/queue/join", content=body, headers=JSON))


@pytest.mark.parametrize("value", ["", "a" * 101, "a" * 500_000, 5, [], {}])
def test_a_name_of_a_session_that_cannot_be_used(app, value):
    body = json.dumps({"data": [], "fn_index": 0, "session_hash": value})
    assert sentence(httpx.post(f"{app.local_url}gradio_api/queue/join", content=body, headers=JSON)) == WRONG_NAME


def test_a_body_that_is_too_long(app):
    body = json.dumps({"data": ["a" * 2_000_000]})
    assert sentence(httpx.post(f"{app.local_url}gradio_api/call/segment", content=body, headers=JSON)) == TOO_LONG


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("route", ["call/segment", "queue/join", "queue/data", "upload", "cancel", "info", "call/a/b"])
def test_another_method(app, method, route):
    answer = httpx.request(method, f"{app.local_url}gradio_api/{route}")
    assert answer.status_code == 405 and sentence(answer)


@pytest.mark.parametrize("name", [*ENDPOINTS, "v2/segment", "nothing"])
def test_the_answer_to_no_request(app, name):
    answer = httpx.get(f"{app.local_url}gradio_api/call/{name}/0123456789abcdef")
    assert answer.status_code == 404 and answer.text.startswith("event: error\n") and sentence(answer) == NO_EVENT


@pytest.mark.parametrize("query", ["?session_hash=nobody", "?session_hash=", ""])
def test_the_events_of_nobody(app, query):
    answer = httpx.get(f"{app.local_url}gradio_api/queue/data{query}")
    assert answer.status_code == 200 and sentence(answer) == NO_EVENT


def test_an_answer_is_read_once(app):
    url = f"{app.local_url}gradio_api/call/models"
    event = httpx.post(url, json={"data": []}).json()["event_id"]
    assert "event: complete" in httpx.get(f"{url}/{event}", timeout=60).text
    assert sentence(httpx.get(f"{url}/{event}", timeout=60)) == NO_EVENT


def test_a_stream_that_opens_after_its_answer_was_read_brings_the_next_one(app):
    """A page opens such a stream when an earlier one was quicker: an error would end all its questions."""
    url, session = f"{app.local_url}gradio_api/queue/", {"session_hash": "a page"}
    models = next(i for i, how in app.fns.items() if how.api_name == "models")

    def ask() -> str:
        return httpx.post(f"{url}join", json={"data": [], "fn_index": models, **session}).json()["event_id"]

    event = ask()
    with httpx.stream("GET", f"{url}data", params=session, timeout=60) as stream:
        assert event in "".join(stream.iter_text())  # it ends after its last event
    with httpx.stream("GET", f"{url}data", params=session, timeout=60) as stream:
        event = ask()
        assert any(event in line and "process_completed" in line for line in stream.iter_lines())


def test_a_session_that_reads_is_not_forgotten(app):
    requests, queue, session = Requests(app), app._queue, "a reader"
    queue.pending_messages_per_session[session] = asyncio.Queue()
    with requests.reading(session):
        requests.forget()
        assert requests.knows(session)
    for _ in range(2):
        assert requests.knows(session)
        requests.forget()
    assert not requests.knows(session)


@pytest.mark.parametrize(
    "route",
    [
        "process_recording",
        "deep_link?session_hash=x",
        "component_server",
        "dev/reload",
        "run-history/buckets",
        "vibe-code",
        "stream/a/b/1/playlist.m3u8",
        "proxy=http://127.0.0.1:9/a",
        "file=http://127.0.0.1:9/a",
        "file=https://127.0.0.1:9/a",
        "file/http://127.0.0.1:9/a",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_routes_without_a_use_are_closed(app, route, method):
    answer = httpx.request(method, f"{app.local_url}gradio_api/{route}")
    assert answer.status_code == 404 and answer.text == NOT_HERE


@pytest.mark.parametrize("route", ["nothing", "gradio_api/nothing", "a" * 30_000, "static/%2e%2e/%2e%2e/etc/passwd"])
def test_addresses_that_are_not_there(app, route):
    assert sentence(httpx.get(f"{app.local_url}{route}"))


def test_what_is_kept_of_requests_is_bounded(app, image):
    """40 requests of programs, some cancelled, some never fetched: nothing grows with their number."""
    url, queue, events, uploads = f"{app.local_url}gradio_api/", app._queue, [], []
    with httpx.Client(timeout=60) as client:
        for i in range(40):
            if i % 10 == 0:
                named, file = {"upload_id": f"u{i}"}, {"files": (f"{i}.png", png(image))}
                uploads += client.post(f"{url}upload", params=named, files=file).json()
            events.append(client.post(f"{url}call/models", json={"data": []}).json()["event_id"])
            if i % 10 == 1:
                body = {"session_hash": events[-1], "fn_index": 0, "event_id": events[-1]}
                client.post(f"{url}cancel", json=body)
            elif i % 10 != 2:
                assert "event: complete" in client.get(f"{url}call/models/{events[-1]}").text
        while queue.event_ids_to_events:
            time.sleep(0.05)
    assert not app.state_holder.session_data.keys() & set(events)
    assert len(queue.event_analytics) <= RECORDED_EVENTS and not app.app.iterators.keys() & set(events)
    assert not queue.cached_event_analytics_summary["functions"]
    requests = Requests(app)
    for _ in range(2):
        requests.forget()
    unread = [event for event in events if event in queue.pending_messages_per_session]
    assert len(unread) == len(set(events) & queue.pending_event_ids_session.keys()) <= 8  # these may still be fetched
    requests.forget(now=time.monotonic() + 2 * UNREAD_ANSWER_S)
    assert not queue.pending_messages_per_session.keys() | queue.pending_event_ids_session.keys()
    assert not file_upload_statuses._statuses and not file_upload_statuses._signals
    for path in uploads:
        Path(path).unlink()
    forget_files(app)
    assert not app.upload_file_set & set(uploads)


def test_tidying_goes_on_after_an_error(app, tmp_path, monkeypatch):
    rounds = []

    def fail(folder):
        rounds.append(folder)
        raise OSError("the disk is full")

    for name, value in {"TRIM_EVERY_S": 0.01, "TIDY_EVERY_S": 0.0, "delete_old": fail}.items():
        monkeypatch.setattr(tidy, name, value)

    async def some_rounds():
        task = asyncio.create_task(tidy.keep_tidy(Requests(app), tmp_path))
        while len(rounds) < 3:
            await asyncio.sleep(0.01)
            assert not task.done()
        task.cancel()

    asyncio.run(asyncio.wait_for(some_rounds(), 30))


def test_free_memory_is_given_back():
    blocks = [bytearray(100_000) for _ in range(2_000)]  # below what the C library maps one by one
    kept = blocks[::50]
    full = resident()
    del blocks
    trim()
    assert len(kept) == 40 and (not TRIMS or resident() < full - 100 * 2**20)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if TRIMS else 0


@pytest.mark.parametrize("model", [0, False, [], {}, 5, " first", "FIRST", "first\0", "../first"])
def test_a_model_that_is_not_offered(app, picture_data, model):
    kind, told = call(app.local_url, "segment", [picture_data, "a dog", model, 0.5])
    assert kind == "error" and told["error"].startswith("There is no checkpoint")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("models", [1]),
        ("segment", [None, "a dog", "", 0.5, 1, 2]),
        ("segment", []),
        ("parts", [None, ["car"], "wheel", ""]),
        ("parts", [None, [], "wheel", ""]),
        ("compare", [None, "a, b", "phrases", [], ""]),
        ("compare", [None, "a, b", "phrases", 0, ""]),
    ],
)
def test_values_that_do_not_fit(app, name, data):
    kind, told = call(app.local_url, name, data)
    assert kind == "error" and re.search("cannot be used|must be text", told["error"]), told


JUNK = [
    None,
    0,
    -1,
    float("inf"),
    float("nan"),
    "",
    "x" * 50,
    "\ud800",
    [],
    [None],
    [[1, 2]],
    {},
    {"a": 1},
    True,
    10**30,
]
JUNK += [{"path": "/etc/passwd"}, {"index": 5}, "<b>", {"__type__": "update"}, ["a"] * 30]


@pytest.mark.parametrize(("every", "rounds"), [(4, 1), pytest.param(1, 20, marks=pytest.mark.slow)])
def test_junk_for_handlers_is_told_in_one_sentence(app, every, rounds):
    """Public or private: no wordless answer, none of Gradio's own, none that was not expected."""
    rng, url = random.Random(0), f"{app.local_url}gradio_api/queue"
    with httpx.Client(timeout=60) as client:
        for fn, seed in itertools.product(list(app.fns.values())[::every], range(rounds)):
            session, junk = f"{fn._id}-{seed}-{time.monotonic_ns()}", [rng.choice(JUNK) for _ in fn.inputs]
            event = rng.choice([None, 5, {}, {"index": rng.choice(JUNK), "value": rng.choice(JUNK)}])
            body = {"fn_index": fn._id, "data": junk, "event_data": event, "session_hash": session}
            joined = client.post(f"{url}/join", content=json.dumps(body), headers=JSON)
            if joined.status_code != 200:
                assert joined.status_code == 422 or sentence(joined), (fn, body)
                continue
            with client.stream("GET", f"{url}/data", params={"session_hash": session}) as events:
                done = next(line for line in events.iter_lines() if "process_completed" in line)
            answer = json.loads(done.removeprefix("data: "))
            told = answer["output"].get("error") if not answer["success"] else "."
            assert told and told.endswith(".") and not re.search("unexpected|Traceback|list of choices", told), (
                fn,
                body,
            )
