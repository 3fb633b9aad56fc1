"""Name it once, follow it through a clip: frames in, masks out, one at a time.

The tracker opens no file and keeps no frame. What it remembers grows with the number of objects and of
prompts, never with the length of the clip. It does not know how many frames there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from evfsam.checkpoints.registry import video_warning
from evfsam.errors import InputError, VideoError
from evfsam.predictor import Predictor
from evfsam.types import TrackedFrame, VideoPrompt
from evfsam.video.propagate import ObjectMasks, Propagator, name_of, phrases_alone, tracked_objects

Direction = Literal["forward", "backward", "both"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")


@runtime_checkable
class FrameSource(Protocol):
    """Frames, uint8 (H, W, 3), that can be read more than once and in both directions.

    ``evfsam.media.video.VideoReader`` is one. ``backwards`` raises VideoError if there is no such frame.
    """

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames 0, 1, ... to the end."""

    def backwards(self, first: int) -> Iterator[np.ndarray]:
        """Frames first, first - 1, ... 0."""


Frames = FrameSource | Iterable[np.ndarray]


class VideoTracker:
    """Follows objects through clips with one checkpoint; any number of clips at once."""

    def __init__(self, predictor: Predictor):
        """Raises VideoError if the checkpoint has no memory to follow things with."""
        segmenter = predictor.model.config.segmenter
        if not getattr(segmenter, "memory", False):
            info = predictor.checkpoint.info
            raise VideoError(video_warning(info) or f"{info.name} has no memory to follow things with; use another.")
        self.predictor = predictor

    def track(
        self,
        frames: Frames,
        prompts: Sequence[VideoPrompt] | Sequence[str],
        direction: Direction = "forward",
        allow_overlap: bool = True,
        find_again: bool = True,
    ) -> Iterator[TrackedFrame]:
        """Follow every prompted object, each from the frame of its first prompt.

        Args:
            frames: an iterable, read once and never ahead; or, to go backwards, a :class:`FrameSource` or a
                sequence.
            prompts: several of one object on different frames correct its track. Plain phrases are objects 1,
                2, ... on frame 0.
            direction: "forward" goes through the whole clip; "backward" from the last object's first prompt
                to the start; "both" goes backward, then forward. Corrections count on the way forward only.
            allow_overlap: False gives a pixel that several objects claim to the one with the highest logit.
            find_again: ask for objects by their words on every frame, beside what the memory says, if the checkpoint
                learned to say that words name nothing (the published ones did not: nothing changes).

        Yields every frame of the way as soon as it is done, with the objects whose prompt has been met. With
        "both" the frames before the prompts come twice: on the way back with objects, then without them. An
        object that its prompt did not find has an empty mask and a warning. Close the iterator to stop.

        Raises InputError for prompts that cannot be used; while iterating, VideoError if the clip ends before
        a prompted frame.
        """
        prompts = check_prompts(prompts)
        if direction not in DIRECTIONS:
            raise InputError(f"Unknown direction {direction!r}; choose one of {', '.join(DIRECTIONS)}.")
        if direction != "forward" and not (isinstance(frames, FrameSource) or hasattr(frames, "__getitem__")):
            raise InputError("These frames can be read forward only: track forward, or give them as a list.")
        return self._track(frames, prompts, direction, allow_overlap, find_again)

    def preview(self, image: np.ndarray, prompts: Sequence[VideoPrompt]) -> TrackedFrame:
        """What :meth:`track` will say of a prompted frame; all prompts are taken to speak of this picture."""
        encoded = self.predictor.encode(image)
        said = self.predictor.answers(encoded, [p.phrase for p in prompts], [p.clicks for p in prompts])
        answers = [
            ObjectMasks(p.object_id, name_of(p), masks, warnings, prompted=True)
            for p, (masks, warnings) in zip(prompts, said, strict=True)
        ]
        objects = tracked_objects(self.predictor, answers, encoded, True, phrases_alone(prompts))
        return TrackedFrame(prompts[0].frame_index, image, objects)

    def scan(self, frames: Iterable[np.ndarray], phrase: str, every: int = 1) -> Iterator[TrackedFrame]:
        """Look for the first frame on which a phrase finds something.

        Yields each frame that was looked at, every ``every``-th; the search ends with the first whose object
        is visible, or with the clip.
        """
        for index, picture in enumerate(frames):
            if index % every == 0:
                looked = self.preview(picture, [VideoPrompt(1, phrase, index)])
                yield looked
                if looked.objects[0].visible:
                    return

    def _track(
        self,
        frames: Frames,
        prompts: list[VideoPrompt],
        direction: Direction,
        allow_overlap: bool,
        find_again: bool,
    ) -> Iterator[TrackedFrame]:
        if direction != "forward":
            starts = {p.object_id: p.frame_index for p in reversed(prompts)}
            first = max(starts.values())
            first_prompts = [p for p in prompts if p.frame_index == starts[p.object_id]]
            propagator = Propagator(self.predictor, first_prompts, reverse=True, find_again=find_again)
            for index, picture in zip(range(first, -1, -1), _backwards(frames, first), strict=False):
                yield TrackedFrame(index, picture, propagator.step(index, picture, allow_overlap))
        if direction != "backward":
            index, propagator = -1, Propagator(self.predictor, prompts, reverse=False, find_again=find_again)
            for index, picture in enumerate(frames):
                yield TrackedFrame(index, picture, propagator.step(index, picture, allow_overlap))
            if index < prompts[-1].frame_index:
                raise _ends_before(prompts[-1].frame_index)


def check_prompts(prompts: Sequence[VideoPrompt] | Sequence[str]) -> list[VideoPrompt]:
    """Prompts in the order of their frames; raises InputError for some that cannot be used together."""
    if isinstance(prompts, str):
        prompts = [prompts]
    prompts = [VideoPrompt(i, p) if isinstance(p, str) else p for i, p in enumerate(prompts, start=1)]
    if not prompts:
        raise InputError("There is nothing to follow: type what to look for, or click on it.")
    places = set()
    for prompt in prompts:
        if not prompt.phrase.strip() and prompt.clicks is None:
            raise InputError(f"Object {prompt.object_id} has neither words nor clicks: give it one of them.")
        if prompt.frame_index < 0:
            raise InputError(f"There is no frame {prompt.frame_index}: frames count from 0.")
        if (prompt.object_id, prompt.frame_index) in places:
            place = f"Object {prompt.object_id} has two prompts on frame {prompt.frame_index}"
            raise InputError(f"{place}: join them into one.")
        places.add((prompt.object_id, prompt.frame_index))
    return sorted(prompts, key=lambda p: p.frame_index)


def _backwards(frames: Frames, first: int) -> Iterator[np.ndarray]:
    if isinstance(frames, FrameSource):
        return frames.backwards(first)
    if first >= len(frames):
        raise _ends_before(first)
    return (frames[i] for i in range(first, -1, -1))


def _ends_before(index: int) -> VideoError:
    return VideoError(f"The clip ends before frame {index}, which has a prompt: choose a frame inside the clip.")
