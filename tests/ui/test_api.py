"""The endpoints for programs, called over HTTP; the examples of the README are run as they stand."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import gradio_client
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from evfsam.data.scenes import render
from evfsam.data.scenes.clips import make_clip
from evfsam.media.export import decode_rle
from evfsam.media.video_writer import open_writer
from evfsam.types import TrackedObject
from evfsam.ui.limits import Limits

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def client(app):
    return Client(app.local_url, verbose=False)


@pytest.fixture
def shore(tmp_path, image):
    path = tmp_path / "shore.png"
    Image.fromarray(image).save(path)
    return handle_file(str(path))


def test_the_names_are_stable(client):
    names = set(client.view_api(return_format="dict")["named_endpoints"])
    assert names == {"/segment", "/semantic", "/parts", "/compare", "/track", "/models"}
    assert all(f"- `{name}` (" in DOCUMENT for name in names)


def test_language_models_find_the_tools_under_the_same_names(app):
    public = [f for f in app.fns.values() if f.api_visibility == "public"]
    # Over MCP, Gradio names a tool as its function is named.
    assert len(public) == 6 and all(f.fn.__name__ == f.api_name for f in public)


def test_segment(client, shore):
    found, files = client.predict(picture=shore, phrases="the sea, a dog", api_name="/segment")
    assert found["picture"] == {"name": "shore.png", "width": 144, "height": 96}
    assert [row["phrase"] for row in found["results"]] == ["the sea", "a dog"]
    masks = [np.asarray(Image.open(path)) > 127 for path in files if path.endswith(".mask.png")]
    rows = [row for row in found["results"] if row["box_xyxy"]]  # what was not found gives no files
    for row, mask in zip(rows, masks, strict=True):
        assert np.array_equal(decode_rle(row["rle"]), mask)
        assert row["area"] == pytest.approx(mask.mean(), abs=1e-6)


def test_semantic(client, shore):
    found, files = client.predict(picture=shore, categories="sky, sea", api_name="/semantic")
    masks = [decode_rle(row["rle"]) for row in found["results"]]
    assert not (masks[0] & masks[1]).any() and found["labelled"] == pytest.approx(
        (masks[0] | masks[1]).mean(), abs=1e-6
    )


def test_parts(client, shore):
    found, files = client.predict(picture=shore, thing="car", parts="wheel, body", api_name="/parts")
    assert [row["phrase"] for row in found["results"]] == ["car wheel", "car body"]


def test_compare(client, shore):
    found, files = client.predict(
        picture=shore, phrases="the sea", by="checkpoints", of="first, second", api_name="/compare"
    )
    assert [side["model"] for side in found["sides"]] == ["first", "second"]
    assert np.allclose(np.diag(found["iou"]), 1)


def test_models(client):
    rows = client.predict(api_name="/models")
    assert [row["name"] for row in rows if row["default"]] == ["first"]


def test_track(client, tmp_path):
    path, clip = tmp_path / "clip.mp4", make_clip(900001, 4, 1.5)
    with open_writer(path, Fraction(10)) as writer:
        for t in range(4):
            writer.write(render(clip.frame(t), (64, 96)).image, Fraction(t, 10), Fraction(1, 10))
    found, files = client.predict(video=handle_file(str(path)), phrases="the dog", api_name="/track")
    assert found["objects"][0]["phrase"] == "the dog" and len(found["objects"][0]["scores"]) == 4
    assert [Path(path).suffix for path in files] == [".mp4", ".zip", ".json"]


def ask(app, name: str, values: list) -> tuple[str, object]:
    """("complete" or "error", the answer) as curl gets them; values are sent as Python's json writes them."""
    url = f"{app.local_url}gradio_api/call/{name}"
    body = json.dumps({"data": values})  # NaN as JavaScript writes it
    sent = httpx.post(url, content=body, headers={"Content-Type": "application/json"})
    assert sent.status_code == 200, sent.text
    with httpx.stream("GET", f"{url}/{sent.json()['event_id']}", timeout=60) as stream:
        events = re.findall(r"event: (\w+)\ndata: (.*)", "".join(stream.iter_text()))
    kind, data = next(event for event in events if event[0] in ("complete", "error"))
    return kind, json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} in an answer"))


