"""Following things through a clip, step by step: track first, then write the files.

Two passes over the clip, so that any direction can be followed and every file has all frames in order with the
sound; between them only run lengths and scores are kept. Steps are small: they cross a process on ZeroGPU.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from gradio.utils import get_upload_folder

from evfsam.errors import InputError
from evfsam.media.export import decode_rle, encode_rle, slug
from evfsam.media.palette import colour_of
from evfsam.media.video import VideoReader
from evfsam.media.video_export import cutout_video, masks_zip, overlay_video, rle_json
from evfsam.predictor import Predictor
from evfsam.tracker import Direction, VideoTracker
from evfsam.types import TrackedFrame, TrackedObject, VideoPrompt
from evfsam.ui.viewer import Row

PREVIEW_PIXELS = 720
PREVIEW_SECONDS = 0.4  # between two previews
FOLLOWING, WRITING = "Following", "Writing"


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
    transparent: bool = False
    ident: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def names(self) -> dict[int, str]:
        """Object id -> phrase."""
        return {p.object_id: p.phrase for p in reversed(self.prompts) if p.phrase}


@dataclass(frozen=True)
class Step:
    """How far it is: ``done`` of ``total`` frames in this ``phase``, and now and then a preview."""

    phase: str
    done: int
    total: int
    elapsed_s: float
    picture_rgb: np.ndarray | None = None
    rows: tuple[Row, ...] = ()

    @property
    def left_s(self) -> float | None:
        """Seconds left in this phase at the same pace."""
        return self.elapsed_s / self.done * (self.total - self.done) if self.done else None


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        video_path: the clip with its objects drawn over it.
        files: everything for keeping, the video too.
        times_s: of each frame.
        scores: object id -> a value a frame: predicted IoU, None where the object is not visible.
    """

    video_path: str
    files: tuple[str, ...]
    times_s: tuple[float, ...]
    scores: dict[int, tuple[float | None, ...]]


@dataclass(frozen=True)
class _Seen:
    """One object on one frame, as it is kept between the passes."""

    rle: dict | None
    score: float
    presence: float | None


def run(predictor: Predictor, job: Job, stopped: set[str]) -> Iterator[Step | Outcome]:
    """Do the job; the last thing that comes is the Outcome.

    Args:
        stopped: the job ends, and leaves nothing behind, as soon as its ``ident`` is in here.

    Raises EvfSamError if the clip cannot be read or the checkpoint cannot track.
    """
    reader = job.clip.open()
    kept: dict[int, dict[int, _Seen]] = {}
    for step in _follow(VideoTracker(predictor), reader, job, kept):
        if job.ident in stopped:
            return
        yield step
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    try:
        for step in _write(reader, job, kept, folder):
            if job.ident in stopped:
                shutil.rmtree(folder)
                return
            yield step
    except BaseException:  # also when whoever asked goes away: GeneratorExit
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _follow(
    tracker: VideoTracker, reader: VideoReader, job: Job, kept: dict[int, dict[int, _Seen]]
) -> Iterator[Step]:
    start, shown = time.perf_counter(), 0.0
    total = _frames_to_follow(job, len(reader))
    frames = tracker.track(_Frames(reader), job.prompts, job.direction)
    for done, frame in enumerate(frames, start=1):
        for found in frame.objects:
            rle = encode_rle(found.mask) if found.visible else None
            kept.setdefault(frame.index, {})[found.object_id] = _Seen(rle, found.score, found.presence)
        elapsed = time.perf_counter() - start
        step = Step(FOLLOWING, min(done, total), total, elapsed)
        if done == 1 or elapsed - shown > PREVIEW_SECONDS:
            shown = elapsed
            step = _with_preview(step, frame, list(job.names))
        yield step


class _Frames:
    """The reader as the tracker wants it."""

    def __init__(self, reader: VideoReader):
        self._reader = reader

    def forwards(self, first: int) -> Iterator[np.ndarray]:
        return self._reader._read(first, len(self._reader))

    def backwards(self, first: int) -> Iterator[np.ndarray]:
        return self._reader.backwards(first)


