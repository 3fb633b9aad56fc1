"""Where a mask is surest, and which of its pieces stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evfsam.processing.masks import surest_points, without_faint, without_strays, worth_including
from evfsam.types import Geometry

SQUARE = Geometry((256, 256), (256, 256), (256, 256))
PADDED = Geometry((100, 200), (128, 256), (256, 256))


def logits(*pieces: tuple[int, int, int, int, float]) -> torch.Tensor:
    """(1, 64, 64): outside but for rectangles of top, left, bottom, right, logit."""
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
    points = surest_points(mask, SQUARE)
    assert points.shape == (1, 1, 2) and points.dtype == torch.float32
    assert points[0, 0].tolist() == pytest.approx([4 * side for side in xy], abs=4)


def test_a_click_falls_inside_a_ring_and_not_into_its_hole():
    ring = logits((10, 10, 50, 50, 5), (20, 20, 50, 40, -6))
    x, y = (surest_points(ring, SQUARE)[0, 0] / 4).int().tolist()
    assert ring[0, y, x] > 0


def test_what_pads_a_picture_is_not_clicked_on():
    mask = logits((40, 10, 60, 30, 9), (10, 10, 15, 15, 3))
    assert surest_points(mask, PADDED)[0, 0].tolist() == pytest.approx([50, 50], abs=4)
    assert surest_points(torch.cat([mask, mask]), PADDED).shape == (2, 1, 2)


def test_a_picture_of_one_row_of_cells():
    assert surest_points(logits((0, 30, 2, 33, 3)), Geometry((2, 256), (2, 256), (256, 256))).isfinite().all()


def test_logits_are_raised_to_where_the_expected_iou_is_best():
    """Pixels in or out by chance, with known probabilities: no other threshold gives a better IoU on average."""
    rng = np.random.default_rng(0)
    chances = rng.beta(0.3, 0.7, 400)
    truths = rng.random((3000, 400)) < chances
    thresholds = np.linspace(0.05, 0.95, 91)

    def iou(threshold: float) -> float:
        mask = chances > threshold
        return float(((truths & mask).sum(1) / (truths | mask).sum(1)).mean())

    best = thresholds[np.argmax([iou(t) for t in thresholds])]
    raised = worth_including(torch.tensor([iou(best)])).item()
    chosen = 1 / (1 + np.exp(raised))  # the probability whose logit is now 0
    assert chosen < 0.45 and iou(chosen) == pytest.approx(iou(best), abs=0.002) and iou(0.5) < iou(best) - 0.005


@pytest.mark.parametrize(("predicted", "raised"), [(1.0, 0.0), (1.3, 0.0), (0.5, 0.6931), (0.1, 1.204), (-0.2, 1.204)])
def test_a_predicted_iou_out_of_bounds_raises_no_more_than_its_bound(predicted, raised):
    assert worth_including(torch.tensor([predicted])).item() == pytest.approx(raised, abs=1e-3)


def held(*pieces: tuple[int, int, int, int, float]) -> np.ndarray:
    return logits(*pieces)[0].numpy()


THING = (10, 10, 30, 30, 4)


@pytest.mark.parametrize(
    ("others", "stay"),
    [
        pytest.param([], [], id="one piece"),
        pytest.param([(50, 50, 53, 53, 4)], [False], id="a speck"),
        pytest.param([(10, 40, 30, 60, 4)], [True], id="the other half of what something hides in the middle"),
        pytest.param([(10, 40, 30, 60, 1)], [False], id="as large, but doubtful"),
        pytest.param([(40, 10, 50, 20, 4), (40, 30, 60, 50, 3)], [False, True], id="each by itself"),
        pytest.param([(30, 30, 34, 34, 4)], [True], id="what touches a corner is no piece of its own"),
    ],
)
def test_small_pieces_apart_from_a_thing_are_no_part_of_it(others, stay):
    before = held(THING, *others)
    after = without_strays(before)
    expected = held(THING, *(piece for piece, stays in zip(others, stay, strict=True) if stays))
    np.testing.assert_array_equal(after > 0, expected > 0)
    kept = expected > 0
    np.testing.assert_array_equal(after[kept], before[kept])
    assert (after is before) == all(stay)


@pytest.mark.parametrize(
    ("pieces", "stay"),
    [
        pytest.param([THING], [True], id="one piece"),
        pytest.param([THING, (50, 50, 53, 53, 4)], [True, True], id="a small one that is sure"),
        pytest.param([THING, (50, 50, 53, 53, 1)], [True, False], id="a small one that is not"),
        pytest.param([THING, (35, 10, 55, 30, 1)], [True, True], id="a large one that is not"),
        pytest.param([(10, 10, 30, 30, 1), (50, 50, 53, 53, 1)], [True, False], id="the heaviest, though not sure"),
        pytest.param([THING, (50, 50, 55, 55, 1), (52, 52, 53, 53, 3)], [True, True, True], id="sure in one place"),
        pytest.param([THING, (30, 30, 34, 34, 1)], [True, True], id="what touches a corner is no piece of its own"),
    ],
)
def test_small_pieces_that_are_nowhere_sure_are_not_of_a_kind(pieces, stay):
    before = held(*pieces)
    after = without_faint(before)
    expected = held(*(piece for piece, stays in zip(pieces, stay, strict=True) if stays))
    np.testing.assert_array_equal(after > 0, expected > 0)
    kept = expected > 0
    np.testing.assert_array_equal(after[kept], before[kept])
    assert (after is before) == all(stay)


@pytest.mark.parametrize("without", [without_strays, without_faint])
def test_nothing_of_a_piece_that_goes_comes_back_at_a_lower_threshold_but_the_others_grow_as_they_did(without):
    thing, gone = (10, 10, 30, 30, 4), (50, 50, 54, 54, 1)
    rims = (8, 8, 32, 32, -0.5), (48, 48, 56, 56, -0.5)
    after = without(held(*rims, thing, gone))
    np.testing.assert_array_equal(after > -1, held(rims[0], thing) > -1)


@pytest.mark.parametrize("without", [without_strays, without_faint])
def test_an_empty_mask_stays_as_it_is(without):
    empty = held()
    assert without(empty) is empty


@pytest.mark.parametrize("without", [without_strays, without_faint])
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30))
def test_dropping_pieces_takes_away_and_twice_is_once(without, seed, height, width):
    before = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    after = without(before)
    assert after.dtype == np.float32 and (after <= before).all()
    assert (after > 0).any() == (before > 0).any()
    np.testing.assert_array_equal(without(after) > 0, after > 0)
