"""Videos that browsers play: same length, same rate, same sound; whole or not there."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from evfsam.errors import VideoError
from evfsam.media.video import VideoReader
from evfsam.media.video_writer import open_writer
from tests.media.clips import GROUND, loudness, number_of, numbered, write_clip


def copy(reader: VideoReader, target) -> list[str]:
    """Write a clip as it was read; returns the writer's warnings."""
    time_base = reader.time_base if reader.info.variable_rate else None
    with open_writer(target, reader.info.fps, time_base, reader.audio) as writer:
        for index, picture in enumerate(reader):
            writer.write(picture, *reader.time_of(index))
    return writer.warnings


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001)])
def test_same_frames_same_rate_same_length(suffix, fps, tmp_path):
    reader = VideoReader(write_clip(tmp_path / "in.mp4", fps=fps))
    copy(reader, tmp_path / f"out{suffix}")
    written = VideoReader(tmp_path / f"out{suffix}")
    assert (written.info.fps, written.info.variable_rate) == (fps, False)
    assert written.info.duration == reader.info.duration
    assert [number_of(f) for f in written] == list(range(20))
    assert np.abs(written.frame(3)[4, -4].astype(int) - GROUND).max() < 12


def test_an_mp4_is_what_browsers_play(tmp_path):
    copy(VideoReader(write_clip(tmp_path / "in.webm", codec="libvpx-vp9")), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playable before it is loaded


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_variable_rate_keeps_its_times(suffix, tmp_path):
    reader = VideoReader(write_clip(tmp_path / "in.mkv", count=6, ticks=(0, 4, 8, 30, 31, 90)))
    copy(reader, tmp_path / f"out{suffix}")
    written = VideoReader(tmp_path / f"out{suffix}")
    assert [written.time_of(i)[0] for i in range(6)] == [reader.time_of(i)[0] for i in range(6)]
    assert abs(written.info.duration - reader.info.duration) <= Fraction(1, 1000)


@pytest.mark.parametrize("size_hw", [(49, 67), (48, 67), (1, 1)])
def test_odd_sizes_are_padded_to_even(size_hw, tmp_path):
    picture = numbered(5, size_hw)
    with open_writer(tmp_path / "out.mp4", Fraction(25)) as writer:
        writer.write(picture, Fraction(0), Fraction(1, 25))
    written = VideoReader(tmp_path / "out.mp4").frame(0)
    height, width = size_hw
    assert written.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(written[:height, :width].astype(int) - picture).mean() < 12


class TestSound:
    SOURCES = {  # suffix and codec of the sound -> is it copied into an MP4
        (".mp4", "aac"): True,
        (".mkv", "aac"): True,
        (".ts", "aac"): True,
        (".mkv", "libopus"): False,
        (".avi", "mp3"): False,
        (".mkv", "pcm_s16le"): False,
    }

    @pytest.mark.parametrize("suffix, codec", SOURCES)
    def test_it_is_kept(self, suffix, codec, tmp_path):
        reader = VideoReader(write_clip(tmp_path / f"in{suffix}", count=50, audio=codec))
        assert copy(reader, tmp_path / "out.mp4") == []
        self.same_sound(reader.path, tmp_path / "out.mp4", codec_of_out="aac")
        if self.SOURCES[suffix, codec]:
            assert packets(reader.path) == packets(tmp_path / "out.mp4")

    def test_into_webm(self, tmp_path):
        reader = VideoReader(write_clip(tmp_path / "in.mp4", count=50, audio="aac"))
        copy(reader, tmp_path / "out.webm")
        self.same_sound(reader.path, tmp_path / "out.webm", codec_of_out="opus")

    @pytest.mark.parametrize("suffix, codec", [(".mp4", "aac"), (".mkv", "libopus")])
    def test_it_is_trimmed_with_the_pictures(self, suffix, codec, tmp_path):
        path = write_clip(tmp_path / f"in{suffix}", count=50, audio=codec)  # silent in the first of two seconds
        copy(VideoReader(path, start_s=0.6, end_s=1.4), tmp_path / "out.mp4")
        levels, start = loudness(tmp_path / "out.mp4")
        first_loud = int(np.argmax(levels > 0.05)) / 10 + start
        assert abs(first_loud - 0.4) <= 0.11
        assert abs(len(levels) / 10 - 0.8) <= 0.11

    def test_a_silent_clip_stays_without_a_track(self, tmp_path):
        copy(VideoReader(write_clip(tmp_path / "in.mp4")), tmp_path / "out.mp4")
        with av.open(str(tmp_path / "out.mp4")) as container:
            assert not container.streams.audio

    @staticmethod
    def same_sound(before, after, codec_of_out: str) -> None:
        with av.open(str(after)) as container:
            assert container.streams.audio[0].codec_context.name == codec_of_out
            assert abs(container.duration / av.time_base - 2.0) < 0.05
        levels, start = loudness(before)
        written, written_start = loudness(after)
        count = min(len(levels), len(written))
        assert count >= 19 and abs(start - written_start) < 0.05
        assert np.abs(levels[:count] - written[:count]).max() < 0.1


def packets(path) -> list[bytes]:
    """The sound's packets; an MPEG-TS wraps each in a header of seven bytes (ADTS)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        header = 7 if container.format.name == "mpegts" else 0
        return [bytes(p)[header:] for p in container.demux(stream) if p.size]


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_transparency(suffix, tmp_path):
    picture = np.dstack([numbered(0), np.full((48, 64), 255, np.uint8)])
    picture[:24] = 0
    with open_writer(tmp_path / f"out{suffix}", Fraction(25), transparent=True) as writer:
        for index in range(5):
            writer.write(picture, Fraction(index, 25), Fraction(1, 25))
    written = first_rgba(tmp_path / f"out{suffix}")
    assert written[4, 4, 3] < 5 and written[-4, -4, 3] > 250
    assert np.abs(written[-4, -4, :3].astype(int) - GROUND).max() < 12


def first_rgba(path) -> np.ndarray:
    """FFmpeg's own VP9 decoder leaves alpha out; libvpx knows it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        name = stream.codec_context.name
        decoder = av.CodecContext.create("libvpx-vp9", "r") if name == "vp9" else stream.codec_context
        for packet in container.demux(stream):
            for frame in decoder.decode(packet):
                return frame.reformat(format="rgba").to_ndarray()
    raise AssertionError("no frame")


class TestNothingIsLeftBehind:
    def write(self, folder, error: BaseException | None, count: int = 3):
        with open_writer(folder / "out.mp4", Fraction(25)) as writer:
            for index in range(count):
                writer.write(numbered(index), Fraction(index, 25), Fraction(1, 25))
            if error:
                raise error

    @pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt(), GeneratorExit()])
    @pytest.mark.parametrize("count", [0, 3])
    def test_on_an_error_or_cancel(self, tmp_path, error, count):
        with pytest.raises(type(error)):
            self.write(tmp_path, error, count)
        assert list(tmp_path.iterdir()) == []

    def test_an_older_file_survives(self, tmp_path):
        (tmp_path / "out.mp4").write_bytes(b"precious")
        with pytest.raises(RuntimeError):
            self.write(tmp_path, RuntimeError())
        assert (tmp_path / "out.mp4").read_bytes() == b"precious"
        self.write(tmp_path, None)
        assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
        assert len(VideoReader(tmp_path / "out.mp4")) == 3

    def test_without_a_frame(self, tmp_path):
        with pytest.raises(VideoError, match="no frames to write"):
            self.write(tmp_path, None, count=0)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "name, words", [("out.txt", "mp4, .mov, .webm"), ("out", "mp4"), ("nowhere/out.mp4", "no folder")]
    )
    def test_where_nothing_can_be_written(self, tmp_path, name, words):
        with pytest.raises(VideoError, match=words), open_writer(tmp_path / name, Fraction(25)):
            raise AssertionError("the body must not run")


def test_to_a_stream(tmp_path):
    class Pipe(io.RawIOBase):
        """Takes bytes and cannot go back."""

        content = b""

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            self.content += bytes(data)
            return len(data)

    pipe = Pipe()
    copy(VideoReader(write_clip(tmp_path / "in.mp4", audio="aac")), pipe)
    (tmp_path / "out.mp4").write_bytes(pipe.content)
    written = VideoReader(tmp_path / "out.mp4")
    assert [number_of(f) for f in written] == list(range(20))
    assert written.info.has_audio
