"""Boxes, interior points and overlaps of masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evfsam.geometry import box_of, interior_point, mask_iou

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((8, 10), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@given(MASKS)
def test_a_box_holds_the_whole_mask_and_touches_it_on_every_side(mask):
    box = box_of(mask)
    if not mask.any():
        assert box is None
        return
    x0, y0, x1, y1 = box
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()


@given(MASKS)
def test_an_interior_point_is_inside(mask):
    x, y = interior_point(mask)
    assert mask[y, x] == mask.any()


def test_the_interior_point_of_a_rectangle_is_its_middle():
    assert interior_point(rectangle(2, 1, 7, 6)) == (4, 3)


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        (rectangle(0, 0, 4, 4), rectangle(0, 0, 4, 4), 1.0),
        (rectangle(0, 0, 4, 4), rectangle(2, 0, 6, 4), 1 / 3),
        (rectangle(0, 0, 4, 4), rectangle(5, 5, 6, 6), 0.0),
        (rectangle(0, 0, 0, 0), rectangle(5, 5, 6, 6), 0.0),
        (rectangle(0, 0, 0, 0), rectangle(0, 0, 0, 0), 1.0),
    ],
)
def test_iou(a, b, iou):
    assert mask_iou(a, b) == mask_iou(b, a) == pytest.approx(iou)
