"""Following objects through a clip, step by step, and drawing them over it on the way.

What needs the model (:func:`work`) hands over small items: on ZeroGPU they come from another process.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from evfsam.errors import VideoError
from evfsam.media.export import slug
from evfsam.media.palette import colour_of
from evfsam.media.video import VideoReader
from evfsam.media.video_export import overlay_video
from evfsam.media.video_threads import ReadAhead, WriterThread, write_beside
from evfsam.types import VideoPrompt
from evfsam.ui.followed import Followed, KeptObject, Question
from evfsam.ui.limits import Limits
from evfsam.ui.prompts import with_quotes
from evfsam.ui.video_files import fresh_folder
from evfsam.ui.video_prompts import names_of
from evfsam.ui.viewer import Row
from evfsam.video.follow import Leg, follow, legs_after
from evfsam.video.tracker import VideoTracker

FRAMES_PER_SECOND = 8  # that a published SAM-2 follows one object at least, files written
PREVIEW_PIXELS = 720
PREVIEW_SECONDS = 0.4  # between two previews
FULL = "The masks of more frames cannot be kept at once: choose a shorter part of the clip, or a smaller size."


@dataclass(frozen=True)
class Job:
    """What to do.

    Attributes:
        question, prompts: what is asked.
        legs: what has to be made.
        before: the masks that stay; None if all are new.
        key: names the job, to stop it.
    """

    question: Question
    prompts: tuple[VideoPrompt, ...]
    legs: tuple[Leg, ...]
    before: Followed | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)

    @classmethod
    def of(cls, question: Question, prompts: tuple[VideoPrompt, ...], before: Followed | None = None) -> Job:
        """All of it; or what a correction changes and a cancelled run left, if ``before`` answers this question."""
        same = before is not None and before.question == question
        legs = _joined(before.left, legs_after(before.prompts, prompts, question.direction), prompts) if same else ()
        if not legs:
            return cls(question, prompts, legs_after((), prompts, question.direction))
        return cls(question, prompts, legs, before)

    @property
    def first(self) -> int:
        """The frame from which something is made anew."""
        return self.legs[-1].first

    def on(self, frame_index: int) -> Job:
        """The part of the job that tells what the prompts of a frame find there."""
        here = {p.object_id for p in self.prompts if p.frame_index == frame_index}
        forth = {i for leg in self.legs for i in leg.starts if not leg.reverse}
        back, forth = here - forth, here & forth
        legs = [Leg(dict.fromkeys(back, frame_index), reverse=True)] if back else []
        legs += [Leg(dict.fromkeys(forth, frame_index))] if forth else []
        return replace(self, legs=tuple(legs))

    def check(self, limits: Limits) -> None:
        """Raises VideoError for more than the limits allow, and for a prompt after the end of the clip."""
        frames = len(self.question.clip.open())
        limits.check_clip(frames, len(self.names))
        if (last := max(prompt.frame_index for prompt in self.prompts)) >= frames:
            raise VideoError(f"The clip ends before frame {last}: name objects on a frame from 0 to {frames - 1}.")

    @property
    def names(self) -> dict[int, str]:
        return names_of(self.prompts)

    def known(self, object_id: int, index: int) -> np.ndarray | None:
        return self.before.known(object_id, index) if self.before else None


def booked_seconds(job: Job) -> int:
    """What to book of ZeroGPU: booked too short a clip is cut off, too long it waits for nothing."""
    frames = sum(leg.length(len(job.question.clip.open())) for leg in job.legs)
    return 10 + frames * max(1, len(job.names)) // FRAMES_PER_SECOND


def _joined(left: Sequence[Leg], changed: Sequence[Leg], prompts: tuple[VideoPrompt, ...]) -> tuple[Leg, ...]:
    """What a cancelled run left and what is changed, as one leg per direction."""
    legs, names = [], names_of(prompts)
    for reverse in (True, False):
        starts: dict[int, int] = {}
        for leg in (*left, *changed):
            for object_id, start in leg.starts.items() if leg.reverse == reverse else ():
                if object_id in names:
                    nearer = max if reverse else min
                    starts[object_id] = nearer(start, starts.get(object_id, start))
        legs += [Leg(starts, reverse)] if starts else []
    return tuple(legs)


@dataclass(frozen=True)
class Found:
    """One frame that was followed.

    Attributes:
        leg: the place of its leg among those of the job.
        objects: object id -> what was found.
        image: for some frames, uint8 (H, W, 3), made small.
    """

    leg: int
    index: int
    objects: dict[int, KeptObject]
    image: np.ndarray | None = None


@dataclass(frozen=True)
class Step:
    """Progress: ``done`` of ``total`` steps after ``elapsed_s`` seconds. Some steps bring a preview."""

    done: int
    total: int
    elapsed_s: float
    image: np.ndarray | None = None
    rows: tuple[Row, ...] = ()

    @property
    def left_s(self) -> float:
        """Seconds left at the same pace."""
        return self.elapsed_s / self.done * (self.total - self.done)


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Attributes:
        followed: the masks, and the clip with its objects drawn over it.
        notices: sentences for the user.
    """

    followed: Followed
    notices: tuple[str, ...]


