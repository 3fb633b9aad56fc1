"""Reading videos as they come, and refusing what cannot be read with one sentence."""

from __future__ import annotations

import io
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from evfsam.errors import VideoError
from evfsam.media import video as video_module
from evfsam.media.pipe import PipedVideo
from evfsam.media.video import VideoReader
from tests.media.clips import (
    CORNER,
    GROUND,
    number_of,
    set_display_matrix,
    write_clip,
    write_frames,
)

KINDS = {
    # suffix, arguments of write_clip
    "h264 mp4": (".mp4", {}),
    "long gop": (".mp4", {"count": 60, "options": {"g": "60"}}),
    "short gop": (".mp4", {"count": 60, "options": {"g": "7"}}),
    "29.97": (".mp4", {"fps": Fraction(30000, 1001)}),
    "10 bit": (".mp4", {"pixel_format": "yuv420p10le"}),
    "10 bit hevc": (".mkv", {"codec": "libx265", "pixel_format": "yuv420p10le"}),
    "odd size": (".mp4", {"size_hw": (49, 67), "pixel_format": "yuv444p"}),
    "4:4:4": (".mp4", {"pixel_format": "yuv444p"}),
    "odd size 4:2:0": (".mkv", {"size_hw": (49, 67), "codec": "libvpx-vp9"}),
    "mov": (".mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}),
    "vp9 webm": (".webm", {"codec": "libvpx-vp9"}),
    "vp9 4:4:4": (".webm", {"codec": "libvpx-vp9", "pixel_format": "yuv444p"}),
    "av1 webm": (".webm", {"codec": "libsvtav1", "size_hw": (64, 96)}),
    "10 bit av1": (".mkv", {"codec": "libsvtav1", "size_hw": (64, 96), "pixel_format": "yuv420p10le"}),
    "rgb": (".mkv", {"codec": "libx264rgb", "pixel_format": "rgb24"}),
    "vp8 webm": (".webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}}),
    "gif": (".gif", {"codec": "gif", "pixel_format": "rgb8"}),
    "avi": (".avi", {"codec": "mpeg4"}),
    "avi with b-frames": (".avi", {}),
    "mpeg-ts": (".ts", {}),
    "no timestamps": (".h264", {}),
    "one frame": (".mp4", {"count": 1}),
    "a late start": (".mkv", {"first_pts": 2500}),
    "a late start, webm": (".webm", {"codec": "libvpx-vp9", "first_pts": 2500}),
    "a late start, mpeg-ts": (".ts", {"first_pts": 2500}),
    "variable rate": (".mp4", {"count": 6, "ticks": (0, 4, 8, 30, 31, 90)}),
    "variable rate webm": (".webm", {"codec": "libvpx-vp9", "count": 6, "ticks": (0, 4, 8, 30, 31, 90)}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_in_order_forwards_backwards_and_alone(kind, tmp_path, monkeypatch):
    suffix, arguments = KINDS[kind]
    count = arguments.get("count", 20)
    reader = VideoReader(write_clip(tmp_path / f"clip{suffix}", **arguments))
    height, width = arguments.get("size_hw", (48, 64))
    assert len(reader) == reader.info.frame_count == count
    assert reader.info.size_hw == (height, width)
    frames = list(reader)
    assert [number_of(f) for f in frames] == list(range(count))
    assert all(f.shape == (height, width, 3) and f.dtype == np.uint8 for f in frames)
    assert np.abs(frames[0][4, 4].astype(int) - CORNER).max() < 60  # a GIF has 256 colours
    assert np.abs(frames[0][4, -4].astype(int) - GROUND).max() < 60
    monkeypatch.setattr(video_module, "BACKWARD_BUFFER_BYTES", 5 * height * width * 3)
    assert [number_of(f) for f in reader.backwards(count - 1)] == list(range(count - 1, -1, -1))
    assert number_of(reader.frame(count // 2)) == count // 2


@pytest.mark.parametrize("fps", [24, 25, 60, Fraction(30000, 1001), Fraction(24000, 1001)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_the_true_frame_rate(fps, suffix, tmp_path):
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    info = VideoReader(write_clip(tmp_path / f"clip{suffix}", count=50, fps=fps, codec=codec)).info
    assert (info.fps, info.variable_rate) == (fps, False)
    assert info.duration == 50 / Fraction(fps)


def test_a_variable_rate_keeps_its_times(tmp_path):
    reader = VideoReader(write_clip(tmp_path / "clip.mkv", count=6, ticks=(0, 4, 8, 30, 31, 90)))
    assert reader.info.variable_rate
    times = [reader.time_of(i)[0] for i in range(6)]
    assert times == [Fraction(t, 100) for t in (0, 4, 8, 30, 31, 90)]
    assert [reader.index_at(s) for s in (0, 0.05, 0.29, 0.3, 0.305, 0.89, 5)] == [0, 1, 2, 3, 3, 4, 5]


@pytest.mark.skipif(not hasattr(VideoStream, "set_display_rotation"), reason="PyAV 16 cannot write such a clip")
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_clips_come_upright(rotation, tmp_path):
    reader = VideoReader(write_clip(tmp_path / "phone.mp4", rotation=rotation))
    picture = reader.frame(0)
    expected = np.rot90(VideoReader(write_clip(tmp_path / "flat.mp4")).frame(0), rotation // 90)
    assert reader.info.size_hw == picture.shape[:2] == expected.shape[:2]
    assert np.array_equal(picture, expected)


WIDTH, HEIGHT = 64, 48
DISPLAY_MATRICES = {
    # name: (a, b, c, d, x, y) of the file, what a player does to the stored frame
    "identity": ((1, 0, 0, 1, 0, 0), lambda f: f),
    "turned by 90": ((0, 1, -1, 0, HEIGHT, 0), lambda f: np.rot90(f, -1)),
    "turned by 180": ((-1, 0, 0, -1, WIDTH, HEIGHT), lambda f: np.rot90(f, 2)),
    "turned by 270": ((0, -1, 1, 0, 0, WIDTH), lambda f: np.rot90(f)),
    "mirrored": ((-1, 0, 0, 1, WIDTH, 0), np.fliplr),
    "upside down and mirrored": ((1, 0, 0, -1, 0, HEIGHT), np.flipud),
    "transposed": ((0, 1, 1, 0, 0, 0), lambda f: f.swapaxes(0, 1)),
    "transversed": ((0, -1, -1, 0, HEIGHT, WIDTH), lambda f: np.rot90(f, 2).swapaxes(0, 1)),
    "nearly turned by 90": ((0.02, 0.99, -0.99, 0.02, HEIGHT, 0), lambda f: np.rot90(f, -1)),
    "all zero": ((0, 0, 0, 0, 0, 0), lambda f: f),
}


@pytest.mark.parametrize("name", DISPLAY_MATRICES)
def test_display_matrices(name, tmp_path):
    path = write_clip(tmp_path / "phone.mp4", count=2)
    stored = VideoReader(path).frame(0)
    matrix, expected = DISPLAY_MATRICES[name]
    set_display_matrix(path, *matrix)
    reader = VideoReader(path)
    assert np.array_equal(reader.frame(0), expected(stored))
    assert reader.info.size_hw == expected(stored).shape[:2] and reader.frame(0).flags.c_contiguous


@pytest.mark.parametrize("aspect, width", [(Fraction(3, 2), 96), (Fraction(1, 2), 32), (Fraction(1000), 64)])
def test_pixels_are_made_square(aspect, width, tmp_path):
    reader = VideoReader(write_clip(tmp_path / "wide.mkv", aspect=aspect))  # no camera has an aspect of 1000
    assert reader.info.size_hw == reader.frame(0).shape[:2] == (48, width)


def test_transparent_parts_are_white(tmp_path):
    path = tmp_path / "clip.gif"
    frames = [Image.new("P", (32, 32), 0) for _ in range(3)]
    for i, frame in enumerate(frames):
        frame.putpalette([255, 0, 0, *GROUND])
        frame.paste(1, (0, 0, 8 + i, 8))
    frames[0].save(path, save_all=True, append_images=frames[1:], transparency=0, duration=100, disposal=2)
    picture = VideoReader(path).frame(2)
    assert tuple(picture[4, 4]) == GROUND and tuple(picture[20, 20]) == (255, 255, 255)


ALPHA = {
    "vp8": ("clip.webm", "libvpx", "yuva420p", {"auto-alt-ref": "0"}),
    "vp9": ("clip.webm", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"}),
    "vp9 in mkv": ("clip.mkv", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"}),
    "prores": ("clip.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
    "png in mov": ("clip.mov", "png", "rgba", {}),
}


@pytest.mark.parametrize("kind", ALPHA)
def test_alpha_is_composited_over_white(kind, tmp_path):
    name, codec, pixel_format, options = ALPHA[kind]
    rgba = np.full((48, 64, 4), (*GROUND, 255), np.uint8)
    rgba[:, :20, 3], rgba[:, 20:40, 3] = 0, 128
    write_frames(tmp_path / name, [rgba] * 6, codec, pixel_format, options)
    reader = VideoReader(tmp_path / name)
    half = (np.array(GROUND) + 255) // 2
    for frame in (*reader, reader.frame(4), *reader.backwards(5)):
        for column, expected in ((8, (255, 255, 255)), (30, half), (56, GROUND)):
            assert np.abs(frame[24, column].astype(int) - expected).max() < 12
    with PipedVideo(OneWay((tmp_path / name).read_bytes())) if name.endswith(("webm", "mkv")) else nullcontext([]) as p:
        assert all(frame[24, 8].min() > 240 for frame in p)


TRIMS = {
    # (start, end) of 20 frames at 25 a second -> numbers of the frames
    (0, None): range(20),
    (0.2, None): range(5, 20),
    (0.21, None): range(5, 20),
    (0, 0.2): range(5),
    (0.2, 0.4): range(5, 10),
    (0.2, 0.41): range(5, 11),
    (0.2, 99): range(5, 20),
    (0.2, 0.21): range(5, 6),
}


@pytest.mark.parametrize("start, end", TRIMS)
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_trimming(start, end, suffix, tmp_path):
    gif = {"codec": "gif", "pixel_format": "rgb8"} if suffix == ".gif" else {}
    reader = VideoReader(write_clip(tmp_path / f"clip{suffix}", **gif), start, end)
    expected = TRIMS[start, end]
    assert [number_of(f) for f in reader] == list(expected)
    assert [number_of(f) for f in reader.backwards(len(reader) - 1)] == list(reversed(expected))
    assert reader.time_of(0)[0] == 0
    assert reader.info.duration == Fraction(len(expected), 25)
    assert reader.index_at(0) == 0 and reader.index_at(99) == len(reader) - 1


def test_frames_before_the_edit_are_not_shown(tmp_path):
    """Phones trim by an edit list: the frames before the cut stay in the file, unseen."""
    reader = VideoReader(write_clip(tmp_path / "trimmed.mp4", first_pts=-10))
    assert [number_of(f) for f in reader] == list(range(10, 20))
    assert reader.info.duration == Fraction(10, 25)


def test_limits_are_said_before_the_work(tmp_path):
    path = write_clip(tmp_path / "clip.mp4")
    reader = VideoReader(path, max_long_side=32, max_frames=5)
    assert reader.info.size_hw == reader.frame(0).shape[:2] == (24, 32)
    assert reader.info.source_size_hw == (48, 64)
    assert [number_of(f) for f in reader] == list(range(5))
    assert [words in note for words, note in zip(("32 x 24", "5 of 20"), reader.info.notes, strict=True)] == [True] * 2
    assert VideoReader(path, max_long_side=64, max_frames=20).info.notes == ()


def test_many_walks_at_once(tmp_path):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4"))
    walks = [iter(reader), iter(reader), reader.backwards(19)]
    for step in range(20):
        assert [number_of(next(walk)) for walk in walks] == [step, step, 19 - step]


def test_a_damaged_packet_costs_one_frame_not_the_clip(tmp_path):
    path = write_clip(tmp_path / "clip.avi", codec="mjpeg", pixel_format="yuvj420p", count=60)
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\xff\xd8"]
    data[starts[30] : starts[30] + 40] = bytes(40)
    path.write_bytes(data)
    frames = [number_of(f) for f in VideoReader(path)]
    assert len(frames) == 60
    assert frames[:30] == list(range(30)) and frames[31:] == list(range(31, 60))


def test_a_name_that_looks_like_a_protocol(tmp_path, monkeypatch):
    write_clip(tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    for name in ("file:b.mp4", "concat:a.mp4|a.mp4", "data:video", "12:30.mp4"):
        Path("a.mp4").rename(name)
        assert len(list(VideoReader(name))) == 20
        Path(name).rename("a.mp4")
    Path("link.mp4").symlink_to("a.mp4")
    assert len(VideoReader("link.mp4")) == 20


def test_a_title_that_is_no_unicode(tmp_path):
    path = write_clip(tmp_path / "clip.mkv", title="Kirschblueten")
    data = path.read_bytes()
    assert data.count(b"blueten") == 1
    path.write_bytes(data.replace(b"blueten", b"bl\xfcte\xff\xfe"))
    assert len(VideoReader(path)) == 20


class OneWay(io.RawIOBase):
    """Bytes that can be read once, as from a pipe; remembers how many were."""

    def __init__(self, content: bytes):
        self.content, self.position = content, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self.content[self.position : self.position + size]
        self.position += len(chunk)
        return chunk


@pytest.mark.parametrize("kind", ["vp9 webm", "mpeg-ts", "avi", "no timestamps"])
def test_a_pipe_is_read_once_and_forward(kind, tmp_path):
    suffix, arguments = KINDS[kind]
    content = write_clip(tmp_path / f"clip{suffix}", **arguments).read_bytes()
    with PipedVideo(OneWay(content)) as piped:
        assert piped.info.frame_count is None and piped.info.size_hw == (48, 64)
        frames = [(number_of(f), *piped.time_of(i)) for i, f in enumerate(piped)]
    assert [f[0] for f in frames] == list(range(20))
    assert all(abs(time - Fraction(i, 25)) < Fraction(1, 500) for i, (_, time, _) in enumerate(frames))


def test_a_pipe_is_not_read_ahead(tmp_path):
    path = write_clip(tmp_path / "big.avi", 60, size_hw=(240, 320), codec="rawvideo", pixel_format="bgr24")
    pipe = OneWay(path.read_bytes())
    with PipedVideo(pipe) as piped:
        next(iter(piped))
        assert pipe.position < len(pipe.content) * 0.7


@pytest.mark.parametrize("content", [b"", b"hello" * 100])
def test_a_pipe_without_a_video(content):
    with pytest.raises(VideoError, match="standard input"):
        PipedVideo(OneWay(content))
