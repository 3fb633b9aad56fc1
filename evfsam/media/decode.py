"""From a file to upright RGB frames: opening, decoding, and what is done to every frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from evfsam.errors import VideoError

READABLE = "MP4, MOV, WebM, MKV, AVI or GIF"
MAX_FRAME_PIXELS = 8192 * 4320  # one such frame takes 106 MB as RGB, and a decoder holds several
# Some of FFmpeg's formats are lists of other files and addresses, which it would go and read: an uploaded
# playlist must not make us fetch anything. Sound formats are here to tell a song from a broken video.
OPEN_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,m4v,h264,hevc,mjpeg,"
    "flv,asf,ogg,mxf,ivf,apng,wav,mp3,aac,flac",
}


@dataclass(frozen=True)
class FrameShape:
    """What is done to every frame between decoder and user."""

    decoded_size_wh: tuple[int, int]  # to which the decoder's picture is scaled
    quarter_turns: int  # counterclockwise, after scaling
    size_hw: tuple[int, int]
    source_size_hw: tuple[int, int]

    @classmethod
    def of(cls, frame: VideoFrame, stream: VideoStream, max_long_side: int | None) -> FrameShape:
        width, height = frame.width, frame.height
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if 0 < aspect != 1:  # widescreen DVDs and the like
            width = max(1, round(width * aspect))
        scale = min(1.0, (max_long_side or np.inf) / max(width, height))
        scaled = max(1, round(width * scale)), max(1, round(height * scale))
        turns = round(frame.rotation / 90) % 4
        upright = (lambda w, h: (w, h)) if turns % 2 else (lambda w, h: (h, w))
        return cls(scaled, turns, upright(*scaled), upright(width, height))

    @property
    def notes(self) -> list[str]:
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
        picture = frame.reformat(format="rgba" if alpha else "rgb24", **how).to_ndarray()
        if alpha:
            opacity = picture[..., 3:].astype(np.uint16)
            picture = ((picture[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
        return np.ascontiguousarray(np.rot90(picture, self.quarter_turns))


@contextmanager
def opened(source, name: str, readable: str = READABLE) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A container and its video stream; FFmpeg's errors become a VideoError that names the file."""
    try:
        container = av.open(source, options=OPEN_OPTIONS)
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(f"{name} is not a video that can be read ({_reason(error)}): use {readable}.") from None
    with container:
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
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_FRAME_PIXELS:
            raise VideoError(f"{name} is too large ({width} x {height} pixels): convert it to 4K or less.")
        stream.thread_type = "AUTO"
        yield container, stream


def decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """All frames that can be decoded, those that the decoder holds back at the end included."""
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue  # one damaged packet; the reader notices which frames are missing
            yield from frames
    except av.error.FFmpegError:
        return


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
