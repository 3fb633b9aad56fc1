"""Videos in: frames as RGB arrays, upright, with square pixels, from any place in either direction."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from evfsam.errors import VideoError
from evfsam.media.audio import AudioSource, best_audio
from evfsam.media.decode import FrameShape, decoded, opened, video_errors
from evfsam.media.files import quoted
from evfsam.media.video_index import FrameIndex, build_index
from evfsam.values import number

BACKWARD_BUFFER_BYTES = 192 * 2**20


@dataclass(frozen=True)
class VideoInfo:
    """A clip as it will be read.

    Attributes:
        name: the file's.
        size_hw: of the frames that are handed out: upright, square pixels, within the limit.
        source_size_hw: the same without the limit.
        fps: true frame rate; the mean if the rate varies.
        variable_rate: whether frames are not evenly spaced.
        frame_count: frames of the clip; None if it is only known at the end (a pipe).
        duration: seconds; None as ``frame_count``.
        source_duration: seconds, before trimming; None as ``frame_count``.
        codec: as FFmpeg calls it.
        has_audio: whether there is sound.
        notes: sentences for the user on what the limits will do.
    """

    name: str
    size_hw: tuple[int, int]
    source_size_hw: tuple[int, int]
    fps: Fraction
    variable_rate: bool
    frame_count: int | None
    duration: Fraction | None
    source_duration: Fraction | None
    codec: str
    has_audio: bool
    notes: tuple[str, ...] = ()


class VideoReader:
    """A clip of a video file; a ``FrameSource`` for the tracker.

    Frame indices count from the clip's first frame. Each iteration opens the file anew, so that several can run at
    once. A frame that cannot be decoded is replaced by the one before it.

    Args:
        path: of a regular file; addresses are not opened.
        start_s: the clip begins with the frame that is shown at this time, in seconds from the start of the file.
        end_s: the clip ends before this time, in seconds; None for the end of the file.
        max_long_side: larger frames are scaled down to this length in pixels while they are read.
        max_frames: longer clips are cut after so many frames.

    What the limits do is said in ``info.notes``.

    Raises VideoError if the file is missing, no regular file, empty, damaged, cut off, without frames or too large to
    decode, or if there is nothing between start and end. Raises InputError for numbers that are not finite, not whole
    where they count something, or below 1 where they are limits.
    """

    def __init__(
        self,
        path: str | PathLike,
        start_s: float = 0.0,
        end_s: float | None = None,
        max_long_side: int | None = None,
        max_frames: int | None = None,
    ):
        start_s = number(start_s, "start_s")
        end_s = None if end_s is None else number(end_s, "end_s")
        max_long_side = None if max_long_side is None else number(max_long_side, "max_long_side", 1, whole=True)
        max_frames = None if max_frames is None else number(max_frames, "max_frames", 1, whole=True)
        if not isinstance(path, str | PathLike):
            raise VideoError(f"A video must be a path, not {type(path).__name__}.")
        self.path = Path(os.fsdecode(path))
        self._name = name = quoted(self.path.name)
        with opened(self.path, name) as (container, stream):
            index = build_index(container, stream, name)
        with opened(self.path, name) as (container, stream):
            first = _first_frame(container, stream, name)
            self._shape = shape = FrameShape.of(first, stream, max_long_side, name)
            codec, has_audio = stream.codec_context.codec.name, best_audio(container) is not None
        self._index = index
        self._start, stop = _trimmed(index, start_s, end_s)
        whole, self._stop = stop, min(stop, self._start + (max_frames or len(index)))
        notes = [*shape.notes, *_cut_notes(index, self._start, whole, self._stop)]
        self.info = VideoInfo(
            name=self.path.name,
            size_hw=shape.size_hw,
            source_size_hw=shape.source_size_hw,
            fps=index.fps,
            variable_rate=index.variable_rate,
            frame_count=len(self),
            duration=self._time(self._stop) - self._time(self._start),
            source_duration=index.duration,
            codec=codec,
            has_audio=has_audio,
            notes=tuple(notes),
        )

    def __len__(self) -> int:
        return self._stop - self._start

    def __iter__(self) -> Iterator[np.ndarray]:
        """All frames of the clip, uint8 RGB (H, W, 3)."""
        return self._read(0, len(self))

    def frame(self, index: int) -> np.ndarray:
        """One frame, uint8 (H, W, 3). Raises VideoError if the clip has none of this index."""
        index = self._checked(index)
        return next(self._read(index, index + 1))

    def between(self, first: int, stop: int) -> Iterator[np.ndarray]:
        """Frames first <= index < stop. Raises VideoError if the clip does not have them."""
        if first < stop:
            self._checked(first), self._checked(stop - 1)
        return self._read(first, stop)

    def backwards(self, first: int) -> Iterator[np.ndarray]:
        """Frames first, first - 1, ... 0, read in chunks of at most ``BACKWARD_BUFFER_BYTES``."""
        return self._backwards(self._checked(first))

    def _backwards(self, first: int) -> Iterator[np.ndarray]:
        height, width = self.info.size_hw
        chunk, stop = max(1, BACKWARD_BUFFER_BYTES // (height * width * 3)), first + 1
        while stop > 0:
            start = max(0, stop - chunk)
            frames = list(self._read(start, stop))
            while frames:
                yield frames.pop()
            stop = start

    def time_of(self, index: int) -> tuple[Fraction, Fraction]:
        """When a frame is shown, in seconds from the clip's start, and for how long."""
        start = self._time(self._start + index)
        return start - self._time(self._start), self._time(self._start + index + 1) - start

    def index_at(self, seconds: float) -> int:
        """The frame that is shown so many seconds after the start of the clip."""
        at = self._index.index_at(number(seconds, "time") + float(self._time(self._start)))
        return min(max(at - self._start, 0), len(self) - 1)

    @property
    def audio(self) -> AudioSource | None:
        """The clip's sound, for a writer; None if there is none."""
        if not self.info.has_audio:
            return None
        origin = int(self._index.pts[0]) * self._index.time_base
        return AudioSource(self.path, origin + self._time(self._start), origin + self._time(self._stop))

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of the file's own times."""
        return self._index.time_base

    def _time(self, file_index: int) -> Fraction:
        return self._index.duration if file_index == len(self._index) else self._index.time_of(file_index)

    def _checked(self, index: int) -> int:
        index = number(index, "frame", whole=True)
        if not 0 <= index < len(self):
            raise VideoError(f"{self._name} ends before frame {index}: it has {len(self)} frames, counted from 0.")
        return index

    def _read(self, first: int, stop: int) -> Iterator[np.ndarray]:
        """Exactly the frames first <= index < stop of the clip."""
        if first < stop:
            with video_errors(self._name):
                yield from self._filled(self._start + first, self._start + stop)

    def _filled(self, expected: int, last: int) -> Iterator[np.ndarray]:
        """The frames expected <= index < last of the file; a few missing ones are replaced by the one before."""
        missing, allowed, image = 0, max(2, (last - expected) // 50), None
        for file_index, frame in self._decode(expected):
            if file_index < expected:
                continue
            missing += file_index - expected
            if missing > allowed:
                break
            before, image = image, self._shape.to_rgb(frame)
            while expected < min(file_index, last):
                yield image if before is None else before
                expected += 1
            if expected < last:
                yield image
                expected += 1
            if expected == last:
                return
        if image is None or missing + last - expected > allowed:
            at = float(self._index.time_of(expected))
            raise VideoError(
                f"{self._name} is damaged at {at:.1f} seconds: trim the clip to end before, or convert it."
            )
        for _ in range(last - expected):
            yield image

    def _decode(self, file_index: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decoded frames with their indices in the file, from this one on or, if need be, from earlier."""
        with opened(self.path, self._name) as (container, stream):
            frames = decoded(container, stream)
            if not self._index.addressable:
                yield from enumerate(frames)
                return
            if file_index and (found := self._seek(container, stream, file_index)) is not None:
                yield from found
                return
        with opened(self.path, self._name) as (container, stream):
            yield from self._numbered(decoded(container, stream))

    def _seek(self, container: InputContainer, stream: VideoStream, file_index: int):
        """The frames from the last key frame before this one; None if the file cannot be sought in."""
        try:
            container.seek(int(self._index.pts[file_index]), stream=stream)
            frames = self._numbered(decoded(container, stream))
            first = next(frames)
        except (av.error.FFmpegError, StopIteration):
            return None
        return _chain(first, frames) if first[0] <= file_index else None

    def _numbered(self, frames: Iterator[VideoFrame]) -> Iterator[tuple[int, VideoFrame]]:
        for frame in frames:
            if frame.pts is not None:
                index = int(np.searchsorted(self._index.pts, frame.pts))
                if index < len(self._index) and self._index.pts[index] == frame.pts:
                    yield index, frame


def _first_frame(container: InputContainer, stream: VideoStream, name: str) -> VideoFrame:
    for frame in decoded(container, stream):
        return frame
    raise VideoError(f"{name} has no frame that can be decoded: convert it to H.264 MP4, or choose another video.")


def _trimmed(index: FrameIndex, start_s: float, end_s: float | None) -> tuple[int, int]:
    """First and one past the last frame of the file that belong to the clip."""
    length = float(index.duration)
    if start_s < 0 or start_s >= length or (end_s is not None and end_s <= start_s):
        end = "its end" if end_s is None else f"{end_s:g} s"
        raise VideoError(f"Nothing lies between {start_s:g} s and {end} of a video of {length:.2f} s: trim it again.")
    start = index.index_at(start_s)
    if end_s is None or end_s >= length:
        return start, len(index)
    stop = index.index_at(end_s)
    shown_before = float(index.time_of(stop)) < end_s - float(index.time_base) / 2
    return start, max(start + 1, stop + 1 if shown_before else stop)


def _cut_notes(index: FrameIndex, start: int, whole: int, stop: int) -> list[str]:
    if stop == whole:
        return []
    seconds = float(index.time_of(stop) - index.time_of(start))
    return [f"Only the first {stop - start:,} of {whole - start:,} frames ({seconds:.1f} seconds) are used."]


def _chain(first, rest: Iterator):
    yield first
    yield from rest
