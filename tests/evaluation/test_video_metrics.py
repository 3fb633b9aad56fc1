"""J and F follow DAVIS; occlusion is counted by frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfsam.evaluation.video_metrics import VideoMetrics, boundary_f, contour, count_frames


def clip(*frames: str) -> np.ndarray:
    """One row of pixels per frame: "x" inside."""
    return np.array([[[pixel == "x" for pixel in row]] for row in frames])


def image(*rows: str) -> np.ndarray:
    return np.array([[pixel == "x" for pixel in row] for row in rows])


def square(side: int, top: int, left: int, size: int) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    mask[top : top + size, left : left + size] = True
    return mask


# predicted, target -> J, J of visible frames, J after the occlusion, hidden frames answered by an empty mask
CLIPS = {
    "perfect": (("xx--", "xx--"), ("xx--", "xx--"), 1, 1, None, None),
    "half lost": (("xx--", "x---"), ("xx--", "xx--"), 0.75, 0.75, None, None),
    "returns": (("xx--", "----", "--xx"), ("xx--", "----", "-xx-"), (1 + 1 + 1 / 3) / 3, (1 + 1 / 3) / 2, 1 / 3, 1),
    "stays put": (("xx--", "xx--", "----"), ("xx--", "----", "-xx-"), 1 / 3, 0.5, 0, 0),
}


@pytest.mark.parametrize("name", CLIPS)
def test_clips_worked_by_hand(name):
    predicted, target, *expected = CLIPS[name]
    metrics = VideoMetrics()
    metrics.update(count_frames(clip(*predicted), clip(*target)))
    scores = metrics.compute()
    found = [scores.j, scores.j_visible, scores.j_after_occlusion, scores.hidden_rejected]
    assert found == pytest.approx([np.nan if value is None else value for value in expected], nan_ok=True)


def test_j_and_f_are_means_over_objects_of_means_over_frames_and_parts_merge():
    perfect = count_frames(clip("xx--", "xx--", "xx--"), clip("xx--", "xx--", "xx--"))
    wrong = count_frames(clip("--xx"), clip("xx--"))
    first, second = VideoMetrics(), VideoMetrics()
    first.update(perfect)
    second.update(wrong)
    first.merge(second)
    scores = first.compute()
    assert (scores.prompts, scores.frames, scores.j) == (2, 4, 0.5)
    assert scores.f == (1 + wrong.f[0]) / 2 and scores.jf == (scores.j + scores.f) / 2
    assert scores.j_visible == 0.75


def test_a_contour_differs_from_a_neighbour_at_the_right_or_below():
    found = contour(image("-----", "-xxx-", "-xxx-", "-xxx-", "-----"))
    assert (found == image("xxxx-", "x--x-", "x--x-", "xxxx-", "-----")).all()
    assert not contour(np.ones((4, 4), bool)).any()  # a full image has none


@pytest.mark.parametrize(
    ("predicted", "target", "f"),
    [
        (square(100, 20, 20, 40), square(100, 20, 20, 40), 1),
        # 0.8 % of a diagonal of 141 px is 1.13 px, rounded up to 2.
        (square(100, 22, 20, 40), square(100, 20, 20, 40), 1),
        (square(100, 60, 60, 10), square(100, 10, 10, 10), 0),
        (np.zeros((100, 100), bool), np.zeros((100, 100), bool), 1),
        (np.zeros((100, 100), bool), square(100, 20, 20, 40), 0),
        (square(100, 20, 20, 40), np.zeros((100, 100), bool), 0),
    ],
)
def test_contours_match_within_the_tolerance(predicted, target, f):
    assert boundary_f(predicted, target) == f


def test_f_is_the_harmonic_mean_of_precision_and_recall():
    """A true square and a second one beside it: every true contour is found, half of the claimed one is right."""
    target = square(100, 10, 10, 20)
    assert boundary_f(target | square(100, 60, 60, 20), target) == pytest.approx(2 * 0.5 / 1.5)


def test_ignored_pixels_count_nowhere():
    counts = count_frames(clip("xxxx"), clip("xx--"), clip("--xx"))
    assert (counts.j, counts.predicted) == ([1], [2])


@given(st.lists(st.booleans(), min_size=64, max_size=64), st.lists(st.booleans(), min_size=64, max_size=64))
def test_f_is_symmetric_and_between_0_and_1(a, b):
    one, two = np.array(a).reshape(8, 8), np.array(b).reshape(8, 8)
    assert boundary_f(one, two) == pytest.approx(boundary_f(two, one))
    assert 0 <= boundary_f(one, two) <= 1 and boundary_f(one, one) == 1
