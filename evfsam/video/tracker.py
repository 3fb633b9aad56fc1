"""Tracks prompted objects through frames and yields their masks frame by frame.

The tracker opens no file and keeps no frame. Its memory grows with the number of objects and prompts, not with the
length of the clip, which it does not need to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from evfsam import values
from evfsam.checkpoints.registry import video_warning
from evfsam.errors import InputError, VideoError
from evfsam.media.images import open_frames
from evfsam.predictor import Predictor
from evfsam.types import SpatialPrompt, TrackedFrame, VideoPrompt
from evfsam.video.propagate import Propagator, finish_objects, prompted_masks, text_only

Direction = Literal["forward", "backward", "both"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")


@runtime_checkable
class FrameSource(Protocol):
    """Frames, uint8 (H, W, 3), that can be read several times and in both directions, such as a
    :class:`evfsam.media.video.VideoReader`.
    """

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames 0, 1, ... to the end."""

    def backwards(self, first: int) -> Iterator[np.ndarray]:
        """Frames first, first - 1, ... 0. Raises VideoError if there is no frame ``first``."""


Frames = FrameSource | Iterable[np.ndarray]


class VideoTracker:
    """Tracks objects through any number of clips with one checkpoint."""

    def __init__(self, predictor: Predictor):
        """Raises VideoError if the checkpoint has no memory and therefore cannot track."""
        segmenter = predictor.model.config.segmenter
        if not getattr(segmenter, "memory", False):
            info = predictor.info
            raise VideoError(video_warning(info) or f"{info.name} cannot track: it has no memory; use another.")
        self.predictor = predictor

    @classmethod
    def from_pretrained(
        cls, name: str | Path | None = None, device: str = "auto", precision: str = "auto"
    ) -> VideoTracker:
        """Load a checkpoint. Arguments and errors as in :meth:`Predictor.from_pretrained`, and VideoError as above."""
        return cls(Predictor.from_pretrained(name, device, precision))

    def track(
        self,
        frames: Frames,
        prompts: Sequence[VideoPrompt | str],
        direction: Direction = "forward",
        allow_overlap: bool = True,
        redetect: bool = True,
    ) -> Iterator[TrackedFrame]:
        """Track every prompted object, each from the frame of its first prompt.

        Args:
            frames: an iterable of images of one size: uint8 (H, W, 3), or anything that
                :func:`evfsam.media.images.open_image` reads. Each frame is read once, when it is needed. "backward"
                and "both" need a :class:`FrameSource` or a sequence.
            prompts: several prompts of one object on different frames correct its track. Plain texts are objects 1,
                2, ... on frame 0.
            direction: "forward" goes through the whole clip. "backward" goes from the last object's first prompt to
                the start. "both" goes backward, then forward. Only the forward pass uses corrections.
            allow_overlap: False gives a pixel inside several masks to the object with the highest logit.
            redetect: detect every text again on every frame, see :class:`~evfsam.video.propagate.Propagator`. It has
                no effect with the published checkpoints.

        Yields each frame when it is done, with the objects that have been prompted so far. With "both", frames before
        the prompts come twice: first with objects, later without. An object whose prompt found nothing has an empty
        mask and a warning. Close the iterator to stop.

        Raises InputError for wrong arguments. While iterating it raises InputError for a frame that is no image or has
        another size, and VideoError if the clip ends before a prompted frame.
        """
        checked = check_prompts(prompts)
        values.choice(direction, "direction", DIRECTIONS)
        values.flag(allow_overlap, "allow_overlap")
        values.flag(redetect, "redetect")
        if isinstance(frames, str | bytes) or not isinstance(frames, Iterable):
            raise InputError(f"Frames are {values.shown(frames)}: give a list of images, or VideoReader(path).")
        if direction != "forward" and not (isinstance(frames, FrameSource) or hasattr(frames, "__getitem__")):
            raise InputError("These frames can be read forward only: track forward, or give them as a list.")
        return self._track(frames, checked, direction, allow_overlap, redetect)

    def preview(self, image: np.ndarray, prompts: Sequence[VideoPrompt]) -> TrackedFrame:
        """The result of :meth:`track` on one frame, uint8 (H, W, 3), as if all prompts belonged to it."""
        encoded = self.predictor.encode(image)
        found = prompted_masks(self.predictor, encoded, prompts)
        objects = finish_objects(self.predictor, found, encoded, True, text_only(prompts))
        return TrackedFrame(prompts[0].frame_index, image, objects)

    def scan(self, frames: Iterable[np.ndarray], text: str, every: int = 1) -> Iterator[TrackedFrame]:
        """Find the first frame that shows what a text names.

        Yields every ``every``-th frame. It ends after the first frame with a visible object, or at the end of the clip.
        """
        for index, image in enumerate(frames):
            if index % every == 0:
                looked = self.preview(image, [VideoPrompt(1, text, index)])
                yield looked
                if looked.objects[0].visible:
                    return

    def _track(
        self,
        frames: Frames,
        prompts: list[VideoPrompt],
        direction: Direction,
        allow_overlap: bool,
        redetect: bool,
    ) -> Iterator[TrackedFrame]:
        if direction != "forward":
            starts = {p.object_id: p.frame_index for p in reversed(prompts)}
            first = max(starts.values())
            first_prompts = [p for p in prompts if p.frame_index == starts[p.object_id]]
            propagator = Propagator(self.predictor, first_prompts, reverse=True, redetect=redetect)
            for index, image in zip(range(first, -1, -1), open_frames(_backwards(frames, first)), strict=False):
                yield TrackedFrame(index, image, propagator.step(index, image, allow_overlap))
        if direction != "backward":
            index, propagator = -1, Propagator(self.predictor, prompts, reverse=False, redetect=redetect)
            for index, image in enumerate(open_frames(frames)):
                yield TrackedFrame(index, image, propagator.step(index, image, allow_overlap))
            if index < prompts[-1].frame_index:
                raise _ends_before(prompts[-1].frame_index)


