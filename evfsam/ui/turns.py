"""Who still waits for an answer, and whose turn it is to use the model.

Gradio frees its place in the queue as soon as a request is cancelled or its client is gone, but the thread that does
the work goes on. So the work asks a :class:`Client` before each step, and each step takes a turn of a :class:`Line`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from gradio.context import LocalContext

from evfsam.errors import EvfSamError

UNREAD_S = 10.0  # for which a request may go on while nobody reads its event stream
LOOK_S = 0.2  # between two looks at the client while a request waits for its turn

T = TypeVar("T")


class ClientGoneError(EvfSamError):
    """Nobody waits for the answer any more."""

    def __init__(self):
        super().__init__("Nobody waited for this answer, so the work was stopped: ask again.")


class Client:
    """Whoever sent the request that is being answered, as far as Gradio's queue knows.

    Without a queue (in tests, from Python) the client always waits.
    """

    def __init__(self, queue: Any = None, event_id: str | None = None):
        self._queue, self._event_id = queue, event_id if queue is not None else None
        self._unread: tuple[object, float] | None = None  # the oldest unread message and when it was first seen

    @classmethod
    def current(cls) -> Client:
        """The client of the handler that calls this."""
        blocks = LocalContext.blocks.get(None)
        return cls(getattr(blocks, "_queue", None), LocalContext.event_id.get(None))

    def waits(self) -> bool:
        """False once the request is cancelled, its connection is closed, or nobody has read its events for long."""
        if self._event_id is None:
            return True
        event = self._queue.event_ids_to_events.get(self._event_id)  # Gradio forgets a cancelled one
        running = any(job and event in job for job in self._queue.active_jobs)
        return event is not None and event.alive and running and not self._is_unread(event.session_hash)

    def check(self) -> None:
        """Call this before each step. Raises ClientGoneError if nobody waits."""
        if not self.waits():
            raise ClientGoneError

    def _is_unread(self, session: str) -> bool:
        """Whether the same message has waited in the client's event stream for :data:`UNREAD_S`."""
        messages = self._queue.pending_messages_per_session.get(session)
        try:
            oldest = messages._queue[0]
        except (AttributeError, IndexError):  # no stream, or it has just been read
            oldest = None
        now = time.monotonic()
        if oldest is None:
            self._unread = None
        elif self._unread is None or self._unread[0] is not oldest:
            self._unread = oldest, now
        return self._unread is not None and now - self._unread[1] > UNREAD_S


@dataclass(eq=False)
class _Ticket:
    first: bool


class Line:
    """Lets one thread work at a time, in the order in which they came. Who no longer waits leaves the line."""

    def __init__(self):
        self._waiting: deque[_Ticket] = deque()  # the first one is at work
        self._moved = threading.Condition()

    @contextmanager
    def turn(self, client: Client, first: bool = False) -> Iterator[None]:
        """Wait for a turn and hold it. Raises ClientGoneError if the client is gone before the turn comes.

        ``first``: wait only for those that came with ``first``, and for whoever is at work.
        """
        ticket = _Ticket(first)
        with self._moved:
            self._waiting.insert(self._place(first), ticket)
        try:
            while True:
                client.check()
                with self._moved:
                    if self._waiting[0] is ticket or self._moved.wait_for(
                        lambda: self._waiting[0] is ticket, timeout=LOOK_S
                    ):
                        break
            client.check()
            yield
        finally:
            with self._moved:
                self._waiting.remove(ticket)
                self._moved.notify_all()

    def _place(self, first: bool) -> int:
        places = [i for i, other in enumerate(self._waiting) if i and first and not other.first]
        return places[0] if places else len(self._waiting)

    def one_by_one(self, items: Iterator[T], client: Client) -> Iterator[T]:
        """The items, each made in a turn of its own; between two of them it is somebody else's turn."""
        done = object()
        try:
            while True:
                with self.turn(client):
                    item = next(items, done)
                if item is done:
                    return
                yield item
                del item
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
