"""Follows objects through a clip in legs, so that a correction makes anew only what it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evfsam.types import TrackedFrame, VideoPrompt
from evfsam.video.propagate import Propagator
from evfsam.video.tracker import Direction, FrameSource, VideoTracker

RECENT = 2  # frames before a leg that are remembered; with 6, all that SAM-2 looks back, clips came out no better
Known = Callable[[int, int], "np.ndarray | None"]  # (object id, frame index) -> bool (H, W)


class Clip(FrameSource, Protocol):
    """Frames that can be read from any place, such as a :class:`evfsam.media.video.VideoReader`."""

    def __len__(self) -> int: ...

    def frame(self, index: int) -> np.ndarray: ...

    def between(self, first: int, stop: int) -> Iterator[np.ndarray]: ...


@dataclass(frozen=True)
class Leg:
    """One pass through a clip.

    Attributes:
        starts: object id -> the first frame on which its mask is made anew; the leg ends where the clip does.
        reverse: towards the start of the clip.
    """

    starts: Mapping[int, int]
    reverse: bool = False

    @property
    def first(self) -> int:
        return max(self.starts.values()) if self.reverse else min(self.starts.values())

    def makes(self, object_id: int, index: int) -> bool:
        """Whether the leg makes this object's mask on this frame."""
        start = self.starts.get(object_id)
        return start is not None and (index <= start if self.reverse else index >= start)

    def length(self, frames: int) -> int:
        """Number of its frames in a clip of ``frames``."""
        return self.first + 1 if self.reverse else max(0, frames - self.first)

    def after(self, index: int, frames: int) -> Leg | None:
        """What is left of it when this frame is done; None if nothing is."""
        ahead = index - 1 if self.reverse else index + 1
        if not 0 <= ahead < frames:
            return None
        nearer = min if self.reverse else max
        return Leg({i: nearer(start, ahead) for i, start in self.starts.items()}, self.reverse)


def legs_after(before: Sequence[VideoPrompt], after: Sequence[VideoPrompt], direction: Direction) -> tuple[Leg, ...]:
    """What has to be followed anew when the prompts of a clip change.

    The rule: objects do not know of each other, so only those whose prompts changed are followed again. "forward"
    starts on the first frame with a changed prompt and goes to the end; "backward" starts on the last one and goes to
    the start; "both" goes away from the frame on which the object was named. All other masks stay as they are. The
    memory is made again from the object's earlier prompts and from its masks on the :data:`RECENT` frames before.

    Args:
        before, after: in the order in which they were given; the first prompt of an object names it.
    """
    back, forth = {}, {}
    for object_id in dict.fromkeys(p.object_id for p in after):
        mine = [p for p in after if p.object_id == object_id]
        theirs = [p for p in before if p.object_id == object_id]
        changed = {key[0] for key in {_key(p) for p in mine} ^ {_key(p) for p in theirs}}
        named = mine[0].frame_index if direction == "both" else None
        later = [i for i in changed if named is None or i >= named]
        earlier = [i for i in changed if named is None or i <= named]
        if later and direction != "backward":
            forth[object_id] = min(later)
        if earlier and direction != "forward":
            back[object_id] = max(earlier)
    return (*([Leg(back, reverse=True)] if back else []), *([Leg(forth)] if forth else []))


def follow(
    tracker: VideoTracker,
    clip: Clip,
    prompts: Sequence[VideoPrompt],
    legs: Sequence[Leg],
    known: Known,
    redetect: bool = True,
) -> Iterator[tuple[Leg, TrackedFrame]]:
    """Make the masks of these legs: each frame with the objects whose masks are made on it.

    Args:
        clip: its frames.
        prompts: all prompts of the objects.
        known: the masks of the runs before, and of the legs that came before; None where there is none.
        redetect: as in :meth:`VideoTracker.track`.

    Raises InputError for a point outside the frame, VideoError for a clip that cannot be read.
    """
    for leg in legs:
        mine = sorted((p for p in prompts if p.object_id in leg.starts), key=lambda p: p.frame_index)
        asked = [p for p in mine if leg.makes(p.object_id, p.frame_index)]
        propagator = Propagator(tracker.predictor, mine, leg.reverse, redetect, asked)
        images = clip.backwards(leg.first) if leg.reverse else clip.between(leg.first, len(clip))
        for step, image in enumerate(images):
            index = leg.first - step if leg.reverse else leg.first + step
            for object_id in [i for i, start in leg.starts.items() if start == index]:
                _recall(propagator, clip, leg, object_id, [p for p in mine if p.object_id == object_id], known)
            yield leg, TrackedFrame(index, image, propagator.step(index, image, allow_overlap=True))


def _recall(
    propagator: Propagator, clip: Clip, leg: Leg, object_id: int, prompts: Sequence[VideoPrompt], known: Known
) -> None:
    """Bring back what is known of an object before the leg meets it."""
    start, way = leg.starts[object_id], -1 if leg.reverse else 1
    before = sorted((p for p in prompts if not leg.makes(object_id, p.frame_index)), key=lambda p: way * p.frame_index)
    for prompt in before:
        if prompt.text.strip():
            propagator.texts[object_id] = prompt.text
    places = {p.frame_index for p in before} | {start - way * age for age in range(1, RECENT + 1)}
    for i in sorted((i for i in places if 0 <= i < len(clip)), key=lambda i: way * i):
        mask = known(object_id, i)
        if mask is not None:
            propagator.recall(i, clip.frame(i), object_id, mask)


def _key(prompt: VideoPrompt) -> tuple:
    """A prompt as a value that can be compared, its frame first."""
    points, box = (prompt.spatial.points, prompt.spatial.box) if prompt.spatial else (None, None)
    marks = () if points is None else (*np.asarray(points.coords).flat, *np.asarray(points.labels).flat)
    return prompt.frame_index, prompt.text, marks, None if box is None else tuple(box)
