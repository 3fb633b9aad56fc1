"""Work that nobody waits for stops, over real HTTP: requests that are cancelled, lost, never read, or all at once."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from contextlib import closing
from fractions import Fraction
from urllib.parse import urlparse

import httpx
import numpy as np
import pytest
from gradio.context import LocalContext
from PIL import Image

from evfsam.data.scenes import render
from evfsam.data.scenes.clips import make_clip
from evfsam.media.video_writer import open_writer
from evfsam.ui import turns, video_work
from evfsam.ui.app import build_app, serve
from evfsam.ui.settings import Settings

STEP_S = 0.15  # that every model step of these tests takes at least
LATEST_S = 2.0  # after which no further step may start
NAMES = [
    f"the {colour} {thing}"
    for colour, thing in itertools.product(("red", "blue", "green"), ["car", "dog", "tree", "ball"])
]
TWELVE = ", ".join(NAMES)
WORDS = ", ".join(name.split()[-1] + " " + name.split()[1] for name in NAMES)
FRAMES = 40


class Steps(list):
    """(request, time) of every model step, as they start."""

    def of(self, request: str) -> list[float]:
        return [at for who, at in self if who == request]

    def wait_for(self, request: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.of(request):
            assert time.monotonic() < end, f"{request} never started"
            time.sleep(0.01)


@pytest.fixture
def steps(service):
    """Counts the steps of both checkpoints, and makes them slow."""
    steps, hooks = Steps(), []

    def note(*_):
        steps.append((LocalContext.event_id.get(None), time.monotonic()))
        time.sleep(STEP_S)

    for name in ("first", "second"):
        model = service.predictor(name).model
        for part in (model.visual_model.image_encoder, model.text_hidden_fcs[0]):
            hooks.append(part.register_forward_pre_hook(note))
    yield steps
    for hook in hooks:
        hook.remove()


@pytest.fixture(scope="module")
def app(service, no_certificates):
    app = build_app(service)
    serve(app, Settings(), prevent_thread_lock=True)
    yield app
    app.close()


@pytest.fixture(scope="module")
def files(app, tmp_path_factory):
    """An image and a clip as uploads: what a request sends for them."""
    folder = tmp_path_factory.mktemp("uploads")
    scene, clip = folder / "scene.png", make_clip(900001, FRAMES, 1.5)
    Image.fromarray(np.ascontiguousarray(render(clip.frame(0), (64, 96)).image)).save(scene)
    with open_writer(folder / "clip.mp4", Fraction(10)) as writer:
        for t in range(FRAMES):
            writer.write(render(clip.frame(t), (64, 96)).image, Fraction(t, 10), Fraction(1, 10))
    paths = []
    for path in (scene, folder / "clip.mp4"):
        answer = httpx.post(f"{app.local_url}gradio_api/upload", files={"files": (path.name, path.read_bytes())})
        paths.append({"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}})
    return paths


class Api:
    """Requests as a program sends them, one connection each."""

    def __init__(self, app):
        self.app, self.address = app, urlparse(app.local_url).netloc

    def post(self, path: str, body: dict) -> dict:
        with closing(http.client.HTTPConnection(self.address, timeout=60)) as connection:
            connection.request("POST", f"/gradio_api/{path}", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return json.loads(text)

    def listen(self, path: str) -> http.client.HTTPConnection:
        """An open event stream; close it and the client is gone."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("GET", f"/gradio_api/{path}")
        connection.stream = connection.getresponse()
        return connection

    def start(self, name: str, data: list) -> tuple[str, str, int, http.client.HTTPConnection]:
        """(request, session, function, stream) of a public endpoint."""
        function = next(i for i, fn in self.app.fns.items() if fn.api_name == name)
        request = self.post(f"call/{name}", {"data": data})["event_id"]
        return request, request, function, self.listen(f"call/{name}/{request}")

    def start_private(
        self, function: int, data: list, session: str, event: dict | None = None
    ) -> tuple[str, str, int, http.client.HTTPConnection]:
        """The same of a button of the page."""
        body = {"data": data, "fn_index": function, "session_hash": session, "trigger_id": None, "event_data": event}
        request = self.post("queue/join", body)["event_id"]
        return request, session, function, self.listen(f"queue/data?session_hash={session}")

    def result(self, name: str, data: list) -> str:
        *_, connection = self.start(name, data)
        with closing(connection):
            return connection.stream.read().decode()

    def cancel(self, request: str, session: str, function: int) -> None:
        self.post("cancel", {"session_hash": session, "fn_index": function, "event_id": request})


@pytest.fixture
def api(app):
    return Api(app)


def public(name: str, files) -> list:
    image, clip = files
    return {
        "segment": [image, TWELVE, "", 0.5],
        "semantic": [image, WORDS, ""],
        "parts": [image, "car", WORDS, ""],
        "compare": [image, ", ".join(NAMES[:4]), "phrases", "", "first"],
        "track": [clip, "the dog, the tree", 0, "forward", 0, 0, "", True],
    }[name]


