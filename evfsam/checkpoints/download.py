"""Downloads that several people watch: one at a time of each checkpoint, with its speed, to be stopped and resumed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

from evfsam.checkpoints.fetch import Report, download
from evfsam.checkpoints.registry import CheckpointInfo

SPEED_SECONDS = 5.0  # over which the speed is the mean


class _StoppedError(Exception):
    """Nobody wants this download any more."""


@dataclass(frozen=True)
class Progress:
    """How far a download is.

    Attributes:
        here: bytes on this disk.
        whole: bytes in all; 0 until the Hub has told.
        bytes_per_second: over the last seconds; None until that is known.
    """

    here: int = 0
    whole: int = 0
    bytes_per_second: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """At this speed; None if that is not known."""
        return (self.whole - self.here) / self.bytes_per_second if self.bytes_per_second else None


class Download:
    """A checkpoint on its way, in a thread of its own. It ends when it is here, fails, or is stopped.

    Attributes:
        info: the checkpoint.
        error: why it failed, once it has.
        stopped: whether it was told to stop.
    """

    def __init__(self, info: CheckpointInfo, bring: Callable[[CheckpointInfo, Report], Path] = download):
        self.info = info
        self.error: Exception | None = None
        self.stopped = False
        self._bring = bring
        self._wanted_by: set[Hashable] = set()
        self._seen: deque[tuple[float, int, int]] = deque()  # when, bytes here, bytes in all
        self._thread = threading.Thread(target=self._run, name=f"download {info.name}", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still on its way. What was told to stop may wait for its server a little longer."""
        return self._thread.is_alive() and not self.stopped

    def want(self, who: Hashable) -> None:
        """Somebody waits for it."""
        self._wanted_by.add(who)

    def wanted(self, who: Hashable) -> bool:
        """Whether this one waits for it."""
        return who in self._wanted_by

    def leave(self, who: Hashable) -> bool:
        """Somebody no longer waits for it. Returns whether nobody does."""
        self._wanted_by.discard(who)
        return not self._wanted_by

    def progress(self) -> Progress:
        """How far it is now."""
        seen = list(self._seen)
        if not seen:
            return Progress()
        (then, had, _), (now, here, whole) = seen[0], seen[-1]
        now = max(now, time.monotonic())  # so that the speed of a silent server falls
        return Progress(here, whole, (here - had) / (now - then) if now - then > 0.5 else None)

    def wait(self) -> None:
        """Return once it is here. Raises the error that it failed with."""
        self._thread.join()
        if self.error:
            raise self.error

    def _run(self) -> None:
        try:
            self._bring(self.info, self._report)
        except _StoppedError:
            pass
        except Exception as error:  # told to those who wait
            self.error = error

    def _report(self, here: int, whole: int) -> None:
        if self.stopped:
            raise _StoppedError
        now = time.monotonic()
        if self._seen and now - self._seen[-1][0] < 0.1 and here < whole:
            return
        self._seen.append((now, here, whole))
        while now - self._seen[0][0] > SPEED_SECONDS and len(self._seen) > 2:
            self._seen.popleft()


class Downloads:
    """The downloads of one process; each checkpoint is downloaded once at a time. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, Download] = {}

    def running(self, name: str) -> Download | None:
        """The download of this checkpoint that is on its way, if any."""
        found = self._last.get(name)
        return found if found and found.running else None

    def start(self, info: CheckpointInfo, who: Hashable) -> Download:
        """Wait for a checkpoint: its download starts, or the one that is on its way is joined."""
        with self._lock:
            found = self.running(info.name) or Download(info)
            self._last[info.name] = found
            found.want(who)
            return found

    def wanted(self, who: Hashable) -> bool:
        """Whether this one waits for a download that is on its way."""
        return any(found.running and found.wanted(who) for found in self._last.values())

    def cancel(self, who: Hashable) -> bool:
        """Wait no longer. A download stops unless others wait for it; what it brought is kept.

        Returns whether none is on its way any more.
        """
        with self._lock:
            for found in self._last.values():
                if found.running and found.leave(who):
                    found.stopped = True
            return not any(found.running for found in self._last.values())
