"""Which frames a video has and when each is shown, found without decoding one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from evfsam.errors import VideoError

DEFAULT_FPS = Fraction(25)  # where a stream says nothing at all
FASTEST, SLOWEST = 1000, Fraction(1, 1000)  # frames per second; what is outside is damage
SHOWN_BIT_OF_VP8 = 0x10  # RFC 6386, section 9.1: packets without it carry a hidden frame


@dataclass(frozen=True)
class FrameIndex:
    """All frames of a stream in the order in which they are shown.

    Attributes:
        pts: int64 (N,), ascending, in units of ``time_base``.
        time_base: seconds, usually tiny.
        last_duration: of the last frame, in units of ``time_base``.
        fps: true frame rate; the mean if the rate varies.
        variable_rate: whether the frames are not evenly spaced.
        addressable: whether decoded frames carry these ``pts``, so that one can be sought and recognised.
    """

    pts: np.ndarray
    time_base: Fraction
    last_duration: int
    fps: Fraction
    variable_rate: bool
    addressable: bool

    def __len__(self) -> int:
        return len(self.pts)

    def time_of(self, index: int) -> Fraction:
        """Seconds from the first frame to this one; exact multiples of 1 / fps where the rate is constant."""
        if not self.variable_rate:
            return index / self.fps
        return int(self.pts[index] - self.pts[0]) * self.time_base

    @property
    def duration(self) -> Fraction:
        """Seconds, the last frame's own included."""
        if not self.variable_rate:
            return len(self) / self.fps
        return self.time_of(len(self) - 1) + self.last_duration * self.time_base

    def index_at(self, seconds: float) -> int:
        """The frame that is shown at this time; the first or last for times outside."""
        seconds = min(max(seconds, 0), float(self.duration))
        ticks = round(seconds / self.time_base) + int(self.pts[0])
        return int(np.clip(np.searchsorted(self.pts, ticks, side="right") - 1, 0, len(self) - 1))


def build_index(container: InputContainer, stream: VideoStream, name: str) -> FrameIndex:
    """Read the packets of an opened file once, keeping 8 bytes per frame.

    Raises VideoError if there are none, or if the file breaks off before the end that it announces.
    """
    pts: list[int] = []
    timed, last_duration, end, stored = True, 0, Fraction(0), 0
    for packet in _packets(container, stream):
        if packet.pts is not None and packet.duration:
            end = max(end, (packet.pts + packet.duration) * packet.time_base)
        stored += packet.stream is stream
        if packet.stream is not stream or packet.is_discard or _is_hidden(packet, stream):
            continue
        timed = timed and packet.pts is not None
        if timed and (not pts or packet.pts >= max(pts[-16:])):
            last_duration = packet.duration or 0
        pts.append(packet.pts if timed else len(pts))
    if not pts:
        raise VideoError(f"{name} has no frames: choose another video.")
    _check_complete(container, stream, stored, end, name)
    ordered = np.sort(np.asarray(pts if timed else range(len(pts)), dtype=np.int64))
    if not timed or (np.diff(ordered) <= 0).any():
        return _evenly_spaced(len(pts), stream)
    # An AVI has no times of presentation; FFmpeg makes some up, which decoded B-frames then carry in disorder.
    addressable = not (container.format.name == "avi" and stream.codec_context.has_b_frames)
    return _with_rate(ordered, stream, last_duration, addressable)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    try:
        for packet in container.demux([stream, *container.streams.audio]):
            if packet.size:  # the empty ones at the end only flush the decoder
                yield packet
    except av.error.FFmpegError:
        return  # it breaks off here; what that means is told by how much came before


def _is_hidden(packet: av.Packet, stream: VideoStream) -> bool:
    return stream.codec_context.name in ("vp8", "libvpx") and not bytes(packet)[0] & SHOWN_BIT_OF_VP8


def _check_complete(container, stream, count: int, end: Fraction, name: str) -> None:
    announced = stream.frames
    if announced and count < 0.95 * announced:
        raise VideoError(f"{name} is cut off: {count} of {announced} frames are there; copy or upload it again.")
    length = Fraction(container.duration or 0, av.time_base)
    # Matroska counts its length from zero, others from the first frame.
    start = 0 if "matroska" in container.format.name else Fraction(container.start_time or 0, av.time_base)
    if end and end - start < Fraction(95, 100) * length - Fraction(1, 2):
        raise VideoError(
            f"{name} is cut off after {float(end - start):.1f} of {float(length):.1f} seconds; copy or upload it again."
        )


def frame_rate(stream: VideoStream) -> Fraction:
    """Frames per second of a stream whose frames carry no times."""
    rates = [Fraction(rate) for rate in (stream.guessed_rate,) if rate and 0 < rate <= FASTEST]
    return (rates or _rates(stream) or [DEFAULT_FPS])[0]


def _rates(stream: VideoStream) -> list[Fraction]:
    """What the file says of its frame rate, the most trustworthy first."""
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return [Fraction(rate) for rate in rates if rate and 0 < rate <= FASTEST]


def _evenly_spaced(count: int, stream: VideoStream) -> FrameIndex:
    """For streams whose frames carry no times, or the same time twice."""
    fps = frame_rate(stream)
    return FrameIndex(np.arange(count, dtype=np.int64), 1 / fps, 1, fps, variable_rate=False, addressable=False)


def _with_rate(pts: np.ndarray, stream: VideoStream, last_duration: int, addressable: bool) -> FrameIndex:
    base = Fraction(stream.time_base)
    elapsed = (pts - pts[0]).astype(np.float64)
    for fps in _rates(stream):
        # Containers round times to their own ticks (WebM: milliseconds): that is still a constant rate.
        even = np.arange(len(pts)) * float(1 / fps / base)
        if np.abs(elapsed - even).max() <= 1.0 + 1e-6:
            return FrameIndex(pts, base, last_duration or round(1 / fps / base), fps, False, addressable)
    if len(pts) == 1:
        fps = 1 / (last_duration * base) if last_duration else DEFAULT_FPS
        return FrameIndex(pts, base, last_duration or round(1 / fps / base), fps, False, addressable)
    last_duration = last_duration or int(np.median(np.diff(pts)))
    fps = Fraction(len(pts)) / (Fraction(int(pts[-1] - pts[0]) + last_duration) * base)
    return FrameIndex(pts, base, last_duration, max(fps.limit_denominator(1001), SLOWEST), True, addressable)
