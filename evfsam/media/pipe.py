"""A video that comes through a pipe: read once, forward, of any length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from evfsam.errors import VideoError
from evfsam.media.decode import FrameShape, decoded, opened, video_errors
from evfsam.media.video import VideoInfo
from evfsam.media.video_index import frame_rate
from evfsam.values import number

NAME = "the standard input"
KNOWN_TIMES = 256  # more than SAM 3 holds frames back
READABLE = "WebM, MKV, MPEG-TS, AVI, or MP4 with its index in front (faststart)"


class PipedVideo:
    """As :class:`evfsam.media.video.VideoReader`, as far as a pipe allows; a context manager.

    There is no going back, no trimming and no sound; the number of frames is known when there are no more.
    Only the times of the frames that were read last are known, of :data:`KNOWN_TIMES` at most.

    Args:
        file: a binary stream that need not be seekable.
        max_long_side: larger frames are scaled down while they are read.

    Raises VideoError if nothing comes that can be read as a video.
    """

    audio = None

    def __init__(self, file: BinaryIO, max_long_side: int | None = None):
        if max_long_side is not None:
            max_long_side = number(max_long_side, "max_long_side", 1, whole=True)
        with ExitStack() as stack, video_errors(NAME):
            container, self._stream = stack.enter_context(opened(_OneWay(file), NAME, READABLE))
            self._frames = decoded(container, self._stream)
            self._first = next(self._frames, None)
            if self._first is None:
                raise VideoError(f"{NAME} has no frame that can be decoded: use {READABLE}.")
            self._shape = FrameShape.of(self._first, self._stream, max_long_side, NAME)
            self.time_base = Fraction(self._stream.time_base)
            self._stack = stack.pop_all()
        self._times: dict[int, tuple[Fraction, Fraction]] = {}
        self.info = VideoInfo(
            name="stdin",
            size_hw=self._shape.size_hw,
            source_size_hw=self._shape.source_size_hw,
            fps=frame_rate(self._stream),
            variable_rate=True,  # times are passed on as they come
            frame_count=None,
            duration=None,
            source_duration=None,
            codec=self._stream.codec_context.codec.name,
            has_audio=bool(container.streams.audio),
            notes=(
                *self._shape.notes,
                *(["Sound does not go through a pipe."] if container.streams.audio else []),
            ),
        )

    def __enter__(self) -> PipedVideo:
        return self

    def __exit__(self, *exception) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        """All frames, uint8 (H, W, 3); only once."""
        with video_errors(NAME):
            frame, self._first = self._first, None
            origin, index, even = frame.pts or 0, 0, 1 / self.info.fps
            while frame is not None:
                time = index * even if frame.pts is None else (frame.pts - origin) * self.time_base
                self._times[index] = time, frame.duration * self.time_base if frame.duration else even
                self._times.pop(index - KNOWN_TIMES, None)
                yield self._shape.to_rgb(frame)
                frame, index = next(self._frames, None), index + 1

    def time_of(self, index: int) -> tuple[Fraction, Fraction]:
        """As of a VideoReader, for the frames that were read last."""
        return self._times[index]


class _OneWay:
    """A stream without the methods by which FFmpeg would try to go back."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size)
