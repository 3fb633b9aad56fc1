"""From a shell: several models on one image, in one table and in files that agree with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from evfsam.__main__ import main
from evfsam.data.scenes import make_scene, render
from evfsam.geometry import mask_iou
from evfsam.predictor import Predictor
from tests.random_model import save_random_model
from tests.systems.tiny import save_clipseg


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(render(make_scene(900_000), (48, 64)).image).save(path)
    return path


def test_checkpoints_and_systems_are_compared(picture, tmp_path, random_checkpoint, capsys):
    other = save_random_model(tmp_path / "other", 1)
    save_clipseg(tmp_path / "systems" / "clipseg-rd64-refined")
    names = [str(random_checkpoint), str(other), f"clipseg@{tmp_path / 'systems'}"]
    models = [word for name in names for word in ("--model", name)]
    out = tmp_path / "out"
    assert (
        main(["compare", str(picture), "the red car", "[semantic] sky", *models, "--device", "cpu", "-o", str(out)])
        == 0
    )
    told = capsys.readouterr().out
    assert all(name in told for name in ("random-sam2", "other", "clipseg", "weights", "IoU"))
    figures = json.loads((out / "comparison.json").read_text())
    assert len(figures["answers"]) == 6 and len(figures["agreement"]) == 6
    found = [Predictor.from_pretrained(n, "cpu").segment(picture, "the red car")[0] for n in names[:2]]
    (agreed,) = [r for r in figures["agreement"] if r["models"] == "random-sam2, other" and "car" in r["prompt"]]
    assert agreed["iou"] == pytest.approx(mask_iou(found[0].mask, found[1].mask), abs=1e-6)
    assert len(list(out.glob("*.overlay.png"))) == 6
    drawn = np.asarray(Image.open(out / "scene.difference.0.2.png"))
    same = found[0].mask == found[1].mask
    coloured = drawn.std(axis=2) > 0
    assert coloured[~same].mean() > 0.9 and coloured[same].mean() < 0.5  # borders are antialiased


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a car", "--model", "evf-sam2-tiny"], "two or more"),
        (["a car", "--model", "evf-sam2-tiny", "--model", "evf-sam2-tiny"], "two or more"),
        (["", "--model", "evf-sam2-tiny", "--model", "evf-sam-tiny"], "empty"),
        (["a car", "--model", "evf-sam2-tiny", "--model", "no-such"], "no checkpoint"),
    ],
)
def test_what_cannot_be_compared(picture, capsys, arguments, told):
    assert main(["compare", str(picture), *arguments, "--device", "cpu"]) == 2
    assert told in capsys.readouterr().err