def _frames_to_follow(job: Job, count: int) -> int:
    starts = {p.object_id: p.frame_index for p in reversed(job.prompts)}
    forward, backward = count - min(starts.values()), max(starts.values()) + 1
    return {"forward": forward, "backward": backward, "both": forward + backward - 1}[job.direction]


def _with_preview(step: Step, frame: TrackedFrame, object_ids: list[int]) -> Step:
    rows = tuple(
        Row(o.prompt, _small(o.mask.astype(np.uint8)) > 0, colour_of(object_ids.index(o.object_id)), o.score, _notes(o))
        for o in frame.objects
    )
    return Step(step.phase, step.done, step.total, step.elapsed_s, _small(frame.picture_rgb), rows)


def _notes(found: TrackedObject) -> tuple[str, ...]:
    return found.warnings if found.visible else (*found.warnings, "Not visible on this frame.")


def _small(array: np.ndarray) -> np.ndarray:
    shrink = PREVIEW_PIXELS / max(array.shape[:2])
    if shrink >= 1:
        return array
    size = round(array.shape[1] * shrink), round(array.shape[0] * shrink)
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA if array.ndim == 3 else cv2.INTER_NEAREST)


def _write(
    reader: VideoReader, job: Job, kept: dict[int, dict[int, _Seen]], folder: Path
) -> Iterator[Step | Outcome]:
    start, names, total = time.perf_counter(), job.names, len(reader)
    stem = slug(Path(job.clip.path).stem, "video")
    folder.mkdir(parents=True)
    paths = [folder / f"{stem}.overlay.mp4", folder / f"{stem}.masks.zip", folder / f"{stem}.coco.json"]
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(overlay_video(paths[0], reader, list(names))),
            stack.enter_context(masks_zip(paths[1], names)),
            stack.enter_context(rle_json(paths[2], reader, names)),
        ]
        if job.transparent:
            paths.append(folder / f"{stem}.cutout.webm")
            sinks.append(stack.enter_context(cutout_video(paths[3], reader)))
        for index, picture in enumerate(reader):
            frame = TrackedFrame(index, picture, _objects(kept.get(index, {}), names, picture.shape[:2]))
            for sink in sinks:
                sink.add(frame, *reader.time_of(index))
            yield Step(WRITING, index + 1, total, time.perf_counter() - start)
    times = tuple(float(reader.time_of(i)[0]) for i in range(total))
    scores = {i: tuple(_score(kept.get(t, {}).get(i)) for t in range(total)) for i in names}
    yield Outcome(str(paths[0]), tuple(map(str, paths)), times, scores)


def _objects(
    seen: dict[int, _Seen], names: dict[int, str], size_hw: tuple[int, int]
) -> tuple[TrackedObject, ...]:
    return tuple(
        TrackedObject(
            prompt=names[object_id],
            mask_logits=np.where(decode_rle(one.rle), 1, -1).astype(np.float32)
            if one.rle
            else np.full(size_hw, -1, np.float32),
            score=one.score,
            presence=one.presence,
            object_id=object_id,
        )
        for object_id, one in sorted(seen.items())
    )


def _score(seen: _Seen | None) -> float | None:
    return seen.score if seen and seen.rle else None


def corrected(
    prompts: tuple[VideoPrompt, ...], object_id: int, frame_index: int, clicks
) -> tuple[VideoPrompt, ...]:
    """The prompts with clicks on one object on one frame; on a frame where it has none yet, a further prompt.

    Raises InputError before the frame on which the object was named.
    """
    mine = [p for p in prompts if p.object_id == object_id]
    if frame_index < mine[0].frame_index:
        raise InputError(f"{mine[0].phrase!r} is named on frame {mine[0].frame_index}: correct it there or later.")
    others = [p for p in prompts if p not in mine]
    kept = [p for p in mine if p.frame_index != frame_index]
    here = next((p for p in mine if p.frame_index == frame_index), VideoPrompt(object_id, "", frame_index))
    kept.append(VideoPrompt(object_id, here.phrase, frame_index, clicks))
    return (*others, *sorted(kept, key=lambda p: p.frame_index))
