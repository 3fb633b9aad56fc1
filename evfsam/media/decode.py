"""From a file to upright RGB frames: opening, decoding, and what is done to every frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from evfsam.errors import EvfSamError, VideoError
from evfsam.media.files import open_regular

READABLE = "MP4, MOV, WebM, MKV, AVI or GIF"
MAX_FRAME_PIXELS = 8192 * 4320  # one such frame takes 106 MB as RGB, and a decoder holds several
WIDEST_PIXEL = 8  # real pixels are at most twice as wide as high
# Some of FFmpeg's formats are lists of other files and addresses. No protocol is allowed, so that it reads only the
# file that was opened for it. Sound formats are here to tell a song from a broken video.
OPEN_OPTIONS = {
    "protocol_whitelist": "none",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,m4v,h264,hevc,mjpeg,"
    "flv,asf,ogg,mxf,ivf,apng,wav,mp3,aac,flac",
}
# FFmpeg's own decoders of these codecs leave out the alpha channel of WebM.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@contextmanager
def video_errors(name: str) -> Iterator[None]:
    """Whatever a damaged file makes FFmpeg, PyAV or arithmetic raise becomes a VideoError that names the file."""
    try:
        yield
    except EvfSamError:
        raise
    except Exception as error:
        raise VideoError(f"{name} is damaged or of a rare kind: convert it to H.264 MP4.") from error


@dataclass(frozen=True)
class Orientation:
    """How a stored frame becomes upright: first rows and columns are exchanged, then their order is reversed."""

    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """One of the eight right-angled ones, by the display matrix; the nearest for matrices between them."""
        data = frame.side_data.get(SideDataType.DISPLAYMATRIX)
        if data is None or len(bytes(data)) != 36:
            return cls()
        # x' = a x + c y and y' = b x + d y (ISO/IEC 14496-12, section 8.5.3)
        a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
        transposed = abs(b) + abs(c) > abs(a) + abs(d)
        return cls(transposed, (b if transposed else d) < 0, (c if transposed else a) < 0)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) as stored -> upright, contiguous."""
        image = image.swapaxes(0, 1) if self.transposed else image
        image = image[::-1] if self.rows_reversed else image
        return np.ascontiguousarray(image[:, ::-1] if self.columns_reversed else image)


@dataclass(frozen=True)
class FrameShape:
    """What is done to every frame between decoder and user."""

    decoded_size_wh: tuple[int, int]  # to which the decoder's frame is scaled
    orientation: Orientation  # applied after scaling
    size_hw: tuple[int, int]
    source_size_hw: tuple[int, int]

    @classmethod
    def of(cls, frame: VideoFrame, stream: VideoStream, max_long_side: int | None, name: str) -> FrameShape:
        """Raises VideoError if the frames are too large as they are shown."""
        width, height = frame.width, frame.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if aspect != 1 and Fraction(1, WIDEST_PIXEL) <= aspect <= WIDEST_PIXEL:  # widescreen DVDs and the like
            width = max(1, round(width * aspect))
        check_frame_size(width, height, name)
        scale = min(1.0, (max_long_side or np.inf) / max(width, height))
        scaled = max(1, round(width * scale)), max(1, round(height * scale))
        orientation = Orientation.of(frame)
        shown = (lambda w, h: (w, h)) if orientation.transposed else (lambda w, h: (h, w))
        return cls(scaled, orientation, shown(*scaled), shown(width, height))

    @property
    def notes(self) -> list[str]:
        """A sentence for the user if frames are made smaller."""
        if self.size_hw == self.source_size_hw:
            return []
        (height, width), (source_height, source_width) = self.size_hw, self.source_size_hw
        return [f"Frames are read at {width} x {height} instead of {source_width} x {source_height} pixels."]

    def to_rgb(self, frame: VideoFrame) -> np.ndarray:
        """uint8 (H, W, 3); transparent parts over white, more than eight bits rounded to eight."""
        width, height = self.decoded_size_wh
        alpha = any(component.is_alpha for component in frame.format.components)
        shrinks = (width, height) != (frame.width, frame.height)
        how = {"width": width, "height": height, "interpolation": Interpolation.AREA} if shrinks else {}
        image = frame.reformat(format="rgba" if alpha else "rgb24", **how).to_ndarray()
        if alpha:
            opacity = image[..., 3:].astype(np.uint16)
            image = ((image[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
        return self.orientation.apply(image)


@contextmanager
def opened(
    source: Path | BinaryIO, name: str, readable: str = READABLE
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A container and its video stream. Every error, also inside the ``with``, is a VideoError that names the file.

    Args:
        source: the path of a regular file, or a binary stream.
        name: of the file, for errors.
        readable: what can be read, for errors.
    """
    with ExitStack() as stack, video_errors(name):
        container = stack.enter_context(open_container(stack, source, name, readable))
        streams = [
            s for s in container.streams.video if not s.disposition & Disposition.attached_pic
        ]  # the cover of a song
        if not streams and container.streams.audio:
            raise VideoError(f"{name} has sound but no picture: choose a video.")
        if not streams:
            raise VideoError(f"{name} has no frames: choose another video.")
        stream = streams[0]
        if stream.codec_context is None:
            raise VideoError(f"{name} is in a codec that is not known here: convert it to H.264 MP4.")
        check_frame_size(stream.codec_context.width, stream.codec_context.height, name)
        _limit(stream.codec_context)
        yield container, stream


def open_container(stack: ExitStack, source: Path | BinaryIO, name: str, readable: str = READABLE) -> InputContainer:
    """A container that FFmpeg reads through Python's file object, so that no name is ever taken for an address.

    Raises VideoError if it is no regular file, is empty, or in a format that is not known.
    """
    if isinstance(source, Path):
        source = stack.enter_context(open_regular(source, VideoError, "video"))
        if not source.read(1):
            raise VideoError(f"{name} is empty (0 bytes): record or upload it again.")
        source.seek(0)
    try:
        return av.open(source, options=OPEN_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise VideoError(f"{name} is not a video that can be read ({reason}): use {readable}.") from error


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames that can be decoded, those that the decoder holds back at the end included."""
    decoder = _decoder(stream)
    try:
        for packet in container.demux(stream):
            try:
                frames = decoder.decode(packet if packet.size else None)
            except av.error.FFmpegError:
                continue  # one damaged packet; the reader notices which frames are missing
            yield from frames
    except av.error.FFmpegError:
        return


def check_frame_size(width: int, height: int, name: str) -> None:
    """Raises VideoError for frames of more than ``MAX_FRAME_PIXELS``."""
    if width * height > MAX_FRAME_PIXELS:
        raise VideoError(f"{name} is too large ({width} x {height} pixels): convert it to 4K or less.")


def _decoder(stream: VideoStream) -> av.VideoCodecContext:
    name = ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    decoder = av.VideoCodecContext.create(name, "r")
    decoder.extradata = stream.codec_context.extradata
    _limit(decoder)
    return decoder


def _limit(decoder: av.VideoCodecContext) -> None:
    """A damaged or hostile stream may change its size in the middle; decoders count borders and padding as well."""
    decoder.options = {"max_pixels": str(2 * MAX_FRAME_PIXELS)}
    decoder.thread_type = "AUTO"
