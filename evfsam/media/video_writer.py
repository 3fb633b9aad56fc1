"""Videos out: frames with their times, and the sound they came with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from evfsam.errors import VideoError
from evfsam.media.audio import AudioCopy, AudioSource
from evfsam.media.files import atomic_path


@dataclass(frozen=True)
class Encoding:
    """How frames are stored in a container."""

    container: str
    codec: str
    pixel_format: str
    codec_options: dict[str, str]


_X264 = {"crf": "20", "preset": "veryfast"}
_VP9 = {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
ENCODINGS: dict[tuple[str, bool], Encoding] = {  # (suffix, transparent)
    (".mp4", False): Encoding("mp4", "libx264", "yuv420p", _X264),
    (".mov", False): Encoding("mov", "libx264", "yuv420p", _X264),
    (".webm", False): Encoding("webm", "libvpx-vp9", "yuv420p", _VP9),
    # libvpx keeps alpha as a second stream, which its alternate reference frames would break.
    (".webm", True): Encoding("webm", "libvpx-vp9", "yuva420p", {**_VP9, "auto-alt-ref": "0"}),
    (".mov", True): Encoding("mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
}
BT709, LIMITED_RANGE = 1, 1  # ITU-T H.273 and FFmpeg's AVColorRange
FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"  # an MP4 that never needs to go back


@contextmanager
def open_writer(
    target: str | PathLike | BinaryIO,
    fps: Fraction,
    time_base: Fraction | None = None,
    audio: AudioSource | None = None,
    transparent: bool = False,
) -> Iterator[VideoWriter]:
    """Write a video. The file appears when it is complete::

        with open_writer("out.mp4", reader.info.fps, audio=reader.audio) as writer:
            writer.write(image, *reader.time_of(index))

    MP4 has H.264 4:2:0 with the index in front, which browsers play. WebM has VP9, also with ``transparent``. A
    transparent MOV has ProRes 4444. If an exception leaves the ``with``, no file remains.

    Args:
        target: a path, whose suffix chooses the container; or a stream such as the standard output, which
            gets a fragmented MP4 as it is made.
        fps: frame rate, the mean if it varies.
        time_base: of the times that will be written, where the rate varies; None for a constant rate.
        audio: sound to carry over.
        transparent: whether frames have an alpha channel.

    Raises VideoError for an unknown suffix, and if the file cannot be written.
    """
    streams = hasattr(target, "write")
    path = Path("the output.mp4" if streams else target)
    encoding = find_encoding(path, transparent)
    with nullcontext(target) if streams else atomic_path(path) as part, _write_errors(path):
        flags = FRAGMENTED if streams else "+faststart"
        options = {"movflags": flags} if encoding.container in ("mp4", "mov") else {}
        container = av.open(part if streams else str(part), "w", format=encoding.container, options=options)
        writer = VideoWriter(container, encoding, Fraction(fps), time_base, audio)
        try:
            yield writer
            writer.finish()
        except BaseException:
            with suppress(av.error.FFmpegError, OSError):
                writer.close()
            raise
        writer.close()


def find_encoding(path: Path, transparent: bool = False) -> Encoding:
    """By suffix. Raises VideoError that lists the known ones."""
    suffix = path.suffix.lower()
    if (suffix, transparent) not in ENCODINGS:
        known = ", ".join(s for s, t in ENCODINGS if t == transparent)
        kind = "transparent video" if transparent else "video"
        raise VideoError(f"A {kind} cannot be written as '{path.name}': end its name in one of {known}.")
    return ENCODINGS[suffix, transparent]


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        raise VideoError(f"'{path.name}' cannot be written ({error.strerror}): choose another place.") from error


class VideoWriter:
    """Made by :func:`open_writer`.

    Attributes:
        warnings: sentences for the user, complete when the ``with`` has ended.
    """

    def __init__(
        self,
        container: OutputContainer,
        encoding: Encoding,
        fps: Fraction,
        time_base: Fraction | None,
        audio: AudioSource | None,
    ):
        self.warnings: list[str] = []
        self._container, self._encoding = container, encoding
        self._fps, self._time_base = fps, time_base or 1 / fps
        self._varies = time_base is not None
        self._audio_source, self._audio = audio, None
        self._stream: VideoStream | None = None
        self._end = Fraction(0)

    def write(self, image: np.ndarray, time: Fraction, duration: Fraction) -> None:
        """Add a frame.

        Args:
            image: uint8 (H, W, 3), or (H, W, 4) if the video is transparent; all of one size.
            time: seconds since the start of the video, later than the frame before.
            duration: seconds until the next frame or the end.
        """
        image = _even(image)
        if self._stream is None:
            self._open_streams(image.shape[0], image.shape[1])
        frame = VideoFrame.from_ndarray(image, "rgba" if image.shape[2] == 4 else "rgb24")
        frame = frame.reformat(format=self._encoding.pixel_format, dst_colorspace=Colorspace.ITU709)
        frame.time_base = self._time_base
        frame.pts, frame.duration = round(time / self._time_base), round(duration / self._time_base)
        self._container.mux(self._stream.encode(frame))
        self._end = time + duration
        if self._audio:
            self._audio.pump(self._end)

    def finish(self) -> None:
        """Write what the encoders hold back. Raises VideoError if there was no frame."""
        if self._stream is None:
            raise VideoError("There are no frames to write: choose a longer part of the video.")
        self._container.mux(self._stream.encode(None))
        if self._audio:
            self._audio.finish(self._end)
            self.warnings += [self._audio.warning] if self._audio.warning else []

    def close(self) -> None:
        """Close the file and the sound; writes nothing more."""
        if self._audio:
            self._audio.close()
        self._container.close()

    def _open_streams(self, height: int, width: int) -> None:
        options = dict(self._encoding.codec_options)
        if self._varies and self._encoding.codec == "libx264":
            # With B-frames the MP4 muxer would count the length by decoding times, which end too early.
            options["bf"] = "0"
        stream = self._container.add_stream(self._encoding.codec, rate=self._fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, self._encoding.pixel_format
        codec = stream.codec_context
        codec.time_base = self._time_base
        codec.flags |= Flags.frame_duration  # else the last frame lasts 1 / fps
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = LIMITED_RANGE
        if self._audio_source:
            self._audio = AudioCopy(self._container, self._audio_source, self._encoding.container)
        self._stream = stream


def _even(image: np.ndarray) -> np.ndarray:
    """4:2:0 stores one colour for two by two pixels: repeat the last row or column of odd sizes."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)
