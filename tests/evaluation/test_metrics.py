"""Scores of images follow the field's definitions, for any masks in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfsam.evaluation.metrics import MaskMetrics, count_as_reference, count_pixels

EMPTY = "...."
NAN = math.nan


def mask(row: str) -> np.ndarray:
    return np.array([[character != "." for character in row]])


def measure(pairs) -> MaskMetrics:
    metrics = MaskMetrics()
    for predicted, target in pairs:
        metrics.update(count_pixels(predicted, target))
    return metrics


# (predicted, target) pairs -> gIoU, cIoU, mIoU, oIoU, N-acc, T-acc
TABLE = {
    "perfect": ([("##..", "##..")], 1, 1, 1, 1, NAN, 1),
    "half": ([("####", "##..")], 0.5, 0.5, 0.5, 0.5, NAN, 1),
    "beside": ([("##..", "..##")], 0, 0, 0, 0, NAN, 1),
    "rejected": ([(EMPTY, "##..")], 0, 0, 0, 0, NAN, 0),
    "absent, rejected": ([(EMPTY, EMPTY)], 1, 1, NAN, NAN, 1, NAN),
    "absent, claimed": ([("#...", EMPTY)], 0, 0, NAN, NAN, 0, NAN),
    # gIoU counts every sample alike, cIoU every pixel: (1 + 1/4) / 2 and (1 + 1) / (1 + 4)
    "small and large": ([("#...", "#..."), ("#...", "####")], 0.625, 0.4, 0.625, 0.4, NAN, 1),
    # An absent prompt that is claimed adds to the unions of cIoU (gRefCOCO), not to those of oIoU (Ref-ZOM).
    "one absent": ([("##..", "##.."), ("##..", EMPTY)], 0.5, 0.5, 1, 1, 0, 1),
    "two absent": ([("####", "##.."), (EMPTY, EMPTY), ("#...", EMPTY)], 0.5, 0.4, 0.5, 0.5, 0.5, 1),
    "nothing measured": ([], NAN, NAN, NAN, NAN, NAN, NAN),
}


@pytest.mark.parametrize("name", TABLE)
def test_cases_worked_by_hand(name):
    pairs, *expected = TABLE[name]
    scores = measure((mask(p), mask(t)) for p, t in pairs).compute()
    measured = [scores.giou, scores.ciou, scores.miou, scores.oiou, scores.n_acc, scores.t_acc]
    assert measured == pytest.approx(expected, nan_ok=True)
    assert scores.prompts == len(pairs)


def test_precision_counts_prompts_with_a_target_and_includes_the_threshold():
    ious = [("#...", "#..."), ("####", "##.."), ("###.", "####"), (EMPTY, EMPTY)]  # 1, 0.5, 0.75 and an absent one
    scores = measure((mask(p), mask(t)) for p, t in ious).compute()
    assert scores.precision == pytest.approx((1, 2 / 3, 2 / 3, 1 / 3, 1 / 3))


@pytest.mark.parametrize(
    ("predicted", "target", "ignore", "iou"),
    [
        ("####", "##..", "..##", 1),
        ("#..#", "##..", "...#", 0.5),
        ("####", "##..", "####", 1),  # nothing is left to compare
        (".#..", "##..", "#...", 1),
    ],
)
def test_ignored_pixels_count_nowhere(predicted, target, ignore, iou):
    assert count_pixels(mask(predicted), mask(target), mask(ignore)).iou == iou


@pytest.mark.parametrize(
    ("predicted", "target", "overlap", "clean", "reference"),
    [
        # A perfect prediction of 3 pixels, one of them in two polygons.
        ("###.", "###.", "#...", 1, 2 / 3),
        # The pixel that two polygons cover is missed: the reference does not notice.
        (".##.", "###.", "#...", 2 / 3, 1),
        ("##..", "###.", "....", 2 / 3, 2 / 3),
        ("....", "#...", "#...", 0, 1),
        ("....", "....", "....", 1, 1),
        ("#...", "....", "....", 0, 0),
    ],
)
def test_the_reference_drops_pixels_that_several_polygons_cover(predicted, target, overlap, clean, reference):
    assert count_pixels(mask(predicted), mask(target)).iou == pytest.approx(clean)
    assert count_as_reference(mask(predicted), mask(target), mask(overlap)).iou == pytest.approx(reference)


masks = st.lists(st.booleans(), min_size=12, max_size=12).map(lambda values: np.array(values).reshape(3, 4))
samples = st.lists(st.tuples(masks, masks), min_size=1, max_size=8)


@given(samples, st.integers(0, 8), st.randoms(use_true_random=False))
def test_parts_merge_in_any_order(pairs, cut, random):
    whole = measure(pairs).compute()
    shuffled = random.sample(pairs, len(pairs))
    first, second = measure(shuffled[:cut]), measure(shuffled[cut:])
    second.merge(first)
    merged = second.compute()
    assert (merged.ciou, merged.prompts, merged.absent) == (whole.ciou, whole.prompts, whole.absent)
    for name in ("giou", "miou", "oiou", "precision", "n_acc", "t_acc"):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name), nan_ok=True)


@given(samples)
def test_only_the_truth_is_perfect(pairs):
    perfect = measure((target, target) for _, target in pairs).compute()
    assert perfect.giou == perfect.ciou == 1
    scores = measure(pairs).compute()
    assert 0 <= scores.giou <= 1 and 0 <= scores.ciou <= 1
    assert (scores.giou == 1) == all((predicted == target).all() for predicted, target in pairs)


@given(masks, masks)
def test_one_prompt_is_symmetric_and_its_scores_agree(a, b):
    forth, back = measure([(a, b)]).compute(), measure([(b, a)]).compute()
    assert forth.giou == back.giou == forth.ciou == count_pixels(a, b).iou


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        count_pixels(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
