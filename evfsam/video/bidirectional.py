"""Tracks in both directions and yields the frames in display order, with all objects.

The backward pass yields the last frame first. Its masks are stored as run lengths in a temporary file until the
forward pass reaches their frames.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from evfsam.media.export import decode_rle, encode_rle
from evfsam.types import TrackedFrame, TrackedObject, VideoPrompt
from evfsam.video.tracker import Direction, Frames, VideoTracker, check_prompts

STORED_LOGIT = 10.0  # of the pixels of a stored mask, whose logits were not stored


@dataclass(frozen=True)
class TrackingStep:
    """One processed frame.

    Attributes:
        frame: the frame with all objects known so far.
        in_order: True in the forward pass, which yields each frame once; False for previews from the backward pass.
        done: number of steps so far, including this one.
        total: number of all steps; None if the length of the clip is unknown.
    """

    frame: TrackedFrame
    in_order: bool
    done: int
    total: int | None


def track_in_order(
    tracker: VideoTracker,
    frames: Frames,
    prompts: Sequence[VideoPrompt | str],
    direction: Direction = "forward",
    allow_overlap: bool = True,
    redetect: bool = True,
) -> Iterator[TrackingStep]:
    """Track objects through a clip. Arguments and errors as in :meth:`evfsam.video.tracker.VideoTracker.track`.

    An object from the backward pass has its mask, but not its logits: they are +10 and -10.
    """
    checked = check_prompts(prompts)
    count = len(frames) if isinstance(frames, Sized) else None
    back: Iterator[TrackedFrame] = iter(())
    forth = _untracked(frames)
    if direction != "forward":
        back = tracker.track(frames, checked, "backward", allow_overlap, redetect)
    if direction != "backward":
        forth = tracker.track(frames, checked, "forward", allow_overlap, redetect)
    steps = 1 + max(p.frame_index for p in checked) if direction != "forward" else 0
    return _in_order(back, forth, None if count is None else count + steps)


def _untracked(frames: Frames) -> Iterator[TrackedFrame]:
    return (TrackedFrame(index, image, ()) for index, image in enumerate(frames))


def _in_order(back: Iterator[TrackedFrame], forth: Iterator[TrackedFrame], total: int | None) -> Iterator[TrackingStep]:
    done = 0
    with tempfile.TemporaryFile() as file:
        stored = _StoredFrames(file)
        for frame in back:
            done += 1
            stored.put(frame)
            yield TrackingStep(frame, False, done, total)
        for frame in forth:
            done += 1
            known = {o.object_id for o in frame.objects}
            before = tuple(o for o in stored.take(frame.index) if o.object_id not in known)
            yield TrackingStep(replace(frame, objects=before + frame.objects), True, done, total)


class _StoredFrames:
    """The objects of the backward pass, on disk. Each frame takes 8 bytes of memory."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._offsets = array("q")  # of frames last, last - 1, ... 0
        self._last = -1

    def put(self, frame: TrackedFrame) -> None:
        """Store the objects of the next frame, in backward order."""
        if not self._offsets:
            self._last = frame.index
        self._offsets.append(self._file.seek(0, 2))
        rows = [(o.object_id, o.prompt, o.score, o.presence, o.warnings, encode_rle(o.mask)) for o in frame.objects]
        self._file.write(json.dumps(rows).encode() + b"\n")

    def take(self, index: int) -> tuple[TrackedObject, ...]:
        """The stored objects of a frame; none for a frame that was not stored."""
        if not 0 <= self._last - index < len(self._offsets):
            return ()
        self._file.seek(self._offsets[self._last - index])
        rows = json.loads(self._file.readline())
        return tuple(from_mask(i, text, score, seen, told, decode_rle(rle)) for i, text, score, seen, told, rle in rows)


def from_mask(
    object_id: int, prompt: str, score: float, presence: float | None, warnings: Sequence[str], mask: np.ndarray
) -> TrackedObject:
    """An object of which only the mask, bool (H, W), is kept: its logits are +10 and -10."""
    logits = np.where(mask, np.float32(STORED_LOGIT), np.float32(-STORED_LOGIT))
    return TrackedObject(
        prompt=prompt,
        mask_logits=logits,
        score=score,
        presence=presence,
        warnings=tuple(warnings),
        object_id=object_id,
    )
