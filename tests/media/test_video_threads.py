"""Frames are read ahead, and a video is written while its frames become ready."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

from evfsam.errors import VideoError
from evfsam.media.video import VideoReader
from evfsam.media.video_threads import ReadAhead, ahead, write_behind, write_beside
from evfsam.media.video_writer import open_writer
from evfsam.types import TrackedFrame

FRAMES = 9


def test_items_come_in_order_and_not_too_early():
    made = []
    items = ahead((made.append(i) or i for i in range(20)), most=2)
    for i in items:
        assert i == len([n for n in made if n <= i]) - 1
        assert len(made) <= i + 5  # two wait, one is in hand, one is being made
    assert made == list(range(20))


def test_an_error_comes_where_its_item_would_have_come():
    def items():
        yield 1
        raise VideoError("damaged")

    found = []
    with pytest.raises(VideoError, match="damaged"):
        found.extend(ahead(items()))
    assert found == [1]


def test_closing_ends_the_thread():
    before = threading.active_count()
    items = ahead(iter(range(10**6)))
    assert next(items) == 0 and threading.active_count() == before + 1
    items.close()
    assert threading.active_count() == before


@pytest.fixture
def clip(tmp_path) -> VideoReader:
    with open_writer(tmp_path / "clip.mp4", Fraction(10)) as writer:
        for t in range(FRAMES):
            writer.write(np.full((32, 48, 3), 20 * t, np.uint8), Fraction(t, 10), Fraction(1, 10))
    return VideoReader(tmp_path / "clip.mp4")


class Sink:
    def __init__(self):
        self.frames, self.complete = [], False

    def add(self, frame, time, duration):
        self.frames.append((frame.index, frame.objects, time))

    @contextmanager
    def opened(self):
        yield self
        self.complete = True


def test_frames_are_written_when_they_are_ready(clip):
    sink, ready = Sink(), 0

    def objects(index):
        assert index < ready
        return (index,)

    with write_beside(clip, objects, sink.opened()) as film:
        for ready in range(1, FRAMES + 1):
            film.ready(ready)
        film.end(FRAMES)
    assert sink.frames == [(i, (i,), Fraction(i, 10)) for i in range(FRAMES)] and sink.complete


def test_a_video_may_end_early(clip):
    sink = Sink()
    with write_beside(clip, lambda index: (), sink.opened()) as film:
        film.end(4)
    assert [index for index, *_ in sink.frames] == [0, 1, 2, 3] and sink.complete


def test_a_video_that_nobody_wants_is_not_completed(clip):
    sink = Sink()
    with pytest.raises(KeyError), write_beside(clip, lambda index: (), sink.opened()) as film:
        film.ready(2)
        raise KeyError
    assert not sink.complete


def test_what_the_writer_cannot_do_is_told(clip):
    def objects(index):
        raise VideoError("no space")

    with pytest.raises(VideoError, match="no space"), write_beside(clip, objects, Sink().opened()) as film:
        film.end(FRAMES)


def test_sinks_take_frames_behind_whoever_makes_them():
    sink = Sink()
    with write_behind([sink]) as add:
        for i in range(30):
            add(TrackedFrame(i, None, ()), Fraction(i), Fraction(1))
    assert [index for index, *_ in sink.frames] == list(range(30))


def test_a_sink_that_fails_is_told():
    class Full:
        def add(self, *_):
            raise VideoError("no space")

    with pytest.raises(VideoError, match="no space"), write_behind([Full()]) as add:
        for i in range(30):
            add(TrackedFrame(i, None, ()), Fraction(i), Fraction(1))


def test_frames_that_are_read_ahead_are_the_same(clip):
    fast = ReadAhead(clip.path)
    for ways in (
        (iter(clip), iter(fast)),
        (clip.backwards(5), fast.backwards(5)),
        (clip.between(2, 6), fast.between(2, 6)),
    ):
        one, other = map(list, ways)
        assert len(one) and np.array_equal(one, other)