def look(tracker: VideoTracker, job: Job) -> dict[int, KeptObject]:
    """Object id -> what is found on the first frame of the job's legs, exactly as :func:`work` will find it."""
    reader, found = job.question.clip.open(), {}
    for leg in job.legs:
        with closing(work(tracker, replace(job, legs=(leg,)), reader)) as frames:
            found |= next(frames).objects
    return found


def work(tracker: VideoTracker, job: Job, reader: VideoReader | None = None) -> Iterator[Found]:
    """The frames of the job's legs, each when it is done. Raises EvfSamError as :func:`evfsam.video.follow.follow`."""
    reader = ReadAhead(*astuple(job.question.clip)) if reader is None else reader
    made: dict[tuple[int, int], KeptObject] = {}
    size_hw, find_again, shown = reader.info.size_hw, job.question.find_again, float("-inf")

    def known(object_id: int, index: int) -> np.ndarray | None:
        kept = made.get((object_id, index))
        return job.known(object_id, index) if kept is None else kept.mask(size_hw)

    for leg, frame in follow(tracker, reader, job.prompts, job.legs, known, find_again):
        objects = {o.object_id: KeptObject.of(o) for o in frame.objects}
        made.update({(i, frame.index): kept for i, kept in objects.items()})
        now = time.monotonic()
        image = _small(frame.image) if now - shown > PREVIEW_SECONDS else None
        shown = shown if image is None else now
        yield Found(job.legs.index(leg), frame.index, objects, image)


def run(job: Job, found: Iterator[Found], stopped: Callable[[], bool], most_bytes: int) -> Iterator[Step | Outcome]:
    """Collect what is found, and draw it over the clip meanwhile. The Outcome comes last.

    Args:
        found: from :func:`work`.
        stopped: whether the user wants no more frames; what was done is kept.
        most_bytes: of masks that are kept; a run that needs more ends early and says so.

    Close the iterator to stop: then no file is left. Raises EvfSamError if the clip cannot be read or the prompts
    cannot be used.
    """
    with closing(found), fresh_folder() as folder:
        yield from _run(job, found, stopped, most_bytes, folder)


