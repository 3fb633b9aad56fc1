"""Files of requests over HTTP: only uploads are opened, one sentence for all else, and nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gradio.components import Image, State, Video
from gradio_client import Client, handle_file

from evfsam.ui import files
from evfsam.ui.blocks import only_uploads
from evfsam.ui.errors import UNKNOWN
from evfsam.ui.files import NOT_UPLOADED
from tests.media.clips import write_clip
from tests.ui.browser import start_app

META = {"_type": "gradio.FileData"}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="


@pytest.fixture(scope="module")
def outside(app, tmp_path_factory):
    """Paths that no request may open: (what it is, path)."""
    folder = tmp_path_factory.mktemp("outside")
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    secret, fifo, link = folder / "secret.png", folder / "fifo", uploads / "0abc" / "link.png"
    secret.write_bytes(b"secret")
    os.mkfifo(fifo)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(secret)
    return {
        "a file": str(secret),
        "nothing": str(folder / "nothing.png"),
        "a folder": str(folder),
        "a FIFO": str(fifo),
        "a device": "/dev/zero",
        "a link in the upload folder": str(link),
        "the upload folder": str(uploads),
        "up and out": f"{uploads}/../{folder.name}/secret.png",
        "a relative path": os.path.relpath(secret),
        "a file of the project": str(Path(__file__)),
        "a hidden file": "/proc/self/environ",
        "a NUL": f"{secret}\0.png",
        "half a character": "\ud800.png",
        "a long name": "/" + "x" * 5000,
        "empty": "",
        "an address": "http://127.0.0.1:9/a.png",
        "a file address": f"file://{secret}",
        "no text": 5,
        "None": None,
    }


def payloads(path):
    """The forms in which a path may be sent."""
    return [
        {"path": path},
        {"path": path, "meta": META},
        {"path": path, "meta": None},
        {"path": path, "meta": META, "url": PIXEL},
        {"path": path, "orig_name": "a.svg", "is_stream": True, "meta": META},
        {"url": path},
        {"path": None, "url": path, "meta": META},
        {"video": {"path": path, "meta": META}},
        [{"path": path, "meta": META}],
        path,
    ]


def ask(app, fn_index: int, data: list) -> str:
    """What a handler answers, as text: the error of the request, or its last event."""
    session, base = f"s{time.monotonic_ns()}", f"{app.local_url}gradio_api/queue"
    body = json.dumps({"fn_index": fn_index, "data": data, "session_hash": session, "event_data": {"index": 0}})
    joined = httpx.post(f"{base}/join", content=body, headers={"Content-Type": "application/json"}, timeout=60)
    if joined.status_code != 200:
        return joined.text
    with httpx.stream("GET", f"{base}/data", params={"session_hash": session}, timeout=60) as events:
        for line in events.iter_lines():
            if "process_completed" in line:
                return line
    return ""


def takers(app) -> dict[int, tuple[int, object]]:
    """Every handler, public or private, that takes a picture or a video: its index -> (place, handler)."""
    found = {}
    for index, fn in app.fns.items():
        for place, block in enumerate(fn.inputs):
            if isinstance(block, Image | Video) and place not in fn.component_prop_inputs:
                found[index] = place, fn
    return found


def defaults(fn) -> list:
    return [None if isinstance(block, Image | Video | State) else getattr(block, "value", None) for block in fn.inputs]


def test_no_handler_opens_what_was_not_uploaded(app, outside):
    handlers = takers(app)
    assert len(handlers) > 15
    requests = []
    for index, (place, fn) in handlers.items():
        data = defaults(fn)
        data[place] = {"path": outside["a file"]}  # other paths: below
        if fn.fn is None:  # the browser alone does this
            assert UNKNOWN in ask(app, index, data)
        else:
            requests.append((index, data, (fn.api_name, fn.fn)))
    all_are_refused(app, requests)


def all_are_refused(app, requests: list[tuple[int, list, object]]) -> None:
    """Several at once, as from several visitors."""
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda request: ask(app, *request[:2]), requests)
        for (*_, what), answer in zip(requests, answers, strict=True):
            assert NOT_UPLOADED in answer, what


@pytest.mark.parametrize(
    ("name", "form", "what"), [("segment", {}, "a file"), ("track", {"meta": META}, "an address")], ids=str
)
def test_every_path_in_every_form_gets_the_same_sentence(app, outside, name, form, what):
    index, (place, fn) = next((i, t) for i, t in takers(app).items() if t[1].api_name == name)
    requests = []
    for payload in [*({"path": path, **form} for path in outside.values()), *payloads(outside[what])]:
        data = defaults(fn)
        data[place] = payload
        requests.append((index, data, payload))
    all_are_refused(app, requests)


def test_the_sentence_arrives_by_call(app):
    for payload in ({"path": "/etc/hostname"}, {"url": PIXEL}, "/etc/hostname"):
        url = f"{app.local_url}gradio_api/call/segment"
        event = httpx.post(url, json={"data": [payload, "a dog", "", 0.5]}, timeout=60).json()["event_id"]
        assert f'data: {{"error": "{NOT_UPLOADED}"' in httpx.get(f"{url}/{event}", timeout=60).text


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("segment", [None, "a dog", "", "high"]),
        ("segment", [None, "a dog", "", None]),
        ("segment", []),
        ("track", [None, "a dog", "zero", "forward", 0, 0, "", True]),
        ("track", [None, "a dog", 0, "sideways", 0, 0, "", True]),
    ],
)
def test_no_error_is_without_words(app, name, data):
    url = f"{app.local_url}gradio_api/call/{name}"
    event = httpx.post(url, json={"data": data}, timeout=60).json()["event_id"]
    told = httpx.get(f"{url}/{event}", timeout=60).text
    assert "event: error" in told and '"error": null' not in told and "Traceback" not in told


def test_only_the_path_of_an_upload_reaches_gradio(picture):
    payload = {"path": picture, "url": PIXEL, "is_stream": True, "orig_name": "a.svg", "meta": None}
    assert only_uploads([{"value": payload}]) == [{"value": {"path": picture, "meta": META}}]
    assert only_uploads({"a": [1, "text", None]}) == {"a": [1, "text", None]}


def test_old_files_are_deleted_and_new_ones_kept(tmp_path):
    day_old, new, empty = tmp_path / "old" / "a.png", tmp_path / "new" / "b.png", tmp_path / "empty"
    for path, age in ((day_old, 2 * files.DAY), (new, files.DAY / 2)):
        path.parent.mkdir()
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age,) * 2)
        os.utime(path.parent, (time.time() - age,) * 2)
    empty.mkdir()
    os.utime(empty, (0, 0))
    (tmp_path / "half").write_bytes(b"x")
    files.delete_old(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["half", "new"]
    files.delete_unfinished(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


def test_an_upload_whose_client_goes_away_leaves_nothing(app):
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    before = set(folder.iterdir())
    with socket.create_connection((app.server_name, app.server_port)) as client:
        client.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + b"x" * 200_000
        )
        _wait_until(lambda: set(folder.iterdir()) > before)
    _wait_until(lambda: set(folder.iterdir()) == before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """One that is followed soon, and one that keeps the tiny model busy until the process is ended."""
    folder = tmp_path_factory.mktemp("clips")
    return [handle_file(str(write_clip(folder / f"{count}.mp4", count))) for count in (5, 600)]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_nothing_stays_when_the_process_ends(tmp_path, random_tracking_checkpoint, clips, end):
    """Ended while it follows an object, with files written and half-written."""
    process, url = start_app(tmp_path, "--device", "cpu", "--model", str(random_tracking_checkpoint))
    try:
        client, base = Client(url, verbose=False, download_files=False), tmp_path / "gradio"
        client.predict(clips[0], "the bus", api_name="/track")
        client.submit(clips[1], "the bus", api_name="/track")
        _wait_until(lambda: len(list(base.rglob("*.overlay*"))) == 2)
    finally:
        process.send_signal(end)
        try:
            assert process.wait(60) == 128 + end
        finally:
            process.kill()
    assert not list(base.iterdir())


def test_the_next_start_deletes_what_a_killed_process_left(tmp_path):
    start = "import os; from evfsam.ui.files import claim_folder; folder = claim_folder(); "
    killed = "(folder / 'half.mp4').write_bytes(b'x'); os.kill(os.getpid(), 9)"
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", start + killed], env=environment).returncode == -signal.SIGKILL
    assert list(tmp_path.rglob("half.mp4"))
    subprocess.run([sys.executable, "-c", start], env=environment, check=True)
    assert not list(tmp_path.iterdir())


def _wait_until(happened, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
