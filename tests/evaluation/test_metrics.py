"""gIoU and cIoU follow the field's conventions, for any masks in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfsam.evaluation.metrics import MaskMetrics

EMPTY = "...."


def mask(row: str) -> np.ndarray:
    return np.array([[character == "#" for character in row]])


def measure(pairs) -> MaskMetrics:
    metrics = MaskMetrics()
    for predicted, target in pairs:
        metrics.update(predicted, target)
    return metrics


# (predicted, target) pairs -> gIoU, cIoU, absent answered empty, present denied
TABLE = {
    "perfect": ([("##..", "##..")], 1, 1, math.nan, 0),
    "half": ([("####", "##..")], 0.5, 0.5, math.nan, 0),
    "beside": ([("##..", "..##")], 0, 0, math.nan, 0),
    "denied": ([(EMPTY, "##..")], 0, 0, math.nan, 1),
    "absent, seen through": ([(EMPTY, EMPTY)], 1, 1, 1, math.nan),
    "absent, claimed": ([("#...", EMPTY)], 0, 0, 0, math.nan),
    # gIoU takes every sample alike, cIoU every pixel: (1 + 1/4) / 2 against (1 + 1) / (1 + 4)
    "small and large": ([("#...", "#..."), ("#...", "####")], 0.625, 0.4, math.nan, 0),
    "an absent one adds to the unions": ([("##..", "##.."), ("##..", EMPTY)], 0.5, 0.5, 0, 0),
    "one of two absent": ([("####", "####"), (EMPTY, EMPTY), ("#...", EMPTY)], 2 / 3, 0.8, 0.5, 0),
    "nothing measured": ([], math.nan, math.nan, math.nan, math.nan),
}


@pytest.mark.parametrize("name", TABLE)
def test_hand_made_table(name):
    pairs, *expected = TABLE[name]
    scores = measure((mask(p), mask(t)) for p, t in pairs).compute()
    measured = [scores.giou, scores.ciou, scores.absent_answered_empty, scores.present_denied]
    assert measured == pytest.approx(expected, nan_ok=True)
    assert scores.samples == len(pairs)


masks = st.lists(st.booleans(), min_size=12, max_size=12).map(lambda values: np.array(values).reshape(3, 4))
samples = st.lists(st.tuples(masks, masks), min_size=1, max_size=8)


@given(samples, st.integers(0, 8), st.randoms(use_true_random=False))
def test_parts_merge_in_any_order(pairs, cut, random):
    whole = measure(pairs).compute()
    shuffled = random.sample(pairs, len(pairs))
    first, second = measure(shuffled[:cut]), measure(shuffled[cut:])
    second.merge(first)
    merged = second.compute()
    assert (merged.ciou, merged.samples) == (whole.ciou, whole.samples)
    assert merged.giou == pytest.approx(whole.giou)
    assert merged.present_denied == pytest.approx(whole.present_denied, nan_ok=True)


@given(samples)
def test_only_the_truth_is_perfect(pairs):
    assert measure((target, target) for _, target in pairs).compute().giou == 1
    assert measure((target, target) for _, target in pairs).compute().ciou == 1
    scores = measure(pairs).compute()
    assert 0 <= scores.giou <= 1 and 0 <= scores.ciou <= 1
    assert (scores.giou == 1) == all((predicted == target).all() for predicted, target in pairs)


@given(masks, masks)
def test_one_sample_is_symmetric_and_both_scores_agree(a, b):
    forth, back = measure([(a, b)]).compute(), measure([(b, a)]).compute()
    assert forth.giou == back.giou == forth.ciou == MaskMetrics().update(a, b)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        MaskMetrics().update(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
