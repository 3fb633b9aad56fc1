"""Files that leave the app say what the masks say."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evfsam.errors import InputError
from evfsam.media import export
from evfsam.types import Segmentation


def segmentation(prompt: str = "the red car", box=(10, 5, 30, 25)) -> Segmentation:
    mask = np.zeros((40, 60), bool)
    if box:
        x0, y0, x1, y1 = box
        mask[y0:y1, x0:x1] = True
    return Segmentation(prompt, np.where(mask, 5.0, -5.0).astype(np.float32), score=0.875)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (40, 60, 3), np.uint8)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize(
    "rle",
    [
        None,
        [],
        {},
        {"size": [4, 4]},
        {"size": [4, 4], "counts": ""},
        {"size": [4, 4], "counts": [4, 12]},
        {"size": [4, 4], "counts": "~~~~"},
        {"size": [4, 4], "counts": "é"},
        {"size": [4, 4], "counts": "oooo"},
        {"size": [4, 4], "counts": "\n"},
        {**export.encode_rle(np.zeros((4, 4), bool)), "size": [5, 4]},
        {"size": [0, 4], "counts": "0"},
        {"size": [-4, -4], "counts": "`0"},
        {"size": [100_000, 100_000], "counts": "`0"},
        {"size": [4], "counts": "`0"},
        {"size": ["4", "4"], "counts": "`0"},
        {"size": [4, float("nan")], "counts": "`0"},
    ],
)
def test_damaged_run_lengths_are_one_sentence(rle):
    with pytest.raises(InputError, match="run lengths"):
        export.decode_rle(rle)


def test_a_mask_comes_back_as_it_was():
    mask = segmentation().mask
    assert np.array_equal(opened(export.mask_png(mask)), mask * np.uint8(255))
    assert np.array_equal(export.decode_rle(json.loads(json.dumps(export.encode_rle(mask)))), mask)


def test_a_cutout_keeps_the_thing_and_nothing_else(picture):
    s = segmentation()
    whole = opened(export.cutout_png(picture, s.mask))
    assert np.array_equal(whole[..., 3] > 0, s.mask)
    assert np.array_equal(whole[s.mask][:, :3], picture[s.mask])
    assert not whole[~s.mask].any()
    cropped = opened(export.cutout_png(picture, s.mask, crop=True))
    assert np.array_equal(cropped[..., :3], picture[5:25, 10:30])


def test_an_empty_mask_gives_a_transparent_cutout(picture):
    assert not export.cutout(picture, segmentation(box=None).mask, crop=True).any()


SLUGS = {
    "the red car": "the-red-car",
    "[semantic] sky": "semantic-sky",
    "../../etc/passwd": "etc-passwd",
    "C:\\con": "c-con",
    "  .hidden. ": "hidden",
    "Straße": "strasse",
    "红色的车": "红色的车",
    "!?": "picture",
    "": "picture",
}


@pytest.mark.parametrize("text", SLUGS)
def test_slugs(text):
    assert export.slug(text, "picture") == SLUGS[text]


@given(st.text())
def test_any_text_makes_a_safe_name(text):
    name = export.slug(text, "x")
    assert name and len(name.encode()) <= export.SLUG_BYTES
    assert all(c.isalnum() or c == "-" for c in name)
