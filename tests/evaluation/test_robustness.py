"""What worse pictures cost, measured on the same phrases; clicks at the largest error."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam import Predictor
from evfsam.data.scenes import make_scene, render
from evfsam.errors import InputError
from evfsam.evaluation import clicking, robustness
from evfsam.evaluation.clicking import WAYS, evaluate_clicks, next_click
from evfsam.evaluation.robustness import SPOILED, evaluate_robustness
from evfsam.evaluation.wordings import WORDINGS


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return Predictor.from_pretrained(random_checkpoint, device="cpu")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(robustness, "CLEAN_SIZE_HW", (48, 48))
    monkeypatch.setattr(robustness, "SIZES", (32, 64))
    monkeypatch.setattr(robustness, "ODD_SIZES_HW", ((32, 96),))
    monkeypatch.setattr(clicking, "SIZE_HW", (48, 48))


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_picture_is_another_of_the_same_size(name):
    image = render(make_scene(900_000), (64, 96)).image
    spoiled = SPOILED[name](image, np.random.default_rng(0))
    assert spoiled.shape == image.shape and spoiled.dtype == np.uint8
    difference = spoiled.astype(int) - image
    assert 0 < np.abs(difference).mean() < 100
    assert {"darker": difference.mean() < -20, "brighter": difference.mean() > 20}.get(name, True)


@pytest.mark.usefixtures("small")
def test_every_change_is_measured_beside_the_same_phrases(predictor):
    result = evaluate_robustness(predictor, 900_000, 2)
    rows = result["scores"]
    assert {"clean", *SPOILED, *WORDINGS, "32 px", "64 px", "96 x 32 px"} == set(rows)
    assert rows["clean"]["drop"] == 0 and rows["noise"]["samples"] == rows["clean"]["samples"]
    assert rows["noise"]["clean_giou"] == rows["32 px"]["clean_giou"] == rows["clean"]["giou"]
    assert 0 < rows["paraphrase"]["samples"] < rows["clean"]["samples"]
    for row in rows.values():
        assert row["drop"] == pytest.approx(row["clean_giou"] - row["giou"], abs=1e-4)
    assert all(name in robustness.to_table(result) for name in rows)


@pytest.mark.usefixtures("small")
def test_clicks_are_counted_with_and_without_words(predictor):
    result = evaluate_clicks(predictor, 900_000, 2)
    assert list(result["scores"]) == list(WAYS)
    (samples,) = {row["samples"] for row in result["scores"].values()}
    assert 2 <= samples <= 8 and all(0 <= row["iou"] <= 1 for row in result["scores"].values())


def masks(*rows: str) -> np.ndarray:
    return np.array([[pixel == "x" for pixel in row] for row in rows])


@pytest.mark.parametrize(
    ("mask", "target", "click"),
    [
        (("-----", "-----", "-----"), ("xxx--", "xxx--", "xxx--"), (1.5, 1.5, 1)),
        (("xxxxx", "xxxxx", "xxxxx"), ("xx---", "xx---", "xx---"), (3.5, 1.5, 0)),
        (("x----", "-----", "-----"), ("--xxx", "--xxx", "--xxx"), (3.5, 1.5, 1)),
        (("xx---", "-----", "-----"), ("xx---", "-----", "-----"), None),
    ],
)
def test_the_next_click_is_in_the_middle_of_the_largest_error(mask, target, click):
    assert next_click(masks(*mask), masks(*target)) == click


@pytest.mark.parametrize("measure", [evaluate_robustness, evaluate_clicks])
def test_no_scenes_are_refused(predictor, measure):
    with pytest.raises(InputError, match="count from 1"):
        measure(predictor, 900_000, 0)