def _run(job: Job, found, stopped, most_bytes: int, folder: Path) -> Iterator[Step | Outcome]:
    reader = job.question.clip.open()
    path = folder / f"{slug(Path(job.question.clip.path).stem, 'video')}.overlay.mp4"
    kept = _Kept(job, reader)
    with write_beside(
        reader, lambda i: kept.followed().objects(i), overlay_video(path, reader, list(job.names))
    ) as film:
        start = time.perf_counter()
        kept.tell_ready(film, None)
        for one in found:
            kept.add(one)
            kept.tell_ready(film, one)
            yield kept.step(one, time.perf_counter() - start)
            if stopped() or kept.full(most_bytes):
                break
        found.close()
        if not kept.done:
            raise VideoError("Cancelled before the first frame was done: nothing was kept.")
        followed = replace(kept.followed(), video_path=str(path), new_bytes=kept.bytes)
        film.end(followed.stop)
    notices = [sentence for told in followed.warnings().values() for sentence in told]
    yield Outcome(followed, (*notices, *([FULL] if kept.full(most_bytes) else [])))


class _Kept:
    """The masks of a run that is under way."""

    def __init__(self, job: Job, reader: VideoReader):
        self.job, self.size_hw, self.frames = job, reader.info.size_hw, len(reader)
        old = job.before.masks if job.before else {}
        self.masks = {i: dict(old.get(i, {})) for i in job.names}
        self.left, self.bytes, self.done = job.legs, 0, 0
        self.total = sum(leg.length(self.frames) for leg in job.legs)

    def add(self, found: Found) -> None:
        self.done += 1
        for object_id, one in found.objects.items():
            self.masks[object_id][found.index] = one
            self.bytes += one.nbytes
        rest = self.job.legs[found.leg].after(found.index, self.frames)
        self.left = (*([rest] if rest else []), *self.job.legs[found.leg + 1 :])

    def full(self, most_bytes: int) -> bool:
        return bool(self.left) and self.bytes > most_bytes

    def tell_ready(self, film: WriterThread, found: Found | None) -> None:
        """The last leg, if it is forward, makes frames ready one by one."""
        last = len(self.job.legs) - 1
        if self.job.legs[last].reverse or (found.leg if found else 0) < last:
            return
        film.ready(found.index + 1 if found else self.job.legs[last].first)

    def followed(self) -> Followed:
        job = self.job
        return Followed(job.question, job.prompts, self.size_hw, self.frames, self.masks, self.left)

    def step(self, found: Found, elapsed_s: float) -> Step:
        if found.image is None:
            return Step(self.done, self.total, elapsed_s)
        rows = rows_of(self.job.names, lambda i: self.masks[i].get(found.index), self.size_hw, found.image.shape[:2])
        return Step(self.done, self.total, elapsed_s, found.image, rows)


def rows_of(
    names: Mapping[int, str],
    kept: Callable[[int], KeptObject | None],
    size_hw: tuple[int, int],
    view_hw: tuple[int, int] | None = None,
    missing: str = "Not followed here.",
) -> tuple[Row, ...]:
    """The objects on a frame as rows, in the order of their names.

    Args:
        kept: object id -> what is known of it, None if it was not followed there; ``missing`` says so.
        size_hw: of the masks; they are made as large as ``view_hw``.
    """
    rows = []
    for place, (object_id, name) in enumerate(names.items()):
        one = kept(object_id)
        mask = np.zeros(size_hw, bool) if one is None else one.mask(size_hw)
        notes = (missing,) if one is None else tuple(map(with_quotes, one.warnings))
        if one is not None and one.counts is None and not notes:
            notes = ("Not visible on this frame.",)
        rows.append(Row(name, _resized(mask, view_hw or size_hw), colour_of(place), one and one.score, notes))
    return tuple(rows)


def _resized(mask: np.ndarray, view_hw: tuple[int, int]) -> np.ndarray:
    if mask.shape == view_hw:
        return mask
    return cv2.resize(mask.astype(np.uint8), view_hw[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _small(image: np.ndarray) -> np.ndarray:
    shrink = PREVIEW_PIXELS / max(image.shape[:2])
    if shrink >= 1:
        return image
    return cv2.resize(
        image, (round(image.shape[1] * shrink), round(image.shape[0] * shrink)), interpolation=cv2.INTER_AREA
    )
