"""A followed clip as files: overlaid video, cut-out with alpha, masks as PNGs, or one JSON of run lengths.

Each is a context manager that gives an object with ``add(frame, time, duration)``, for frames in order; the
file appears when the ``with`` ends well. Frames are written as they come and not kept.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from evfsam.media.audio import AudioSource
from evfsam.media.export import cutout, encode_rle, mask_png, slug
from evfsam.media.files import atomic_path
from evfsam.media.overlay import overlay
from evfsam.media.palette import colour_of
from evfsam.media.video import VideoInfo
from evfsam.media.video_writer import VideoWriter, open_writer
from evfsam.types import TrackedFrame


class Clip(Protocol):
    """What exports need to know of a clip; VideoReader and PipedVideo have it."""

    info: VideoInfo
    time_base: Fraction
    audio: AudioSource | None


class VideoSink(Protocol):
    """Takes the frames of a clip in order; times in seconds."""

    def add(self, frame: TrackedFrame, time: Fraction, duration: Fraction) -> None: ...


def draw(frame: TrackedFrame, object_ids: Sequence[int]) -> np.ndarray:
    """The frame with its objects drawn over it, uint8 (H, W, 3). Colours follow the order of ``object_ids``."""
    colours = [colour_of(object_ids.index(o.object_id)) for o in frame.objects]
    return overlay(frame.image, [o.mask for o in frame.objects], colours)


@contextmanager
def overlay_video(target: str | PathLike | BinaryIO, clip: Clip, object_ids: Sequence[int]) -> Iterator[VideoSink]:
    """The clip with its objects drawn over it: same rate, length and sound. See :func:`open_writer`."""
    time_base = clip.time_base if clip.info.variable_rate else None
    with open_writer(target, clip.info.fps, time_base, clip.audio) as writer:
        yield Drawn(writer, lambda frame: draw(frame, object_ids))


@contextmanager
def cutout_video(target: str | PathLike, clip: Clip) -> Iterator[VideoSink]:
    """All objects without their surroundings, on a transparent ground: VP9 WebM or ProRes 4444 MOV."""
    time_base = clip.time_base if clip.info.variable_rate else None
    with open_writer(target, clip.info.fps, time_base, clip.audio, transparent=True) as writer:
        yield Drawn(writer, lambda frame: cutout(frame.image, union(frame)))


class Drawn:
    """A video of what a function draws of each frame."""

    def __init__(self, writer: VideoWriter, draw):
        self._writer, self._draw = writer, draw

    def add(self, frame: TrackedFrame, time: Fraction, duration: Fraction) -> None:
        self._writer.write(self._draw(frame), time, duration)


def union(frame: TrackedFrame) -> np.ndarray:
    """The pixels of any of its objects, bool (H, W)."""
    mask = np.zeros(frame.image.shape[:2], bool)
    for o in frame.objects:
        mask |= o.mask
    return mask


@contextmanager
def masks_zip(path: str | PathLike, names: Mapping[int, str]) -> Iterator[VideoSink]:
    """A zip with one folder per object and in it one PNG per frame: 255 inside, 0 outside.

    A folder has a file for each frame, also for those on which its object is hidden. An object that is never visible
    has no folder.

    Args:
        names: object id -> prompt, for the folders' names.
    """
    with atomic_path(Path(path)) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        yield _Masks(archive, names)


class _Masks:
    def __init__(self, archive: zipfile.ZipFile, names: Mapping[int, str]):
        self._archive = archive
        self._folders = {i: f"{i:02d}-{slug(name, 'object')}" for i, name in names.items()}
        self._unseen: dict[int, list[str]] = {i: [] for i in names}  # files of an object before it is first visible

    def add(self, frame: TrackedFrame, time: Fraction, duration: Fraction) -> None:
        masks = {o.object_id: o.mask for o in frame.objects if o.visible}
        nothing = mask_png(np.zeros(frame.image.shape[:2], bool))
        for object_id, folder in self._folders.items():
            name = f"{folder}/{frame.index:06d}.png"
            if object_id not in masks and object_id in self._unseen:
                self._unseen[object_id].append(name)
                continue
            for earlier in self._unseen.pop(object_id, ()):
                self._archive.writestr(earlier, nothing)
            self._archive.writestr(name, mask_png(masks[object_id]) if object_id in masks else nothing)


# Per-frame lists of an annotation, as YouTube-VIS (COCO's video style) names them, and "presences".
_LISTS = ("segmentations", "bboxes", "areas", "scores", "presences")


@contextmanager
def rle_json(path: str | PathLike, clip: Clip, names: Mapping[int, str]) -> Iterator[VideoSink]:
    """One JSON in COCO's video style: one video, one category per prompt, one annotation per object.

    The lists of an annotation have one entry per frame, null where there is no mask. ``times`` are in seconds.
    """
    with atomic_path(Path(path)) as part, ExitStack() as stack:
        lists = {
            i: [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in _LISTS] for i in names
        }
        sink = _RunLengths(lists)
        yield sink
        with part.open("w", encoding="utf-8") as file:
            for piece in _document(clip.info, names, sink):
                file.write(piece)


class _RunLengths:
    """Every list grows in a temporary file of its own, for the JSON wants them one after the other."""

    def __init__(self, lists: Mapping[int, Sequence]):
        self.lists, self.times = lists, []

    def add(self, frame: TrackedFrame, time: Fraction, duration: Fraction) -> None:
        comma = ",\n" if self.times else ""
        self.times.append(round(float(time), 6))
        found = {o.object_id: o for o in frame.objects}
        for object_id, files in self.lists.items():
            for file, value in zip(files, _values(found.get(object_id)), strict=True):
                file.write(comma + json.dumps(value))


def _values(found) -> tuple:
    """One frame's entry in each of ``_LISTS``."""
    if found is None:
        return None, None, None, None, None
    score, presence = round(found.score, 4), round(found.presence, 4)
    if not found.visible:
        return None, None, None, score, presence
    x0, y0, x1, y1 = found.box_xyxy
    return encode_rle(found.mask), [x0, y0, x1 - x0, y1 - y0], int(found.mask.sum()), score, presence


def _document(info: VideoInfo, names: Mapping[int, str], sink: _RunLengths) -> Iterator[str]:
    """The JSON in pieces."""
    height, width = info.size_hw
    video = {
        "id": 1,
        "file_name": info.name,
        "height": height,
        "width": width,
        "length": len(sink.times),
        "fps": float(info.fps),
        "times": sink.times,
    }
    prompts = list(dict.fromkeys(names.values()))
    categories = [{"id": i, "name": prompt} for i, prompt in enumerate(prompts, start=1)]
    yield f'{{"videos": [{json.dumps(video)}],\n"categories": {json.dumps(categories, ensure_ascii=False)},\n'
    yield '"annotations": ['
    for number, (object_id, name) in enumerate(names.items(), start=1):
        head = {
            "id": number,
            "video_id": 1,
            "category_id": prompts.index(name) + 1,
            "object_id": object_id,
            "iscrowd": 0,
            "height": height,
            "width": width,
            "length": len(sink.times),
        }
        yield ("," if number > 1 else "") + "\n" + json.dumps(head)[:-1]
        for key, file in zip(_LISTS, sink.lists[object_id], strict=True):
            yield f',\n"{key}": ['
            file.seek(0)
            yield from iter(lambda file=file: file.read(2**16), "")
            yield "]"
        yield "}"
    yield "]}\n"
