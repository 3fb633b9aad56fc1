"""A followed clip as files: overlaid video, cut-out with alpha, masks as PNGs, or one JSON of run lengths.

Each is a context manager that gives an object with ``add(frame, time, duration)``, for frames in order; the
file appears when the ``with`` ends well. Frames are written as they come and not kept. Objects may appear on any frame.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


@contextmanager
def overlay_video(target: str | PathLike | BinaryIO, clip: Clip, object_ids: Sequence[int] = ()) -> Iterator[VideoSink]:
    """The clip with its objects drawn over it: same rate, length and sound. See :func:`open_writer`.

    ``object_ids``: objects that get the first colours, in this order. Others get theirs when they appear.
    """
    places = {object_id: place for place, object_id in enumerate(object_ids)}

    def draw(frame: TrackedFrame) -> np.ndarray:
        colours = [colour_of(places.setdefault(o.object_id, len(places))) for o in frame.objects]
        return overlay(frame.image, [o.mask for o in frame.objects], colours)

    time_base = clip.time_base if clip.info.variable_rate else None
    with open_writer(target, clip.info.fps, time_base, clip.audio) as writer:
        yield Drawn(writer, draw)


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
def masks_zip(path: str | PathLike) -> Iterator[VideoSink]:
    """A zip with one folder per object, named by its id and prompt, and in it one PNG per frame: 255 inside, 0 outside.

    A folder has a file for each frame, also for those on which its object is hidden. An object that is never visible
    has no folder.
    """
    with atomic_path(Path(path)) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        yield _Masks(archive)


class _Masks:
    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self._folders: dict[int, str] = {}  # of the objects that have been visible
        self._written = array("q")  # frames

    def add(self, frame: TrackedFrame, time: Fraction, duration: Fraction) -> None:
        visible = {o.object_id: o for o in frame.objects if o.visible}
        nothing = mask_png(np.zeros(frame.image.shape[:2], bool))
        for object_id in [i for i in visible if i not in self._folders]:
            folder = self._folders[object_id] = f"{object_id:02d}-{slug(visible[object_id].prompt, 'object')}"
            for earlier in self._written:
                self._archive.writestr(_png(folder, earlier), nothing)
        for object_id, folder in self._folders.items():
            content = mask_png(visible[object_id].mask) if object_id in visible else nothing
            self._archive.writestr(_png(folder, frame.index), content)
        self._written.append(frame.index)


def _png(folder: str, index: int) -> str:
    return f"{folder}/{index:06d}.png"


# Per-frame lists of an annotation, as YouTube-VIS (COCO's video style) names them, and "presences".
_LISTS = ("segmentations", "bboxes", "areas", "scores", "presences")


@contextmanager
def rle_json(path: str | PathLike, clip: Clip) -> Iterator[VideoSink]:
    """One JSON in COCO's video style: one video, one category per prompt, one annotation per object.

    The lists of an annotation have one entry per frame, null where there is no mask. ``times`` are in seconds.
    """
    with atomic_path(Path(path)) as part, tempfile.TemporaryFile() as entries:
        sink = _RunLengths(entries)
        yield sink
        with part.open("w", encoding="utf-8") as file:
            for piece in _document(clip.info, sink):
                file.write(piece)


class _RunLengths:
    """Entries lie in one temporary file, because the JSON wants each list as a whole.

    Attributes:
        names: object id -> prompt, in the order in which objects appeared.
        times: of the frames, in seconds.
    """

    def __init__(self, file: BinaryIO):
        self.names: dict[int, str] = {}
        self.times: list[float] = []
        self._file = file
        self._places: dict[int, array] = {}  # object id -> where its entries begin, frame by frame; -1: null

    def add(self, frame: TrackedFrame, time: Fraction, duration: Fraction) -> None:
        found = {o.object_id: o for o in frame.objects}
        for object_id in [i for i in found if i not in self.names]:
            self.names[object_id] = found[object_id].prompt
            self._places[object_id] = array("q", [-1]) * (len(_LISTS) * len(self.times))
        for object_id, places in self._places.items():
            for value in _values(found.get(object_id)):
                places.append(-1 if value is None else self._file.tell())
                if value is not None:
                    self._file.write(json.dumps(value).encode() + b"\n")
        self.times.append(round(float(time), 6))

    def entries(self, object_id: int, key: str) -> Iterator[str]:
        """One list of an object, as JSON, one entry per frame."""
        for place in self._places[object_id][_LISTS.index(key) :: len(_LISTS)]:
            if place < 0:
                yield "null"
            else:
                self._file.seek(place)
                yield self._file.readline().decode().rstrip()


def _values(found) -> tuple:
    """One frame's entry in each of ``_LISTS``."""
    if found is None:
        return None, None, None, None, None
    score, presence = round(found.score, 4), None if found.presence is None else round(found.presence, 4)
    if not found.visible:
        return None, None, None, score, presence
    x0, y0, x1, y1 = found.box_xyxy
    return encode_rle(found.mask), [x0, y0, x1 - x0, y1 - y0], int(found.mask.sum()), score, presence


def _document(info: VideoInfo, sink: _RunLengths) -> Iterator[str]:
    """The JSON in pieces. Objects are in the order of their ids."""
    names = dict(sorted(sink.names.items()))
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
        for key in _LISTS:
            yield f',\n"{key}": ['
            for index, entry in enumerate(sink.entries(object_id, key)):
                yield f",\n{entry}" if index else entry
            yield "]"
        yield "}"
    yield "]}\n"
