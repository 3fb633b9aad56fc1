"""The bundled checkpoint for photographs: small, and right about photographs that it has never seen."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam import Predictor
from evfsam.checkpoints.registry import BUNDLED_FOLDER
from evfsam.media.images import open_image
from evfsam.resources import ASSETS

NAME = "evf-sam2-tiny-coco"
LARGEST_FILE = 16 * 2**20


@pytest.fixture(scope="module")
def predictor():
    return Predictor.from_pretrained(NAME, device="cpu")


def photograph(name: str) -> np.ndarray:
    return open_image(ASSETS / "examples" / name)


def test_its_weights_are_a_small_download():
    assert (BUNDLED_FOLDER / NAME / "model.safetensors").stat().st_size <= LARGEST_FILE


@pytest.mark.parametrize(
    ("name", "prompt", "inside_xy", "outside_xy"),
    [
        ("cat.jpg", "[semantic] cat", (0.4, 0.5), (0.97, 0.1)),
        ("cat.jpg", "the cat", (0.4, 0.5), (0.97, 0.1)),
        ("astronaut.jpg", "[semantic] person", (0.45, 0.6), (0.03, 0.03)),
    ],
)
def test_it_finds_what_a_photograph_shows(predictor, name, prompt, inside_xy, outside_xy):
    image = photograph(name)
    (found,) = predictor.segment(image, [prompt])
    (inside, outside) = (
        found.mask[int(y * image.shape[0]), int(x * image.shape[1])] for x, y in (inside_xy, outside_xy)
    )
    assert inside and not outside


def test_what_is_there_has_more_presence_than_what_is_not(predictor):
    cat, *absent = predictor.segment(photograph("cat.jpg"), [f"[semantic] {c}" for c in ("cat", "airplane", "pizza")])
    assert all(segmentation.presence < cat.presence for segmentation in absent)


def test_it_names_a_word_that_it_never_learned(predictor):
    (found,) = predictor.segment(photograph("cat.jpg"), ["the saxophone"])
    assert any("saxophone" in warning for warning in found.warnings)
