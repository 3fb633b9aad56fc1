"""What a session keeps of a clip: masks as run lengths, the prompts, and the steps that can be taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from evfsam.media.export import decode_rle, encode_rle
from evfsam.media.video import VideoReader
from evfsam.types import TrackedFrame, TrackedObject, VideoPrompt
from evfsam.ui.history import STEPS
from evfsam.ui.video_prompts import names_of
from evfsam.video.bidirectional import from_mask
from evfsam.video.follow import Leg
from evfsam.video.tracker import Direction

NOT_FOUND = "Nothing was found for {!r} on any frame: use other words, another frame or another clip."
OBJECT_BYTES = 300  # of a KeptObject without its run lengths


@dataclass(frozen=True)
class Clip:
    """A part of a video, and its size.

    ``start_s`` and ``end_s`` are in seconds of the file; an ``end_s`` of None is its end. A clip longer than
    ``max_frames`` is cut, and frames larger than ``max_long_side`` are scaled down. Both are said before work starts.
    """

    path: str
    start_s: float = 0.0
    end_s: float | None = None
    max_long_side: int = 720
    max_frames: int = 1800

    def open(self) -> VideoReader:
        """Raises VideoError if it cannot be read."""
        return VideoReader(self.path, self.start_s, self.end_s, self.max_long_side, self.max_frames)


@dataclass(frozen=True, slots=True)
class KeptObject:
    """One object on one frame.

    Attributes:
        counts: COCO's run lengths; None where the object is not visible.
        score, presence, warnings: as in :class:`~evfsam.types.TrackedObject`.
    """

    counts: str | None
    score: float
    presence: float | None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: TrackedObject) -> KeptObject:
        counts = encode_rle(found.mask)["counts"] if found.visible else None
        return cls(counts, found.score, found.presence, found.warnings)

    def mask(self, size_hw: tuple[int, int]) -> np.ndarray:
        """bool (H, W)."""
        return np.zeros(size_hw, bool) if self.counts is None else decode_rle(self._rle(size_hw))

    def object(self, object_id: int, name: str, size_hw: tuple[int, int]) -> TrackedObject:
        """The object as the tracker gave it, but its logits are +10 and -10."""
        return from_mask(object_id, name, self.score, self.presence, self.warnings, self.mask(size_hw))

    @property
    def nbytes(self) -> int:
        return OBJECT_BYTES + len(self.counts or "")

    def _rle(self, size_hw: tuple[int, int]) -> dict:
        return {"size": list(size_hw), "counts": self.counts}


@dataclass(frozen=True)
class Question:
    """What is asked of a clip, but for the prompts. Another question makes all masks anew."""

    clip: Clip
    model: str
    direction: Direction = "forward"
    find_again: bool = True


@dataclass(frozen=True)
class Followed:
    """The masks of a clip.

    Attributes:
        question, prompts: what they answer.
        size_hw: of the frames, in pixels.
        frames: number of the clip's frames.
        masks: object id -> frame -> the object there.
        left: what a cancelled run has not done.
        video_path: the clip with its objects drawn over it; as long as :attr:`stop`.
        new_bytes: of the masks that the last run made.
    """

    question: Question
    prompts: tuple[VideoPrompt, ...]
    size_hw: tuple[int, int]
    frames: int
    masks: Mapping[int, Mapping[int, KeptObject]] = field(repr=False)
    left: tuple[Leg, ...] = ()
    video_path: str = ""
    new_bytes: int = 0

    @property
    def names(self) -> dict[int, str]:
        return names_of(self.prompts)

    @property
    def stop(self) -> int:
        """Number of frames of the result: a cancelled run may end before the clip does."""
        if not any(not leg.reverse for leg in self.left):
            return self.frames
        return 1 + max((index for kept in self.masks.values() for index in kept), default=-1)

    @property
    def bytes(self) -> int:
        """Of all its masks."""
        return sum(one.nbytes for kept in self.masks.values() for one in kept.values())

    def known(self, object_id: int, index: int) -> np.ndarray | None:
        """The mask of an object on a frame, bool (H, W); None if it was not followed there."""
        kept = self.masks.get(object_id, {}).get(index)
        return None if kept is None else kept.mask(self.size_hw)

    def objects(self, index: int) -> tuple[TrackedObject, ...]:
        """All objects on a frame."""
        found = ((i, name, self.masks.get(i, {}).get(index)) for i, name in self.names.items())
        return tuple(kept.object(i, name, self.size_hw) for i, name, kept in found if kept is not None)

    def each_frame(self, reader: VideoReader | None = None) -> Iterator[TrackedFrame]:
        """The result frame by frame; the images are black without a reader."""
        black = np.zeros((*self.size_hw, 3), np.uint8)
        images = (black for _ in range(self.stop)) if reader is None else reader.between(0, self.stop)
        for index, image in enumerate(images):
            yield TrackedFrame(index, image, self.objects(index))

    def scores(self) -> dict[int, tuple[float | None, ...]]:
        """Object id -> its predicted IoU on each frame of the result, None where it is not visible."""
        return {
            i: tuple(kept.score if kept and kept.counts else None for kept in map(self.masks[i].get, range(self.stop)))
            for i in self.names
        }

    def warnings(self) -> dict[int, tuple[str, ...]]:
        """Object id -> sentences for the user, each once."""
        told = {}
        for object_id, name in self.names.items():
            kept = self.masks[object_id].values()
            nowhere = [] if any(one.counts for one in kept) else [NOT_FOUND.format(name)]
            told[object_id] = tuple(dict.fromkeys([sentence for one in kept for sentence in one.warnings] + nowhere))
        return told


@dataclass(frozen=True)
class Work:
    """What a user has done with a clip so far.

    Attributes:
        prompts: in the order in which they were given; the first one of an object names it.
        looks: (object id, frame) -> what prompts find there that were not followed yet.
        followed: the last run, or None.
    """

    prompts: tuple[VideoPrompt, ...] = ()
    looks: Mapping[tuple[int, int], KeptObject] = field(default_factory=dict, repr=False)
    followed: Followed | None = None

    @property
    def names(self) -> dict[int, str]:
        return names_of(self.prompts)

    def at(self, object_id: int, index: int) -> KeptObject | None:
        """What is known of an object on a frame."""
        looked = self.looks.get((object_id, index))
        return looked or (self.followed.masks.get(object_id, {}).get(index) if self.followed else None)


@dataclass(frozen=True)
class Session:
    """What a session sees of a clip, what it saw before, and what was undone."""

    clip: Clip | None = None
    now: Work = Work()
    past: tuple[Work, ...] = field(default=(), repr=False)
    future: tuple[Work, ...] = field(default=(), repr=False)

    def of(self, clip: Clip) -> Session:
        """The session, or a fresh one if the clip is another."""
        return self if self.clip == clip else Session(clip)

    def then(self, work: Work, most_bytes: int) -> Session:
        """The session with one more step. It keeps at most ``most_bytes`` of masks; the oldest steps go first."""
        past = (*self.past, self.now)[-STEPS:] if self.now.prompts else ()
        while past and _bytes(work, past) > most_bytes:
            past = past[1:]
        return Session(self.clip, work, past)

    def undo(self) -> Session:
        """One step back; the same session if there is none."""
        return Session(self.clip, self.past[-1], self.past[:-1], (self.now, *self.future)) if self.past else self

    def redo(self) -> Session:
        """One step forward; the same session if there is none."""
        return Session(self.clip, self.future[0], (*self.past, self.now), self.future[1:]) if self.future else self


def _bytes(now: Work, past: tuple[Work, ...]) -> int:
    """Of all masks of these steps; those that a run took over from the one before count once."""
    looks = sum(kept.nbytes for work in (now, *past) for kept in work.looks.values())
    older = {id(work.followed): work.followed for work in past if work.followed and work.followed is not now.followed}
    return looks + sum(f.new_bytes for f in older.values()) + (now.followed.bytes if now.followed else 0)
