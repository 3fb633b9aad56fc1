"""What is drawn where."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfsam.media.overlay import layers, overlay
from evfsam.media.palette import DISTINCT, colour_of, hex_of


def disc(size_hw=(120, 160), centre=(60, 80), radius=30) -> np.ndarray:
    y, x = np.indices(size_hw)
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


@pytest.fixture
def grey() -> np.ndarray:
    return np.full((120, 160, 3), 128, np.uint8)


def test_fill_is_translucent_inside_and_nothing_is_touched_outside(grey):
    drawn = overlay(grey, [disc()], [(255, 0, 0)], fill_opacity=0.5)
    assert drawn[60, 80].tolist() == [192, 64, 64]
    outside = ~disc(radius=33)
    assert np.array_equal(drawn[outside], grey[outside])
    assert (grey == 128).all()


def test_the_outline_is_opaque_and_antialiased(grey):
    drawn = overlay(grey, [disc()], [(255, 0, 0)], fill_opacity=0, outline_px=4)
    row = drawn[60, :, 0].astype(int)
    assert row[108:110].tolist() == [255] * 2  # the disc ends with column 110
    assert row[113] == 128
    assert np.array_equal(drawn[60, 80], [128] * 3)
    assert len(np.unique(drawn[..., 0])) > 20  # a hard line has three values


def test_no_outline(grey):
    drawn = overlay(grey, [disc()], [(255, 0, 0)], fill_opacity=1, outline_px=0)
    assert set(map(tuple, drawn[disc(radius=28)])) == {(255, 0, 0)}


def test_later_masks_lie_on_top(grey):
    drawn = overlay(grey, [disc(), disc()], [(255, 0, 0), (0, 0, 255)], fill_opacity=1)
    assert drawn[60, 80].tolist() == [0, 0, 255]


def test_empty_and_full_masks(grey):
    nothing, everything = np.zeros((120, 160), bool), np.ones((120, 160), bool)
    assert np.array_equal(overlay(grey, [nothing]), grey)
    drawn = overlay(grey, [everything], [(0, 255, 0)], fill_opacity=0.5)
    assert (drawn == [64, 192, 64]).all()  # no edge in the picture, so no outline


@pytest.mark.parametrize("centre", [(60, 80), (5, 155)])  # inside, and cut by two borders
def test_layers_over_an_image_are_its_overlay(grey, centre):
    mask = disc(centre=centre)
    (x, y, width, height), fill, line = layers(mask, (255, 0, 0))
    drawn = grey.astype(np.float32)
    part = drawn[y : y + height, x : x + width]
    for layer, opacity in ((fill, 0.45), (line, 1)):
        alpha = layer[:, :, 3:].astype(np.float32) / 255 * opacity
        part[:] = part * (1 - alpha) + layer[:, :, :3] * alpha
    assert np.abs(drawn - overlay(grey, [mask], [(255, 0, 0)])).max() < 3
    assert layers(np.zeros((4, 4), bool), (255, 0, 0)) is None


def test_the_wrong_size_is_an_error(grey):
    with pytest.raises(ValueError, match="differ in size"):
        overlay(grey, [np.zeros((160, 120), bool)])
    with pytest.raises(ValueError):
        overlay(grey, [disc()], colours=[])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_size_and_any_mask(height, width, seed):
    r = np.random.default_rng(seed)
    picture = r.integers(0, 256, (height, width, 3), np.uint8)
    drawn = overlay(picture, [r.random((height, width)) < r.random()])
    assert drawn.shape == picture.shape and drawn.dtype == np.uint8


def test_colours_differ_from_each_other():
    colours = [colour_of(i) for i in range(DISTINCT)]
    distances = [np.linalg.norm(np.subtract(a, b)) for a, b in itertools.combinations(colours, 2)]
    assert min(distances) > 25
    assert colour_of(DISTINCT) == colours[0]
    assert hex_of(0) == "#d55e00"