def private(app, name: str, files) -> tuple[int, list]:
    """(function, data) of a button; components that the table does not name get their first value."""
    image, clip = files
    tab, handler = name.split(".")
    module = f"evfsam.ui.tabs.{tab}"
    function = next(
        i for i, fn in app.fns.items() if fn.fn and fn.fn.__module__ == module and fn.fn.__name__ == handler
    )
    parameters = {
        "picture": image,
        "video": clip,
        "phrases": TWELVE,
        "typed": WORDS,
        "compare-phrases": ", ".join(NAMES[:4]),
        "video-phrases": "a thing that is nowhere",
        "compare-way": "phrases",
    }
    data = []
    for component in app.fns[function].inputs:
        ident = getattr(component, "elem_id", None) or ""
        value = next((parameters[key] for key in (ident, ident.split("-")[-1]) if key in parameters), None)
        if ident == "video-file":
            value = clip
        data.append(component.value if value is None and not component.stateful else value)
    return function, data


def goes_away(api: Api, started) -> None:
    started[-1].sock.close()
    started[-1].stream.close()


def cancels(api: Api, started) -> None:
    api.cancel(*started[:3])


PUBLIC = ("segment", "semantic", "parts", "compare", "track")
PRIVATE = ("referring.on_ask", "semantic.on_ask", "parts.on_ask", "compare.on_compare", "video.on_scan")


def test_no_step_starts_for_a_client_that_left(api, app, files, steps):
    left = {}
    for name, leave in itertools.product(PUBLIC + PRIVATE, (goes_away, cancels)):
        if "." in name:
            function, data = private(app, name, files)
            started = api.start_private(function, data, f"session-{name}-{leave.__name__}")
        else:
            started = api.start(name, public(name, files))
        steps.wait_for(started[0])
        left[name, leave.__name__] = started[0], time.monotonic()
        leave(api, started)
        # Somebody else is answered meanwhile.
        answer = api.result("segment", [files[0], "the red car", "", 0.5])
        assert "event: complete" in answer, answer
    time.sleep(LATEST_S + 1)
    for name, (request, at) in left.items():
        assert max(steps.of(request)) <= at + LATEST_S, name
        assert len(steps.of(request)) < 8, name  # of 13 and more


def test_a_page_cancels_a_clip(api, app, files, steps, monkeypatch):
    # The random checkpoint tracks, but claims nothing.
    monkeypatch.setattr(video_work, "require_video", lambda *_: None)
    session = "session-clip"
    start, data = private(app, "video.on_start", files)
    *_, stream = api.start_private(start, data, session)
    stream.stream.read()
    function = next(i for i, fn in app.fns.items() if fn.fn and fn.fn.__name__ == "on_go")
    started = api.start_private(function, [None, None], session)
    steps.wait_for(started[0])
    left = time.monotonic()
    cancels(api, started)
    time.sleep(LATEST_S + 1)
    assert max(steps.of(started[0])) <= left + LATEST_S


def test_start_and_cancel_in_a_loop_never_run_two_jobs_at_once(api, files, steps):
    for name in ("segment", "parts", "semantic", "segment", "compare"):
        started = api.start(name, public(name, files))
        steps.wait_for(started[0])
        cancels(api, started)
    last = api.start("segment", public("segment", files))
    steps.wait_for(last[0])
    goes_away(api, last)
    runs = [request for request, _ in itertools.groupby(steps, key=lambda step: step[0])]
    assert len(runs) == len(set(runs)) == 6


def test_a_request_that_nobody_reads_ends_soon(api, files, steps, monkeypatch):
    monkeypatch.setattr(turns, "UNREAD_S", 0.5)
    request = api.post("call/track", {"data": public("track", files)})["event_id"]
    steps.wait_for(request)
    time.sleep(2.5)
    seen = len(steps)
    time.sleep(1)
    assert len(steps) == seen < 2 * FRAMES
    with closing(api.listen(f"call/track/{request}")) as late:
        assert "Nobody waited for this answer" in late.stream.read().decode()


def ask(api, files, words: str) -> tuple[str, float]:
    """(request, seconds until it was answered) of a question about an image."""
    asked = time.monotonic()
    question = api.start("segment", [files[0], words, "", 0.5])
    with closing(question[-1]) as connection:
        assert "event: complete" in connection.stream.read().decode()
    return question[0], time.monotonic() - asked


def test_clips_delay_a_question_by_one_frame(api, files, steps):
    _, alone = ask(api, files, "the red tree")
    clips = [api.start("track", public("track", files)) for _ in range(2)]
    for clip in clips:
        steps.wait_for(clip[0])
    asked = time.monotonic()
    question, beside = ask(api, files, "the green tree")
    began = steps.of(question)[0]
    between = [at for who, at in steps if who != question and asked + STEP_S < at < began]
    assert len(between) <= 4  # of one frame: its encoder, and its words asked again
    assert beside < alone + 6 * STEP_S + 1  # a frame of 40, with room for a busy machine
    for clip in clips:
        goes_away(api, clip)


def test_clips_take_turns(api, files, steps):
    first, second = (api.start("track", public("track", files)) for _ in range(2))
    steps.wait_for(first[0])
    steps.wait_for(second[0], seconds=10)
    met = time.monotonic()
    while min(len([at for at in steps.of(clip[0]) if at > met]) for clip in (first, second)) < 6:
        assert time.monotonic() < met + 30
        time.sleep(0.05)
    both = [who for who, at in steps if at > met and who in (first[0], second[0])]
    assert max(len(list(run)) for _, run in itertools.groupby(both)) <= 8  # a frame each, not a clip
    for clip in (first, second):
        goes_away(api, clip)
