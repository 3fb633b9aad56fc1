"""Following things through a clip, step by step, and writing the files on the way.

Steps are small: on ZeroGPU they cross from another process.
"""

from __future__ import annotations

import shutil
import time
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from gradio.utils import get_upload_folder

from evfsam.errors import InputError
from evfsam.media.export import slug
from evfsam.media.palette import colour_of
from evfsam.media.video import VideoReader
from evfsam.media.video_export import VideoSink, cutout_video, masks_zip, overlay_video, rle_json
from evfsam.types import Clicks, TrackedFrame, TrackedObject, VideoPrompt
from evfsam.ui.viewer import Row
from evfsam.video.bidirectional import track_in_order
from evfsam.video.tracker import Direction, VideoTracker

PREVIEW_PIXELS = 720
PREVIEW_SECONDS = 0.4  # between two previews


@dataclass(frozen=True)
class Clip:
    """Which part of which video, and how large.

    ``start_s`` and ``end_s`` are in seconds of the file, ``end_s`` None for its end; a longer clip than
    ``max_frames`` is cut and larger frames than ``max_long_side`` are scaled down, both said beforehand.
    """

    path: str
    start_s: float = 0.0
    end_s: float | None = None
    max_long_side: int = 720
    max_frames: int = 900

    def open(self) -> VideoReader:
        """Raises VideoError if it cannot be read."""
        return VideoReader(self.path, self.start_s, self.end_s, self.max_long_side, self.max_frames)


@dataclass(frozen=True)
class Job:
    """What to do: which clip, which objects, by which checkpoint."""

    clip: Clip
    model: str
    prompts: tuple[VideoPrompt, ...]
    direction: Direction = "forward"
    find_again: bool = True
    transparent: bool = False
    ident: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def names(self) -> dict[int, str]:
        """Object id -> phrase."""
        return {p.object_id: p.phrase for p in self.prompts if p.phrase}


@dataclass(frozen=True)
class Step:
    """How far it is: ``done`` of ``total`` steps after ``elapsed_s`` seconds, and now and then a preview."""

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
    """What came of it.

    Attributes:
        video_path: the clip with its objects drawn over it.
        archive_path: all files as one zip.
        files: everything for keeping, the video too.
        times_s: of each frame.
        scores: object id -> a value a frame: predicted IoU, None where the object is not visible.
    """

    video_path: str
    archive_path: str
    files: tuple[str, ...]
    times_s: tuple[float, ...]
    scores: dict[int, tuple[float | None, ...]]


def run(tracker: VideoTracker, job: Job, stopped: set[str]) -> Iterator[Step | Outcome]:
    """Do the job; the last thing that comes is the Outcome.

    Args:
        stopped: the job ends, and leaves nothing behind, as soon as its ``ident`` is in here.

    Raises EvfSamError if the clip cannot be read or the prompts cannot be used.
    """
    reader = job.clip.open()
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    outcome = None
    try:
        for step in _follow(tracker, reader, job, folder):
            if job.ident in stopped:
                return
            outcome = step if isinstance(step, Outcome) else None
            yield step
    finally:
        stopped.discard(job.ident)
        if outcome is None:  # called off, failed, or whoever asked has gone
            shutil.rmtree(folder, ignore_errors=True)


def _follow(tracker: VideoTracker, reader: VideoReader, job: Job, folder: Path) -> Iterator[Step | Outcome]:
    start, shown, names = time.perf_counter(), None, job.names
    scores: dict[int, list[float | None]] = {object_id: [] for object_id in names}
    with ExitStack() as stack:
        paths, sinks = _open_sinks(stack, reader, job, folder)
        for step in track_in_order(tracker, reader, job.prompts, job.direction, find_again=job.find_again):
            if step.in_order:
                for sink in sinks:
                    sink.add(step.frame, *reader.time_of(step.frame.index))
                _note_scores(scores, step.frame.objects)
            elapsed = time.perf_counter() - start
            told = Step(step.done, max(step.total or 0, step.done), elapsed)
            if step.frame.objects and (shown is None or elapsed - shown > PREVIEW_SECONDS):
                shown = elapsed
                told = replace(told, image=_small(step.frame.image), rows=_rows(step.frame, names))
            yield told
    times = tuple(float(reader.time_of(i)[0]) for i in range(len(reader)))
    archive = _zip(folder / f"{slug(Path(job.clip.path).stem, 'video')}.zip", paths)
    yield Outcome(str(paths[0]), str(archive), tuple(map(str, paths)), times, {i: tuple(v) for i, v in scores.items()})


def _zip(archive: Path, paths: Sequence[Path]) -> Path:
    with zipfile.ZipFile(archive, "w") as bundle:  # stored: what is large is compressed already
        for path in paths:
            bundle.write(path, path.name)
    return archive


def _open_sinks(stack: ExitStack, reader: VideoReader, job: Job, folder: Path) -> tuple[list[Path], list[VideoSink]]:
    stem, names = slug(Path(job.clip.path).stem, "video"), job.names
    opened = [
        (folder / f"{stem}.overlay.mp4", lambda path: overlay_video(path, reader, list(names))),
        (folder / f"{stem}.masks.zip", lambda path: masks_zip(path, names)),
        (folder / f"{stem}.coco.json", lambda path: rle_json(path, reader, names)),
    ]
    if job.transparent:
        opened.append((folder / f"{stem}.cutout.webm", lambda path: cutout_video(path, reader)))
    return [path for path, _ in opened], [stack.enter_context(open_(path)) for path, open_ in opened]


def _note_scores(scores: dict[int, list[float | None]], objects: Sequence[TrackedObject]) -> None:
    seen = {o.object_id: o.score for o in objects if o.visible}
    for object_id, values in scores.items():
        values.append(seen.get(object_id))


def _rows(frame: TrackedFrame, names: dict[int, str]) -> tuple[Row, ...]:
    return tuple(object_row(found, list(names).index(found.object_id)) for found in frame.objects)


def object_row(found: TrackedObject, place: int) -> Row:
    """A tracked object as a row; ``place`` among all objects gives its colour."""
    notes = found.warnings if found.visible else (*found.warnings, "Not visible on this frame.")
    return Row(found.prompt, _small(found.mask.astype(np.uint8)) > 0, colour_of(place), found.score, notes)


def _small(array: np.ndarray) -> np.ndarray:
    shrink = PREVIEW_PIXELS / max(array.shape[:2])
    if shrink >= 1:
        return array
    size = round(array.shape[1] * shrink), round(array.shape[0] * shrink)
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA if array.ndim == 3 else cv2.INTER_NEAREST)


def clicks_at(prompts: Sequence[VideoPrompt], object_id: int, frame_index: int) -> Clicks | None:
    """The clicks on an object on a frame so far."""
    return next((p.clicks for p in prompts if p.object_id == object_id and p.frame_index == frame_index), None)


def corrected(
    prompts: Sequence[VideoPrompt], object_id: int, frame_index: int, clicks: Clicks
) -> tuple[VideoPrompt, ...]:
    """The prompts with these clicks on one object on one frame; a further prompt where it has none yet.

    Raises InputError before the frame on which the object was named.
    """
    mine = sorted((p for p in prompts if p.object_id == object_id), key=lambda p: p.frame_index)
    if frame_index < mine[0].frame_index:
        raise InputError(f"{mine[0].phrase!r} is named on frame {mine[0].frame_index}: correct it there or later.")
    here = next((p for p in mine if p.frame_index == frame_index), VideoPrompt(object_id, "", frame_index))
    others = tuple(p for p in prompts if p is not here)
    return (*others, replace(here, clicks=clicks))
