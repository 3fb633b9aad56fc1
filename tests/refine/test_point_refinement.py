"""The point inside a first mask."""

from __future__ import annotations

import pytest
import torch

from evfsam.refine.point_refinement import interior_points
from evfsam.types import Geometry

SQUARE = Geometry((256, 256), (256, 256), (256, 256))
PADDED = Geometry((100, 200), (128, 256), (256, 256))


def logits(*pieces: tuple[int, int, int, int, float]) -> torch.Tensor:
    """Logits (1, 64, 64), negative except in rectangles (top, left, bottom, right, logit)."""
    mask = torch.full((1, 64, 64), -6.0)
    for top, left, bottom, right, value in pieces:
        mask[0, top:bottom, left:right] = value
    return mask


@pytest.mark.parametrize(
    ("mask", "xy"),
    [
        pytest.param(logits((10, 20, 21, 31, 5)), (25.5, 15.5), id="the middle of a square"),
        pytest.param(
            logits((5, 5, 30, 30, 2), (40, 40, 49, 49, 6)), (44.5, 44.5), id="the surer piece, though smaller"
        ),
        pytest.param(logits((30, 10, 31, 11, 9), (40, 40, 49, 49, 6)), (44.5, 44.5), id="one cell by itself is noise"),
        pytest.param(logits((20, 30, 29, 39, -1)), (34.5, 24.5), id="the surest of an empty mask"),
        pytest.param(logits((0, 0, 5, 5, 5)), (2.5, 2.5), id="in the corner"),
    ],
)
def test_the_middle_of_what_a_mask_is_surest_of(mask, xy):
    points = interior_points(mask, SQUARE)
    assert points.shape == (1, 1, 2) and points.dtype == torch.float32
    assert points[0, 0].tolist() == pytest.approx([4 * side for side in xy], abs=4)


def test_a_click_falls_inside_a_ring_and_not_into_its_hole():
    ring = logits((10, 10, 50, 50, 5), (20, 20, 50, 40, -6))
    x, y = (interior_points(ring, SQUARE)[0, 0] / 4).int().tolist()
    assert ring[0, y, x] > 0


def test_what_pads_a_picture_is_not_clicked_on():
    mask = logits((40, 10, 60, 30, 9), (10, 10, 15, 15, 3))
    assert interior_points(mask, PADDED)[0, 0].tolist() == pytest.approx([50, 50], abs=4)
    assert interior_points(torch.cat([mask, mask]), PADDED).shape == (2, 1, 2)


def test_a_picture_of_one_row_of_cells():
    assert interior_points(logits((0, 30, 2, 33, 3)), Geometry((2, 256), (2, 256), (256, 256))).isfinite().all()
