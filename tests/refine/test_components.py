"""Which connected components of a mask stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfsam.refine.components import remove_small_components


def held(*pieces: tuple[int, int, int, int, float]) -> np.ndarray:
    """float32 (64, 64): outside but for rectangles of top, left, bottom, right, logit."""
    mask = np.full((64, 64), -6.0, np.float32)
    for top, left, bottom, right, value in pieces:
        mask[top:bottom, left:right] = value
    return mask


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
    after = remove_small_components(before, "largest")
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
    after = remove_small_components(before, "hysteresis")
    expected = held(*(piece for piece, stays in zip(pieces, stay, strict=True) if stays))
    np.testing.assert_array_equal(after > 0, expected > 0)
    kept = expected > 0
    np.testing.assert_array_equal(after[kept], before[kept])
    assert (after is before) == all(stay)


@pytest.mark.parametrize("keep", ["largest", "hysteresis"])
def test_nothing_of_a_piece_that_goes_comes_back_at_a_lower_threshold_but_the_others_grow_as_they_did(keep):
    thing, gone = (10, 10, 30, 30, 4), (50, 50, 54, 54, 1)
    rims = (8, 8, 32, 32, -0.5), (48, 48, 56, 56, -0.5)
    after = remove_small_components(held(*rims, thing, gone), keep)
    np.testing.assert_array_equal(after > -1, held(rims[0], thing) > -1)


@pytest.mark.parametrize("keep", ["largest", "hysteresis"])
def test_an_empty_mask_stays_as_it_is(keep):
    empty = held()
    assert remove_small_components(empty, keep) is empty


@pytest.mark.parametrize("keep", ["largest", "hysteresis"])
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30))
def test_dropping_pieces_takes_away_and_twice_is_once(keep, seed, height, width):
    before = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    after = remove_small_components(before, keep)
    assert after.dtype == np.float32 and (after <= before).all()
    assert (after > 0).any() == (before > 0).any()
    np.testing.assert_array_equal(remove_small_components(after, keep) > 0, after > 0)
