"""Requests about one image that wait at the same time are answered in one turn, each with its own answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from evfsam.data.scenes import make_scene, render
from evfsam.errors import EvfSamError
from evfsam.media.export import decode_rle
from evfsam.types import SpatialPrompt
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.turns import MOST_TOGETHER, Client, Line, Waiter
from tests.corpus.doors import png
from tests.ui.test_turns import Api

PHRASES = ["the red car", "the dog", "the house, a tree", "the boat", "the ball", "a person"]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def upload(app, image: np.ndarray, name: str) -> dict:
    path = httpx.post(f"{app.local_url}gradio_api/upload", files={"files": (name, png(image))}).json()[0]
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def pictures(app):
    """One image under two names, and another one."""
    one, other = (render(make_scene(seed, 1.5), (64, 96)).image for seed in (900021, 900022))
    return [upload(app, one, "a.png"), upload(app, one, "b.png"), upload(app, other, "a.png")]


@pytest.fixture
def api(app):
    return Api(app)


@pytest.fixture
def calls(service):
    """How many images were encoded, and how many prompts in each batch."""
    counted = {"images": 0, "prompts": []}
    model = service.predictor("first").model

    def count(key: str, original):
        def counting(*arguments):
            if key == "images":
                counted["images"] += 1
            else:
                counted["prompts"].append(len(arguments[1]))
            return original(*arguments)

        return counting

    service.predictor("first")._kept.clear()
    model.encode_image, model.encode_prompt = (
        count("images", model.encode_image),
        count("prompts", model.encode_prompt),
    )
    yield counted
    del model.encode_image, model.encode_prompt


@contextmanager
def busy(service, requests: int):
    """The model is in use until so many requests wait for it."""
    with service._model.turn(Client()):
        yield
        until(lambda: len(service._model._waiting) == requests)


def answer_of(started) -> dict:
    """The JSON of an answer, or {"error": sentence}."""
    with started[-1].stream as stream:
        told = stream.read().decode()
    kind, data = told.rpartition("event: ")[2].split("\n", 1)
    found = json.loads(data.removeprefix("data: "))
    return found[0] if kind == "complete" else found


def assert_same(found: dict, expected: dict) -> None:
    assert [row["phrase"] for row in found["results"]] == [row["phrase"] for row in expected["results"]]
    for row, other in zip(found["results"], expected["results"], strict=True):
        assert row["score"] == pytest.approx(other["score"], abs=2e-5)
        assert (decode_rle(row["rle"]) != decode_rle(other["rle"])).mean() < 1e-3


def test_waiting_requests_are_one_batch_and_one_encoding(api, service, pictures, calls):
    alone = [answer_of(api.start("segment", [pictures[0], text, "", 0.5])) for text in PHRASES]
    alone.append(answer_of(api.start("semantic", [pictures[0], "sky, grass", ""])))
    service.predictor("first")._kept.clear()
    calls.update(images=0, prompts=[])
    with busy(service, 7):
        started = [api.start("segment", [pictures[i % 2], text, "", 0.5]) for i, text in enumerate(PHRASES)]
        started.append(api.start("semantic", [pictures[1], "sky, grass", ""]))
    for request, expected in zip(started, alone, strict=True):
        assert_same(answer_of(request), expected)
    assert calls == {"images": 1, "prompts": [9]}


def test_other_images_and_checkpoints_wait_for_their_own_turn(api, service, pictures, calls):
    with busy(service, 3):
        asked = [(pictures[0], ""), (pictures[2], ""), (pictures[0], "second")]
        started = [api.start("segment", [picture, "the dog", model, 0.5]) for picture, model in asked]
    found = [answer_of(request) for request in started]
    assert calls == {"images": 2, "prompts": [1, 1]}
    assert [one["model"] for one in found] == ["first", "first", "second"]
    assert found[0]["results"] != found[1]["results"] and found[0]["results"] != found[2]["results"]


def test_a_bad_request_fails_alone(service, picture):
    """The page and the API refuse such texts before they wait; what comes through fails alone."""
    outside = SpatialPrompt(box=(500.0, 500.0, 600.0, 600.0))
    asked = [
        (["x" * 5000], None),
        (["the dog"], None),
        (["?!"], None),
        ([""], [outside]),
        (["a tree", "the car"], None),
    ]

    def ask(prompts, clicks):
        try:
            question = MaskQuestion(tuple(prompts), tuple(clicks or [None] * len(prompts)))
            return np.stack([mask.at().mask for mask in service.answer("first", picture, question).masks])
        except EvfSamError as error:
            return str(error)

    alone = [ask(*one) for one in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        with busy(service, 3):  # those whose words cannot be read are refused before they wait
            together = [pool.submit(ask, *one) for one in asked]
        found = [one.result() for one in together]
    for one, expected in zip(found, alone, strict=True):
        assert one == expected if isinstance(expected, str) else (one != expected).mean() < 1e-3
    assert [isinstance(one, str) for one in alone] == [True, False, True, True, False]


@pytest.mark.parametrize("leaves", [0, 1, 2])
def test_a_request_that_leaves_takes_no_other_along(api, service, pictures, leaves):
    began, may_go_on = threading.Event(), threading.Event()
    encoder = service.predictor("first").model.visual_model.image_encoder
    service.predictor("first")._kept.clear()

    def stop(*_):
        began.set()
        assert may_go_on.wait(60)

    with busy(service, 3):
        hook = encoder.register_forward_pre_hook(stop)
        started = [api.start("segment", [pictures[0], text, "", 0.5]) for text in PHRASES[:3]]
    assert began.wait(60)
    api.cancel(*started[leaves][:3])
    hook.remove()
    may_go_on.set()
    for i, request in enumerate(started):
        if i != leaves:
            found = [row["phrase"] for row in answer_of(request)["results"]]
            assert found == PHRASES[i].split(", ")


def test_events_of_one_session_keep_their_order(api, app, service, pictures):
    function = next(i for i, fn in app.fns.items() if fn.api_name == "segment")
    with busy(service, 1):
        for text in PHRASES[:3]:
            body = {
                "data": [pictures[0], text, "", 0.5],
                "fn_index": function,
                "session_hash": "one",
                "trigger_id": None,
            }
            api.post("queue/join", {**body, "event_data": None})
        until(lambda: len(service._model._waiting) == 1)
        time.sleep(0.3)
        assert len(service._model._waiting) == 1
    with api.listen("queue/data?session_hash=one").stream as stream:
        told = [json.loads(line[6:]) for line in stream.read().decode().splitlines() if line.startswith("data: ")]
    done = [one["output"]["data"][0]["results"][0]["phrase"] for one in told if one["msg"] == "process_completed"]
    assert done == ["the red car", "the dog", "the house"]


class Queue:
    """A line that is held by its maker; notes in which order others have their turns."""

    def __init__(self):
        self.line, self.order, self.threads = Line(), [], []
        self._holding = self.line.turn(Client())
        self._holding.__enter__()

    def enter(self, name: str, short: bool = False, key=None, prompts: int = 1) -> None:
        def wait():
            if key is None:
                with self.line.turn(Client(), short):
                    self.order.append(name)
            else:
                waiter = Waiter(Client(), key, name, prompts)
                assert self.line.together(waiter, self.work) == name.upper()

        self.threads.append(threading.Thread(target=wait))
        count = len(self.line._waiting)
        self.threads[-1].start()
        until(lambda: len(self.line._waiting) == count + 1)

    def work(self, waiters):
        self.order.append("+".join(waiter.question for waiter in waiters))
        for waiter in waiters:
            waiter.answer.set_result(waiter.question.upper())

    def done(self) -> list[str]:
        self._holding.__exit__(None, None, None)
        for thread in self.threads:
            thread.join()
        return self.order


def test_questions_and_frames_alternate():
    queue = Queue()
    for name in ("f0", "f1", "q0", "q1", "q2", "f2"):
        queue.enter(name, short=name.startswith("q"))
    assert queue.done() == ["q0", "f0", "q1", "f1", "q2", "f2"]


def test_a_turn_takes_at_most_so_many_prompts():
    queue = Queue()
    queue.enter("a", key=1, prompts=MOST_TOGETHER - 2)
    queue.enter("other", key=2)
    queue.enter("b", key=1, prompts=3)
    queue.enter("c", key=1, prompts=2)
    queue.enter("huge", key=1, prompts=MOST_TOGETHER + 1)
    assert queue.done() == ["a+c", "other", "b", "huge"]


def test_an_error_of_the_work_reaches_all_that_wait():
    line, raised = Line(), []

    def work(waiters):
        raise EvfSamError("no")

    def ask():
        try:
            line.together(Waiter(Client(), 1, "q", 1), work)
        except EvfSamError as error:
            raised.append(str(error))

    with line.turn(Client()):
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: len(line._waiting) == 3)
    for thread in threads:
        thread.join()
    assert raised == ["no"] * 3
