"""Frames in the order in which they are shown, whichever way they were tracked."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.types import TrackedFrame, TrackedObject, VideoPrompt
from evfsam.video.bidirectional import track_in_order
from evfsam.video.tracker import DIRECTIONS

PROMPTS = [VideoPrompt(1, "the red car", 6), VideoPrompt(2, "a tree", 3)]
CLIP = [np.full((12, 16, 3), i, np.uint8) for i in range(10)]


class ScriptedTracker:
    """Stands in for a model: each object's mask says object, frame and way."""

    def track(self, frames, prompts, direction, allow_overlap, redetect):
        starts = {p.object_id: p for p in reversed(prompts)}
        indices = range(max(p.frame_index for p in prompts), -1, -1) if direction == "backward" else range(10)
        for index in indices:
            objects = tuple(
                TrackedObject(
                    prompt=p.text,
                    mask_logits=np.where(mask_of(i, index, direction), 3.5, -3.5).astype(np.float32),
                    score=0.5,
                    presence=0.25,
                    warnings=("a warning",) if index == p.frame_index else (),
                    object_id=i,
                )
                for i, p in sorted(starts.items())
                if (index <= p.frame_index if direction == "backward" else index >= p.frame_index)
            )
            yield TrackedFrame(index, frames[index], objects)


def mask_of(object_id: int, index: int, direction: str) -> np.ndarray:
    mask = np.zeros((12, 16), bool)
    mask[index, : object_id + (8 if direction == "backward" else 0)] = True
    return mask


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_frame_once_in_order_with_all_its_objects(direction):
    steps = list(track_in_order(ScriptedTracker(), CLIP, PROMPTS, direction))
    shown = [step.frame for step in steps if step.in_order]
    assert [f.index for f in shown] == list(range(10))
    for frame in shown:
        assert frame.image is CLIP[frame.index]
        expected = {}
        for p in PROMPTS:
            forth = direction != "backward" and frame.index >= p.frame_index
            back = direction != "forward" and frame.index <= p.frame_index
            if forth or back:
                expected[p.object_id] = mask_of(p.object_id, frame.index, "forward" if forth else "backward")
        assert {o.object_id for o in frame.objects} == expected.keys()
        for o in frame.objects:
            assert np.array_equal(o.mask, expected[o.object_id])
            assert (o.score, o.presence) == (0.5, 0.25)
            assert o.prompt == PROMPTS[o.object_id - 1].text
            assert bool(o.warnings) == (frame.index == PROMPTS[o.object_id - 1].frame_index)


@pytest.mark.parametrize("direction, total", [("forward", 10), ("backward", 17), ("both", 17)])
def test_progress_counts_every_step(direction, total):
    steps = list(track_in_order(ScriptedTracker(), CLIP, PROMPTS, direction))
    assert [step.done for step in steps] == list(range(1, total + 1))
    assert {step.total for step in steps} == {total}
