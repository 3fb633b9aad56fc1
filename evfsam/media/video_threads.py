"""Reading and writing beside the model: PyTorch, codecs and OpenCV let other threads run while they work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from typing import TypeVar

import numpy as np

from evfsam.media.video import VideoReader
from evfsam.media.video_export import VideoSink
from evfsam.types import TrackedFrame, TrackedObject

AHEAD = 4  # frames that are read before they are needed

T = TypeVar("T")


def ahead(items: Iterable[T], most: int = AHEAD) -> Generator[T, None, None]:
    """The same items, made in a thread of their own, at most ``most`` of them before they are needed.

    An error comes where its item would have come. Close the iterator to stop the thread.
    """
    ready: queue.Queue = queue.Queue(most)
    gone, end = threading.Event(), object()

    def put(item: object) -> None:
        while not gone.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if gone.is_set():
                    return
            put((end, None))
        except BaseException as error:
            put((end, error))

    thread = threading.Thread(target=work, name="frames ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        gone.set()
        thread.join()


class ReadAhead(VideoReader):
    """A clip whose frames are read a few ahead of whoever needs them."""

    def __iter__(self) -> Iterator[np.ndarray]:
        return ahead(super().__iter__())

    def between(self, first: int, stop: int) -> Iterator[np.ndarray]:
        return ahead(super().between(first, stop))

    def backwards(self, first: int) -> Iterator[np.ndarray]:
        return ahead(super().backwards(first))


@contextmanager
def write_behind(sinks: Sequence[VideoSink]) -> Iterator[Callable[[TrackedFrame, Fraction, Fraction], None]]:
    """A function that hands a frame to all sinks, in a thread of its own; it waits if :data:`AHEAD` frames are left.

    All frames are written when the ``with`` has ended well. Raises what a sink raises, at a later frame or the end.
    """
    left: queue.Queue = queue.Queue(AHEAD)
    failed: list[BaseException] = []

    def work() -> None:
        while (item := left.get()) is not None:
            try:
                for sink in () if failed else sinks:
                    sink.add(*item)
            except BaseException as error:
                failed.append(error)

    def add(frame: TrackedFrame, time: Fraction, duration: Fraction) -> None:
        if failed:
            raise failed[0]
        left.put((frame, time, duration))

    thread = threading.Thread(target=work, name="frames behind", daemon=True)
    thread.start()
    try:
        yield add
    finally:
        left.put(None)
        thread.join()
    if failed:
        raise failed[0]


class _Abandoned(Exception):
    """The video is not wanted any more."""


class WriterThread:
    """Writes a clip while its frames become ready one after the other. Made by :func:`write_beside`."""

    def __init__(self, clip: VideoReader, objects: Callable[[int], tuple[TrackedObject, ...]]):
        self._clip, self._objects = clip, objects
        self._ready, self._end, self._abandoned = 0, len(clip), False
        self._changed = threading.Condition()

    def ready(self, count: int) -> None:
        """The first ``count`` frames may be written."""
        with self._changed:
            self._ready = max(self._ready, count)
            self._changed.notify_all()

    def end(self, count: int) -> None:
        """The video has ``count`` frames; all of them are ready."""
        with self._changed:
            self._ready = self._end = count
            self._changed.notify_all()

    def abandon(self) -> None:
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def write(self, opened: AbstractContextManager[VideoSink]) -> None:
        with opened as sink:
            for index, image in enumerate(self._clip):
                with self._changed:
                    self._changed.wait_for(lambda i=index: self._abandoned or i < self._ready or i >= self._end)
                    if self._abandoned:
                        raise _Abandoned
                    if index >= self._end:
                        return
                sink.add(TrackedFrame(index, image, self._objects(index)), *self._clip.time_of(index))


@contextmanager
def write_beside(
    clip: VideoReader, objects: Callable[[int], tuple[TrackedObject, ...]], opened: AbstractContextManager[VideoSink]
) -> Iterator[WriterThread]:
    """Write a clip in a thread of its own; the file is complete when the ``with`` has ended well.

    Args:
        clip: is read once more, beside whoever makes the masks.
        objects: those of a frame that is ready.
        opened: one of the files of :mod:`evfsam.media.video_export`; without its ``with``.

    Raises what the sink raises.
    """
    thread = WriterThread(clip, objects)
    with ThreadPoolExecutor(1, "video writer") as pool:
        work = pool.submit(thread.write, opened)
        try:
            yield thread
            work.result()
        except BaseException:
            thread.abandon()
            raise
