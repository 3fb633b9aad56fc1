"""Who still waits for an answer, and whose turn it is to use the model.

Gradio frees its place in the queue as soon as a request is cancelled or its client is gone, but the thread that does
the work goes on. So the work asks a :class:`Client` before each step, and each step takes a turn of a :class:`Line`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gradio.context import LocalContext

from evfsam.errors import EvfSamError

UNREAD_S = 10.0  # for which a request may go on while nobody reads its event stream
LOOK_S = 0.2  # between two looks at the client while a request waits for its turn
MOST_TOGETHER = 32  # prompts that are answered in one turn, unless a single request has more

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
class Waiter:
    """A client with a question that may be answered together with others.

    Attributes:
        key: questions with equal keys can be answered together; None: this one is answered alone.
        prompts: how many the question has.
        answer: settled by whoever answers the question.
    """

    client: Client
    key: Hashable
    question: Any
    prompts: int
    answer: Future = field(default_factory=Future)


@dataclass(eq=False)
class _Ticket:
    short: bool
    waiter: Waiter | None = None
    taken: bool = False  # somebody else answers its question


class Line:
    """Lets one thread work at a time. Who no longer waits leaves the line.

    Short work, such as a question about an image, and steps of long work, such as frames of a clip, alternate where
    both wait. Each kind keeps the order in which it came.
    """

    def __init__(self):
        self._waiting: deque[_Ticket] = deque()
        self._working: _Ticket | None = None
        self._last_was_short = False
        self._moved = threading.Condition()

    @contextmanager
    def turn(self, client: Client, short: bool = False) -> Iterator[None]:
        """Wait for a turn and hold it. Raises ClientGoneError if the client is gone before the turn comes."""
        with self._place(_Ticket(short), client):
            yield

    def together(self, waiter: Waiter, work: Callable[[list[Waiter]], None]) -> Any:
        """The answer to a question. One turn answers all questions in the line that have the same key.

        Whoever has the turn does the work for the others, who leave the line. ``work`` has to settle every answer.
        Raises ClientGoneError if the client is gone before its answer comes, or whatever the answer was settled with.
        """
        ticket = _Ticket(True, waiter)
        with self._place(ticket, waiter.client):
            if not ticket.taken:
                waiters = [waiter, *self._take(waiter)]
                try:
                    work(waiters)
                except BaseException as error:
                    for each in waiters:
                        if not each.answer.done():
                            each.answer.set_exception(error)
        while not wait([waiter.answer], LOOK_S).done:
            waiter.client.check()
        return waiter.answer.result()

    @contextmanager
    def _place(self, ticket: _Ticket, client: Client) -> Iterator[None]:
        """Wait until the turn of a ticket comes, or the ticket is taken; hold the turn until the end."""
        with self._moved:
            self._waiting.append(ticket)
            self._go_on()
        try:
            while True:
                client.check()
                with self._moved:
                    if self._moved.wait_for(lambda: ticket.taken or self._working is ticket, timeout=LOOK_S):
                        break
            client.check()
            yield
        finally:
            with self._moved:
                if self._working is ticket:
                    self._working = None
                    self._go_on()
                elif not ticket.taken:
                    self._waiting.remove(ticket)

    def _go_on(self) -> None:
        """Give the turn to the next one, if nobody has it."""
        if self._working is None and self._waiting:
            others = (ticket for ticket in self._waiting if ticket.short != self._last_was_short)
            self._working = next(others, self._waiting[0])
            self._last_was_short = self._working.short
            self._waiting.remove(self._working)
            self._moved.notify_all()

    def _take(self, waiter: Waiter) -> list[Waiter]:
        """Take those out of the line who can be answered together with this one."""
        found, room = [], MOST_TOGETHER - waiter.prompts
        with self._moved:
            for ticket in list(self._waiting):
                other = ticket.waiter
                if other in (None, waiter) or other.key is None or other.key != waiter.key or other.prompts > room:
                    continue
                ticket.taken = True
                self._waiting.remove(ticket)
                found.append(other)
                room -= other.prompts
            self._moved.notify_all()
        return found

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
