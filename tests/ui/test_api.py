"""The endpoints for programs, called over HTTP; the examples of the README are run as they stand."""

from __future__ import annotations

import json
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import gradio_client
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from evfsam.data.scenes import render
from evfsam.data.scenes.clips import make_clip
from evfsam.media.export import decode_rle
from evfsam.media.video_writer import open_writer
from evfsam.ui.app import build_app, serve
from evfsam.ui.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def app(service):
    app = build_app(service)
    serve(app, Settings(), prevent_thread_lock=True)
    yield app
    app.close()


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
    assert all(f"| `{name}` |" in DOCUMENT for name in names)


def test_language_models_find_the_tools_under_the_same_names(app):
    public = [f for f in app.fns.values() if f.api_visibility == "public"]
    # Over MCP, Gradio names a tool as its function is named.
    assert len(public) == 6 and all(f.fn.__name__ == f.api_name for f in public)


def test_segment(client, shore):
    found, files = client.predict(picture=shore, phrases="the sea, a dog", api_name="/segment")
    assert found["picture"] == {"name": "shore.png", "width": 144, "height": 96}
    assert [row["phrase"] for row in found["results"]] == ["the sea", "a dog"]
    masks = [np.asarray(Image.open(path)) > 127 for path in files if path.endswith(".mask.png")]
    for row, mask in zip(found["results"], masks, strict=True):
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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"phrases": ""}, "Type what to look for"),
        ({"phrases": "a dog", "model": "../../etc"}, "There is no checkpoint '../../etc' here"),
    ],
)
def test_mistakes_come_back_as_a_sentence(client, shore, arguments, told):
    with pytest.raises(AppError, match=re.escape(told)):
        client.predict(picture=shore, api_name="/segment", **arguments)


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