@pytest.fixture(scope="module")
def uploads(app, tmp_path_factory):
    """An image and a clip of four frames as uploads."""
    folder = tmp_path_factory.mktemp("sent")
    clip = make_clip(900001, 4, 1.5)
    Image.fromarray(np.ascontiguousarray(render(clip.frame(0), (64, 96)).image)).save(folder / "scene.png")
    with open_writer(folder / "clip.mp4", Fraction(10)) as writer:
        for t in range(4):
            writer.write(render(clip.frame(t), (64, 96)).image, Fraction(t, 10), Fraction(1, 10))
    paths = []
    for path in (folder / "scene.png", folder / "clip.mp4"):
        sent = httpx.post(f"{app.local_url}gradio_api/upload", files={"files": (path.name, path.read_bytes())})
        paths.append({"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}})
    return paths


NAN, MANY = float("nan"), ", ".join(map(str, range(13)))
WRONG_NUMBERS = (NAN, float("inf"), "high", [0.5], {"a": 1}, True, -1, 1e300)
WRONG_TEXTS = (5, [1], {"a": 1}, True, NAN)
SEGMENT = ["image", "the sea", "", 0.5]
SEMANTIC = ["image", "sky, sea", ""]
PARTS = ["image", "car", "wheel", ""]
COMPARE = ["image", "the sea, the sky", "phrases", "", ""]
TRACK = ["clip", "the dog", 0, "forward", 0, 0, "", True]
# One place gets every wrong value, as tests/test_values.py tries them in Python; the others get one or two.
REFUSED = [
    *[("segment", SEGMENT, 3, value) for value in WRONG_NUMBERS],
    *[("track", TRACK, place, value) for place in (2, 4, 5) for value in (NAN, "high", -1)],
    ("track", TRACK, 2, 0.5),
    ("track", TRACK, 2, 99),
    ("track", TRACK, 4, 99),
    *[("track", TRACK, 7, value) for value in ("no", 1)],
    *[("track", TRACK, 3, value) for value in ("sideways", None, ["forward"])],
    *[("compare", COMPARE, 2, value) for value in ("nothing", None, ["phrases"])],
    *[("segment", SEGMENT, 1, value) for value in ("", None, MANY, *WRONG_TEXTS)],
    *[
        (name, data, place, {"a": 1})
        for name, data, places in (
            ("segment", SEGMENT, (2,)),
            ("semantic", SEMANTIC, (1, 2)),
            ("parts", PARTS, (1, 2, 3)),
            ("compare", COMPARE, (1, 3, 4)),
            ("track", TRACK, (1, 6)),
        )
        for place in places
    ],
    *[("semantic", SEMANTIC, 1, value) for value in ("", None, MANY)],
    ("parts", PARTS, 2, MANY),
    ("compare", COMPARE, 1, MANY),
    ("track", TRACK, 1, MANY),
    *[
        (name, data, 0, value)
        for name, data in (("segment", SEGMENT), ("parts", PARTS), ("compare", COMPARE), ("track", TRACK))
        for value in (None, "scene.png", {"path": "/etc/passwd"})  # other paths: tests/ui/test_files.py
    ],
]


@pytest.mark.parametrize(("name", "data", "place", "value"), REFUSED)
def test_what_cannot_be_used_comes_back_as_one_sentence(app, uploads, name, data, place, value):
    sent = [{"image": uploads[0], "clip": uploads[1]}.get(v, v) if isinstance(v, str) else v for v in data]
    sent[place] = value
    kind, answer = ask(app, name, sent)
    assert kind == "error", answer
    told = answer["error"]
    assert told and re.fullmatch(r"[^\n]{10,300}[.]", told), told
    assert not re.search(r"component|Traceback|gradio\.|unexpected|upstream|fn_index", told), told


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("segment", ["image", "the sea", None, None]),
        ("track", ["clip", "the dog", None, "forward", None, None, None, None]),
        ("compare", ["image", "the sea, the sky", "phrases", None, None]),
        ("segment", ["image", "a dog, a dog,  a dog", "", 0.33]),
    ],
)
def test_null_stands_for_the_default(app, uploads, name, data):
    kind, (found, _) = ask(app, name, [{"image": uploads[0], "clip": uploads[1]}.get(value, value) for value in data])
    assert kind == "complete"
    if data[1].startswith("a dog"):  # the same phrase given twice is answered once
        assert [row["phrase"] for row in found["results"]] == ["a dog"]


