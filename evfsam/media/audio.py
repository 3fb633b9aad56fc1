"""A clip's sound, carried over to a new file beside its frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from evfsam.media.decode import open_container
from evfsam.media.files import quoted

# Container -> codecs that go in as they are, and the encoder for all others.
SOUND_OF: dict[str, tuple[frozenset[str], str]] = {
    "mp4": (frozenset({"aac"}), "aac"),
    "mov": (frozenset({"aac"}), "aac"),
    "webm": (frozenset({"opus", "vorbis"}), "libopus"),
}
GAP_S = 0.1
ROUNDING_S = Fraction(1, 100)  # of times in files
SEEK_MARGIN_S = 1
ENCODER_RATES = {"aac": (44100, 48000, 32000, 24000, 22050, 16000), "libopus": (48000,)}


@dataclass(frozen=True)
class AudioSource:
    """Where the sound of a clip is.

    Attributes:
        path: of the media file.
        start: where the clip begins, in seconds on the clock of the file.
        end: where the clip ends, in seconds on the same clock.
    """

    path: Path
    start: Fraction
    end: Fraction


class AudioCopy:
    """Brings sound into a container while its video is being written.

    If the container allows the codec, packets are copied as they are (cut to whole packets of some 20 ms). Otherwise
    they are decoded and encoded again. Where the sound is damaged, it ends, and ``warning`` says so.
    """

    def __init__(self, container: OutputContainer, source: AudioSource, kind: str):
        self.container, self.source, self._kind = container, source, kind
        self.warning: str | None = None
        self._opened = ExitStack()
        self._input = open_container(self._opened, source.path, quoted(source.path.name))
        stream = best_audio(self._input)
        copied, encoder = SOUND_OF[kind]
        self._copies = stream.codec_context.name in copied
        if self._copies:
            self._out = container.add_stream_from_template(stream)
        else:
            self._out = _encoder(container, stream, encoder)
        self._packets = self._in_time(self._read(stream))
        self._next: tuple[Fraction, av.Packet] | None = next(self._packets, None)

    def pump(self, until: Fraction) -> None:
        """Write all sound that begins before ``until``, in seconds of the clip."""
        while self._next is not None and self._next[0] < until:
            self.container.mux(self._next[1])
            self._next = next(self._packets, None)

    def finish(self, end: Fraction) -> None:
        """Write what is left, up to the end of the last frame in seconds of the clip."""
        self.pump(min(self.source.end - self.source.start, end + ROUNDING_S))

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._packets.close()
        self._input.close()
        self._opened.close()

    def _in_time(self, packets: Iterator[av.Packet]) -> Iterator[tuple[Fraction, av.Packet]]:
        """(seconds, packet) for the container; ends at the first error."""
        try:
            for packet in packets:
                yield packet.pts * packet.time_base, packet
        except av.error.FFmpegError as error:
            self.warning = f"The sound ends early because it is damaged ({error.strerror})."

    def _read(self, stream: AudioStream) -> Iterator[av.Packet]:
        start, end = self.source.start, self.source.end
        if start > SEEK_MARGIN_S:  # seeking is not exact; what is too early is skipped below
            self._input.seek(int((start - SEEK_MARGIN_S) / stream.time_base), stream=stream)
        chosen = (
            packet
            for packet in self._input.demux(stream)
            if packet.pts is not None and packet.pts * packet.time_base < end
        )
        return self._copied(chosen) if self._copies else self._encoded(chosen)

    def _copied(self, packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        last = None
        for packet in packets:
            shift = round(self.source.start / packet.time_base)
            # A packet needs the one before it to sound right. MP4 can hold one that is not to be heard (an edit
            # list skips what lies before zero); WebM can at the beginning of a file only.
            unheard = (packet.duration or 0) * 3 // 2 if self._kind != "webm" or shift <= 0 else 0
            if packet.pts < shift - unheard or (last is not None and packet.pts <= last):
                continue
            last = packet.pts
            packet.pts -= shift
            packet.dts = packet.pts  # sound is stored in the order in which it is heard
            packet.stream = self._out
            yield packet

    def _encoded(self, packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        sample = None  # where the next frame goes
        for packet in packets:
            for frame in packet.decode():
                time = None if frame.pts is None else frame.pts * frame.time_base - self.source.start
                if time is not None and time >= 0:
                    # Times in files are rounded; only what is a real gap is one.
                    told = round(time * frame.sample_rate)
                    sample = told if sample is None or told - sample > frame.sample_rate * GAP_S else sample
                if sample is not None:
                    frame.pts, frame.time_base = sample, Fraction(1, frame.sample_rate)
                    sample += frame.samples
                    yield from self._out.encode(frame)
        yield from self._out.encode(None)


def best_audio(container: InputContainer) -> AudioStream | None:
    """The stream that a player would choose; None if there is none that can be decoded."""
    stream = container.streams.best("audio")
    return None if stream is None or stream.codec_context is None else stream


def _encoder(container: OutputContainer, stream: AudioStream, name: str) -> AudioStream:
    rates = ENCODER_RATES[name]
    rate = stream.rate if stream.rate in rates else rates[-1] if len(rates) == 1 else 48000
    return container.add_stream(name, rate=rate, layout="mono" if stream.channels == 1 else "stereo")
