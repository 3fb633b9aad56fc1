"""What VideoReader refuses: one sentence each, that says what to do."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from evfsam.errors import InputError, VideoError
from evfsam.media import decode
from evfsam.media.video import VideoReader
from tests.media.clips import write_clip, write_sound_file


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """20 frames."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


def says(path, words: str, **arguments) -> None:
    with pytest.raises(VideoError, match=words) as caught:
        list(VideoReader(path, **arguments))
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and path.name in message


def test_missing(tmp_path):
    says(tmp_path / "clip.mp4", "no file")


def test_a_folder(tmp_path):
    says(tmp_path, "folder")


def test_empty(tmp_path):
    path = tmp_path / "clip.mp4"
    path.touch()
    says(path, "empty")


@pytest.mark.parametrize("content", [b"hello, I am a text file\n" * 50, bytes(5000)], ids=["text", "zeros"])
def test_no_video(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    says(path, "not a video")


@pytest.mark.parametrize("suffix, codec", [(".m4a", "aac"), (".ogg", "libopus")])
def test_audio_only(tmp_path, suffix, codec):
    says(write_sound_file(tmp_path / f"song{suffix}", codec), "no picture")


def test_a_song_with_a_cover(tmp_path):
    says(write_sound_file(tmp_path / "song.mp3", "mp3", cover=True), "no picture")


@pytest.mark.parametrize(
    "name, content",
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile '{}'\n"),
    ],
)
def test_a_list_of_other_files(tmp_path, name, content):
    other = write_clip(tmp_path / "secret.ts")
    (tmp_path / name).write_text(content.format(other.name))
    says(tmp_path / name, "not a video")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".mov"])
def test_zero_frames(suffix, tmp_path):
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    says(write_clip(tmp_path / f"clip{suffix}", count=0, codec=codec), "no frame|not a video")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "clip.mp4")
    says(tmp_path / "clip.mp4", "pipe or a device")


def test_a_device():
    says(Path("/dev/zero"), "pipe or a device")


@pytest.mark.parametrize("path", [None, 3, b"clip.mp4", "a\0b.mp4", "http://127.0.0.1:9/a.mp4", "concat:a|b", ""])
def test_no_path(path):
    with pytest.raises(VideoError) as caught:
        VideoReader(path)
    assert str(caught.value).endswith(".")


def test_cut_off_before_the_index(tmp_path):
    path = write_clip(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[:-200])
    says(path, "not a video")


@pytest.mark.parametrize("suffix, options", [(".mp4", {"movflags": "+faststart"}), (".mkv", {}), (".avi", {})])
def test_cut_off(tmp_path, suffix, options):
    path = write_clip(tmp_path / f"clip{suffix}", count=60, size_hw=(96, 128), options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    says(path, "cut off|not a video|damaged")


def test_enormous(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_FRAME_PIXELS", 1000)
    says(write_clip(tmp_path / "clip.mp4"), "too large \\(64 x 48")


def test_frames_that_become_enormous(tmp_path, monkeypatch):
    parts = [write_clip(tmp_path / f"{h}.h264", size_hw=(h, 2 * h)).read_bytes() for h in (48, 480)]
    (tmp_path / "clip.h264").write_bytes(b"".join(parts))
    assert len(list(VideoReader(tmp_path / "clip.h264"))) == 40
    monkeypatch.setattr(decode, "MAX_FRAME_PIXELS", 10_000)
    says(tmp_path / "clip.h264", "damaged")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", [1], {}, True, 1j, np.array([1, 2])])
@pytest.mark.parametrize("name", ["start_s", "end_s", "max_frames", "max_long_side"])
def test_numbers_that_are_none(name, value, clip):
    with pytest.raises(InputError, match=rf"^{name} is .*\.$"):
        VideoReader(clip, **{name: value})


@pytest.mark.parametrize("name, value", [("max_frames", 0), ("max_frames", 1.5), ("max_long_side", -5)])
def test_limits_that_leave_nothing(name, value, clip):
    with pytest.raises(InputError, match=rf"^{name} is .*\.$"):
        VideoReader(clip, **{name: value})


@pytest.mark.parametrize(
    "start, end", [(0, -1), (-1, 1), (1e308, None), (0, -1e308), (5, None), (0.4, 0.2), (0.2, 0.2), (-1, None)]
)
def test_nothing_between_start_and_end(tmp_path, start, end):
    path = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(VideoError, match="Nothing lies between"):
        VideoReader(path, start, end)


@pytest.mark.parametrize("index", [math.nan, None, "3", 1.5])
def test_a_frame_number_that_is_none(index, clip):
    reader = VideoReader(clip)
    for read in (reader.frame, reader.backwards):
        with pytest.raises(InputError, match="frame is"):
            read(index)


def test_a_time_that_is_none(clip):
    with pytest.raises(InputError, match="time is nan"):
        VideoReader(clip).index_at(math.nan)
    assert VideoReader(clip).index_at(1e308) == 19


@pytest.mark.parametrize("index", [-1, 20, 10**30])
def test_a_frame_that_is_not_there(tmp_path, index):
    reader = VideoReader(write_clip(tmp_path / "clip.mp4"))
    for read in (reader.frame, reader.backwards):
        with pytest.raises(VideoError, match="20 frames"):
            read(index)
