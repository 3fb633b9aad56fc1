"""Following objects through a clip, step by step, and writing the files on the way.

Steps are small: on ZeroGPU they come from another process. Read them one at a time and keep none.
"""

from __future__ import annotations

import json
import shutil
import time
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from gradio.utils import get_upload_folder

from evfsam.errors import InputError
from evfsam.media.export import decode_rle, slug
from evfsam.media.palette import colour_of
from evfsam.media.video import VideoReader
from evfsam.media.video_export import VideoSink, cutout_video, masks_zip, overlay_video, rle_json
from evfsam.types import SpatialPrompt, TrackedFrame, TrackedObject, VideoPrompt
from evfsam.ui.viewer import Row
from evfsam.video.bidirectional import track_in_order
from evfsam.video.tracker import Direction, VideoTracker

PREVIEW_PIXELS = 720
PREVIEW_SECONDS = 0.4  # between two previews
JSON_PLACE = 2  # of the COCO JSON among the files of an outcome
NOT_FOUND = "Nothing was found for {!r} on any frame: use other words, another frame or another clip."


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


@dataclass(frozen=True)
class Job:
    """What to do: the clip, the objects and the checkpoint."""

    clip: Clip
    model: str
    prompts: tuple[VideoPrompt, ...]
    direction: Direction = "forward"
    find_again: bool = True
    transparent: bool = False

    @property
    def names(self) -> dict[int, str]:
        """Object id -> phrase."""
        return {p.object_id: p.text for p in self.prompts if p.text}


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
        video_path: the clip with its objects drawn over it.
        files: everything to keep, the video included.
        times_s: of each frame.
        scores: object id -> one value per frame: predicted IoU, None where the object is not visible.
        warnings: object id -> sentences for the user.
    """

    video_path: str
    files: tuple[str, ...]
    times_s: tuple[float, ...]
    scores: dict[int, tuple[float | None, ...]]
    warnings: dict[int, tuple[str, ...]]


def run(tracker: VideoTracker, job: Job) -> Iterator[Step | Outcome]:
    """Do the job. The Outcome comes last. Close the iterator to stop: then no file is left.

    Raises EvfSamError if the clip cannot be read or the prompts cannot be used.
    """
    reader = job.clip.open()
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    outcome = None
    try:
        for step in _follow(tracker, reader, job, folder):
            outcome = step if isinstance(step, Outcome) else None
            yield step
    finally:
        if outcome is None:  # cancelled or failed, or the client is gone
            shutil.rmtree(folder, ignore_errors=True)


def _follow(tracker: VideoTracker, reader: VideoReader, job: Job, folder: Path) -> Iterator[Step | Outcome]:
    start, shown, names = time.perf_counter(), None, job.names
    scores: dict[int, list[float | None]] = {object_id: [] for object_id in names}
    warnings: dict[int, list[str]] = {object_id: [] for object_id in names}
    with ExitStack() as stack:
        paths, sinks = _open_sinks(stack, reader, job, folder)
        for step in track_in_order(tracker, reader, job.prompts, job.direction, redetect=job.find_again):
            if step.in_order:
                for sink in sinks:
                    sink.add(step.frame, *reader.time_of(step.frame.index))
                _note(scores, warnings, step.frame.objects)
            elapsed = time.perf_counter() - start
            told = Step(step.done, max(step.total or 0, step.done), elapsed)
            if step.frame.objects and (shown is None or elapsed - shown > PREVIEW_SECONDS):
                shown = elapsed
                told = replace(told, image=_small(step.frame.image), rows=_rows(step.frame, names))
            yield told
    times = tuple(float(reader.time_of(i)[0]) for i in range(len(reader)))
    for object_id, values in scores.items():
        if all(value is None for value in values):
            warnings[object_id].append(NOT_FOUND.format(names[object_id]))
    yield Outcome(
        str(paths[0]),
        tuple(map(str, paths)),
        times,
        {i: tuple(values) for i, values in scores.items()},
        {i: tuple(sentences) for i, sentences in warnings.items()},
    )


def archive(outcome: Outcome) -> str:
    """All files of a job as one zip beside them; its path."""
    video = Path(outcome.video_path)
    path = video.with_name(f"{video.name.partition('.')[0]}.zip")
    with zipfile.ZipFile(path, "w") as bundle:  # stored: large files are compressed already
        for file in outcome.files:
            bundle.write(file, Path(file).name)
    return str(path)


def read_frame(coco_json: str, index: int) -> dict[int, tuple[np.ndarray, float | None]]:
    """Object id -> mask, bool (H, W), and score on one frame of a clip that was followed; hidden ones are empty."""
    document = json.loads(Path(coco_json).read_text(encoding="utf-8"))
    found = {}
    for row in document["annotations"]:
        if index < row["length"]:
            runs = row["segmentations"][index]
            mask = np.zeros((row["height"], row["width"]), bool) if runs is None else decode_rle(runs)
            found[row["object_id"]] = mask, row["scores"][index]
    return found


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


def _note(
    scores: dict[int, list[float | None]], warnings: dict[int, list[str]], objects: Sequence[TrackedObject]
) -> None:
    seen = {o.object_id: o.score for o in objects if o.visible}
    for object_id, values in scores.items():
        values.append(seen.get(object_id))
    for found in objects:
        told = warnings[found.object_id]
        told += [sentence for sentence in found.warnings if sentence not in told]


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


def clicks_at(prompts: Sequence[VideoPrompt], object_id: int, frame_index: int) -> SpatialPrompt | None:
    """The clicks on an object on a frame so far."""
    return next((p.spatial for p in prompts if p.object_id == object_id and p.frame_index == frame_index), None)


def corrected(
    prompts: Sequence[VideoPrompt], object_id: int, frame_index: int, clicks: SpatialPrompt
) -> tuple[VideoPrompt, ...]:
    """The prompts with these clicks on one object on one frame; a further prompt where it has none yet.

    Raises InputError before the frame on which the object was named.
    """
    mine = sorted((p for p in prompts if p.object_id == object_id), key=lambda p: p.frame_index)
    if frame_index < mine[0].frame_index:
        raise InputError(f"{mine[0].text!r} is named on frame {mine[0].frame_index}: correct it there or later.")
    here = next((p for p in mine if p.frame_index == frame_index), VideoPrompt(object_id, "", frame_index))
    others = tuple(p for p in prompts if p is not here)
    return (*others, replace(here, spatial=clicks))
