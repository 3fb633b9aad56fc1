"""What is followed anew when prompts change, and that it goes on from what is known."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.checkpoints.load import load_checkpoint
from evfsam.predictor import Predictor
from evfsam.runtime import choose_runtime
from evfsam.types import PointPrompt, SpatialPrompt, VideoPrompt
from evfsam.video.follow import Leg, follow, legs_after
from evfsam.video.tracker import VideoTracker
from tests.random_tracker import save_random_tracker

FRAMES = 14
CLICK = SpatialPrompt(PointPrompt(np.array([[20.0, 12.0]]), np.array([1])))
OTHER_CLICK = SpatialPrompt(PointPrompt(np.array([[9.0, 9.0]]), np.array([0])))
BOX = SpatialPrompt(box=(5.0, 5.0, 30.0, 25.0))
CAR, TREE = VideoPrompt(1, "the red car", 4), VideoPrompt(2, "a tree", 4)


def on(frame: int, spatial: SpatialPrompt | None = CLICK, text: str = "") -> VideoPrompt:
    return VideoPrompt(1, text, frame, spatial)


@pytest.mark.parametrize(
    ("before", "after", "direction", "legs"),
    [
        pytest.param([], [CAR, TREE], "forward", [Leg({1: 4, 2: 4})], id="all of it"),
        pytest.param([], [CAR], "backward", [Leg({1: 4}, True)], id="to the start"),
        pytest.param([], [CAR, TREE], "both", [Leg({1: 4, 2: 4}, True), Leg({1: 4, 2: 4})], id="both ways"),
        pytest.param([CAR, TREE], [CAR, TREE], "both", [], id="nothing changed"),
        pytest.param([CAR, TREE], [CAR, TREE, on(9)], "forward", [Leg({1: 9})], id="a click later"),
        pytest.param([CAR, TREE], [CAR, TREE, on(9, BOX)], "forward", [Leg({1: 9})], id="a box later"),
        pytest.param([CAR], [CAR, on(9, None, "the bus")], "forward", [Leg({1: 9})], id="other words later"),
        pytest.param([CAR, on(9)], [CAR, on(9, OTHER_CLICK)], "forward", [Leg({1: 9})], id="another click there"),
        pytest.param([CAR, on(9)], [CAR], "forward", [Leg({1: 9})], id="a click taken back"),
        pytest.param([CAR], [CAR, on(9), on(6)], "forward", [Leg({1: 6})], id="two clicks"),
        pytest.param([CAR], [CAR, on(2)], "forward", [Leg({1: 2})], id="a click before the name"),
        pytest.param([CAR], [CAR, on(9), on(6)], "backward", [Leg({1: 9}, True)], id="towards the start"),
        pytest.param([CAR], [CAR, on(9), on(2)], "both", [Leg({1: 2}, True), Leg({1: 9})], id="away from the name"),
        pytest.param([CAR], [CAR, TREE], "forward", [Leg({2: 4})], id="one more object"),
        pytest.param([CAR, TREE], [CAR], "forward", [], id="one object less"),
    ],
)
def test_only_what_changed_is_followed_again(before, after, direction, legs):
    assert list(legs_after(before, after, direction)) == legs


@pytest.mark.parametrize(
    ("leg", "index", "left"),
    [
        (Leg({1: 4, 2: 8}), 5, Leg({1: 6, 2: 8})),
        (Leg({1: 4}), FRAMES - 1, None),
        (Leg({1: 4, 2: 8}, True), 6, Leg({1: 4, 2: 5}, True)),
        (Leg({1: 4}, True), 0, None),
    ],
)
def test_what_is_left_of_a_leg(leg, index, left):
    assert leg.after(index, FRAMES) == left


class Film(list):
    """Frames with the methods of a VideoReader."""

    def between(self, first, stop):
        return iter(self[first:stop])

    def backwards(self, first):
        return reversed(self[: first + 1])

    def frame(self, index):
        return self[index]


class Masks(dict):
    """(object id, frame) -> mask, as runs before left them."""

    def run(self, tracker, film, prompts, legs):
        """Follow, and return what was made."""
        made = []
        for _, frame in follow(tracker, film, prompts, legs, lambda *place: self.get(place)):
            for o in frame.objects:
                self[o.object_id, frame.index] = o.mask
                made.append((o.object_id, frame.index))
        return made


@pytest.fixture(scope="module")
def tracker(tmp_path_factory) -> VideoTracker:
    folder = save_random_tracker(tmp_path_factory.mktemp("model") / "tiny")
    return VideoTracker(Predictor(load_checkpoint(folder), choose_runtime("cpu")))


@pytest.fixture(scope="module")
def film() -> Film:
    noise = np.random.default_rng(0).integers(0, 256, (36, 96, 3), np.uint8)
    return Film(np.ascontiguousarray(noise[:, i : i + 48]) for i in range(FRAMES))


@pytest.fixture(scope="module")
def followed(tracker, film) -> Masks:
    masks = Masks()
    masks.run(tracker, film, [CAR, TREE], legs_after([], [CAR, TREE], "both"))
    return masks


def test_a_whole_run_is_what_the_tracker_finds(tracker, film, followed):
    for direction in ("backward", "forward"):
        for frame in tracker.track(film, [CAR, TREE], direction):
            for o in frame.objects:
                assert np.array_equal(followed[o.object_id, frame.index], o.mask)
    assert len(followed) == 2 * FRAMES


@pytest.mark.parametrize(
    "correction",
    [on(9), on(9, BOX), on(9, None, "the bus"), on(9, CLICK, "the bus")],
    ids=["click", "box", "words", "both"],
)
def test_a_correction_keeps_all_other_masks(tracker, film, followed, correction):
    masks, prompts = Masks(followed), [CAR, TREE, correction]
    made = masks.run(tracker, film, prompts, legs_after([CAR, TREE], prompts, "both"))
    assert made == [(1, i) for i in range(9, FRAMES)]
    for place, mask in followed.items():
        if place not in made:
            assert masks[place] is mask
    assert any(not np.array_equal(masks[place], followed[place]) for place in made)


def test_a_run_goes_on_where_it_stopped(tracker, film, followed):
    masks, leg = Masks(), Leg({1: 4, 2: 4})
    for done, frame in follow(tracker, film, [CAR, TREE], [leg], lambda *place: masks.get(place)):
        masks.update({(o.object_id, frame.index): o.mask for o in frame.objects})
        if frame.index == 8:
            left = done.after(8, FRAMES)
            break
    made = masks.run(tracker, film, [CAR, TREE], [left])
    assert sorted(made) == [(i, frame) for i in (1, 2) for frame in range(9, FRAMES)]
    assert all(np.array_equal(masks[place], followed[place]) for place in masks if place[1] < 9)