def test_track_says_that_nothing_was_found(app, uploads, service, monkeypatch):
    monkeypatch.setattr(TrackedObject, "visible", property(lambda self: False))
    _, (found, _) = ask(app, "track", [uploads[1], "the dog, the dog, the cat", 0, "forward", 0, 0, "", True])
    assert [row["phrase"] for row in found["objects"]] == ["the dog", "the cat"]
    for row in found["objects"]:
        assert any(f"Nothing was found for '{row['phrase']}'" in sentence for sentence in row["warnings"])
        assert row["scores"] == [None] * 4
    assert isinstance(found["warnings"], list)


LIMITED = [
    ("pixels", 6_000, "segment", SEGMENT, "make it smaller than 0.006 million pixels"),
    ("prompts", 1, "semantic", SEMANTIC, "2 phrases: ask for at most 1"),
    ("prompts", 1, "compare", COMPARE, "2 phrases: ask for at most 1"),
    ("pixels_times_prompts", 6_200, "semantic", SEMANTIC, "ask for at most 1 at once, or use a smaller image"),
    ("frames", 3, "track", TRACK, "4 frames: choose a part of at most 3"),
    ("objects", 1, "track", [TRACK[0], "the dog, the cat", *TRACK[2:]], "2 objects: follow at most 1"),
    ("frames_times_objects", 3, "track", TRACK, "choose a part of at most 3 frames"),
    ("clip_seconds", 0, "track", TRACK, "choose at most 0 s"),
]


@pytest.mark.parametrize(("limit", "value", "name", "data", "told"), LIMITED)
def test_limits_are_checked_before_work_starts(app, uploads, service, monkeypatch, limit, value, name, data, told):
    monkeypatch.setattr(service, "limits", replace(service.limits, **{limit: value}))
    hook = service.predictor("first").model.mm_extractor.register_forward_pre_hook(lambda *_: pytest.fail("it worked"))
    try:
        kind, answer = ask(app, name, [{"image": uploads[0], "clip": uploads[1]}.get(v, v) for v in data])
    finally:
        hook.remove()
    assert kind == "error" and told in answer["error"], answer


def test_every_limit_is_documented():
    for field in fields(Limits):
        assert re.search(rf"^{field.name} +{getattr(Limits(), field.name):,} ", DOCUMENT, re.M), field.name


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("call/nosuch", '{"data": []}'),
        ("call/segment", "{"),
        ("call/segment", '{"data": 5}'),
        ("call/segment", "{}"),
        ("call/v2/segment", '{"picture": 5}'),
        ("call/v2/nosuch", "{}"),
        ("queue/join", '{"data": [], "fn_index": 9999, "session_hash": "x"}'),
    ],
)
def test_a_request_that_cannot_be_read_gets_a_sentence(app, path, body):
    sent = httpx.post(f"{app.local_url}gradio_api/{path}", content=body, headers={"Content-Type": "application/json"})
    assert sent.status_code == 400 and sent.json()["error"].endswith("the values that each takes.")


def test_a_full_queue_says_what_to_do(app, uploads, monkeypatch):
    monkeypatch.setattr(app._queue, "max_size", 0)
    sent = httpx.post(f"{app.local_url}gradio_api/call/segment", json={"data": [uploads[0], "the sea", "", 0.5]})
    assert sent.status_code == 503 and sent.json()["detail"].endswith("Send the request again in a minute.")


def test_the_queue_is_the_only_way(app):
    sent = httpx.post(f"{app.local_url}gradio_api/run/segment", json={"data": [None, "x", "", 0.5]})
    assert sent.status_code == 404 and "queue" in sent.text


def example(language: str, url: str) -> str:
    return (
        re.search(rf"<!-- run by tests/ui/test_api.py -->\n```{language}\n(.*?)```", README, re.S)
        .group(1)
        .replace("http://127.0.0.1:7860", url.rstrip("/"))
    )


def test_the_python_example(app, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names: dict = {"gradio_client": gradio_client}
    exec(compile(example("python", app.local_url), "README.md", "exec"), names)
    assert "the yellow balloon" in capsys.readouterr().out
    assert len(names["masks"]) == 2


def test_the_curl_example(app):
    done = subprocess.run(
        ["bash", "-c", example("bash", app.local_url)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    data = json.loads(re.search(r"event: complete\ndata: (.*)", done.stdout).group(1))
    assert data[0]["results"][0]["phrase"] == "the bus"
