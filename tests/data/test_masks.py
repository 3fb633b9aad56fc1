"""Polygons and run lengths: what is read, and what is refused in one sentence."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.masks import count_cover, to_mask
from evfsam.errors import InputError
from tests.data.miniatures import HEIGHT, SIZE_HW, WIDTH, polygon, rectangle, rle

BOX = (3, 4, 10, 5)
COUNTS = [HEIGHT * 3, HEIGHT * 2, HEIGHT * (WIDTH - 5)]  # columns 3 and 4
OTHER_SIZE = {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        ([polygon(*BOX)], rectangle(*BOX)),
        (polygon(*BOX), rectangle(*BOX)),
        ([polygon(*BOX), polygon(20, 10, 5, 5)], rectangle(*BOX) | rectangle(20, 10, 5, 5)),
        ([polygon(-10, -10, 20, 20)], rectangle(0, 0, 10, 10)),
        (rle(*BOX), rectangle(*BOX)),
        ({**rle(*BOX), "counts": rle(*BOX)["counts"].encode()}, rectangle(*BOX)),
        ([rle(*BOX), rle(20, 10, 5, 5)], rectangle(*BOX) | rectangle(20, 10, 5, 5)),
        ({"size": list(SIZE_HW), "counts": COUNTS}, rectangle(3, 0, 2, HEIGHT)),
        ({"size": list(SIZE_HW), "counts": [0, HEIGHT, HEIGHT * (WIDTH - 1)]}, rectangle(0, 0, 1, HEIGHT)),
        ({"size": list(SIZE_HW), "counts": [HEIGHT * WIDTH]}, np.zeros(SIZE_HW, bool)),
    ],
)
def test_what_is_read(segmentation, expected):
    mask = to_mask(segmentation, SIZE_HW, "it")
    assert mask.dtype == bool and np.array_equal(mask, expected)


def test_overlapping_polygons_are_counted():
    cover = count_cover([polygon(0, 0, 10, 10), polygon(5, 0, 10, 10)], SIZE_HW, "it")
    assert np.array_equal(cover, rectangle(0, 0, 10, 10).astype(int) + rectangle(5, 0, 10, 10))


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        (None, "must be polygons"),
        ([], "must be polygons"),
        ("2;", "must be polygons"),
        ([[1, 2, 3, 4]], "3 points or more"),
        ([[1, 2, 3, 4, 5, 6, 7]], "3 points or more"),
        ([[1, 2, 3, 4, 5, float("nan")]], "3 points or more"),
        ([[1, 2, 3, 4, 5, "six"]], "3 points or more"),
        ([[[1, 2], [3, 4], [5, 6]]], "3 points or more"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "far outside"),
        (OTHER_SIZE, "have the size"),
        ({"counts": "2;"}, "have the size"),
        ({"size": list(SIZE_HW)}, "damaged"),
        ({"size": list(SIZE_HW), "counts": "~~~"}, "damaged"),
        ({"size": list(SIZE_HW), "counts": rle(*BOX)["counts"][:-2]}, "damaged"),
        ({"size": list(SIZE_HW), "counts": [5]}, "add up"),
        ({"size": list(SIZE_HW), "counts": [HEIGHT * WIDTH + 1, -1]}, "add up"),
        ({"size": list(SIZE_HW), "counts": [True, HEIGHT * WIDTH - 1]}, "add up"),
        ([rle(*BOX), OTHER_SIZE], "have the size"),
        ([[0, 0, 5, 0, 5, 5]] * 65_536, "65,536 parts"),
    ],
)
def test_what_is_refused(segmentation, told):
    with pytest.raises(InputError, match=told) as error:
        to_mask(segmentation, SIZE_HW, "annotation 7")
    assert "annotation 7" in str(error.value)