def check_prompts(prompts: Sequence[VideoPrompt | str]) -> list[VideoPrompt]:
    """The prompts in the order of their frames. Raises InputError for wrong values and contradictions."""
    if isinstance(prompts, str):
        prompts = [prompts]
    if not isinstance(prompts, Sequence):
        raise InputError(f"Prompts are {values.shown(prompts)}: give a list of texts or of VideoPrompt.")
    given = [p if isinstance(p, VideoPrompt) else VideoPrompt(i, p) for i, p in enumerate(prompts, start=1)]
    if not given:
        raise InputError("There is nothing to track: type what to look for, or click on it.")
    places = set()
    for prompt in given:
        values.prompt_text(prompt.text)
        values.number(prompt.object_id, "The object_id of a prompt", whole=True)
        if prompt.spatial is not None and not isinstance(prompt.spatial, SpatialPrompt):
            raise InputError(f"The points and box are {values.shown(prompt.spatial)}: give a SpatialPrompt or None.")
        values.number(prompt.frame_index, "The frame of a prompt", 0, whole=True)
        if not prompt.text.strip() and prompt.spatial is None:
            raise InputError(f"Object {prompt.object_id} has neither text nor points nor a box: give it one of them.")
        if (prompt.object_id, prompt.frame_index) in places:
            place = f"Object {prompt.object_id} has two prompts on frame {prompt.frame_index}"
            raise InputError(f"{place}: join them into one.")
        places.add((prompt.object_id, prompt.frame_index))
    return sorted(given, key=lambda p: p.frame_index)


def _backwards(frames: Frames, first: int) -> Iterator[np.ndarray]:
    if isinstance(frames, FrameSource):
        return frames.backwards(first)
    images: Any = frames  # a list, a tuple or an array: track() found that it has indices
    if first >= len(images):
        raise _ends_before(first)
    return (images[i] for i in range(first, -1, -1))


def _ends_before(index: int) -> VideoError:
    return VideoError(f"The clip ends before frame {index}, which has a prompt: choose a frame inside the clip.")
