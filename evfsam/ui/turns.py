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
    """The client of the request that is being answered, as Gradio's queue knows it.

    Without a queue (in tests, from Python) the client always waits.
    """

    def __init__(self):
        self._queue = getattr(LocalContext.blocks.get(None), "_queue", None)
        self._event_id = LocalContext.event_id.get(None) if self._queue is not None else None
        self._unread: tuple[object, float] | None = None  # the oldest unread message and when it was first seen

    def check(self) -> None:
        """Call this before each step.

        Raises ClientGoneError once the request is cancelled, its connection is closed, or nobody has read its events
        for long.
        """
        if self._event_id is None:
            return
        event = self._queue.event_ids_to_events.get(self._event_id)  # Gradio forgets a cancelled one
        running = any(job and event in job for job in self._queue.active_jobs)
        if event is None or not event.alive or not running or self._is_unread(event.session_hash):
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
    def turn(self, client: Client, short: bool = False, waiter: Waiter | None = None) -> Iterator[_Ticket]:
        """Wait for a turn, or until somebody takes the ticket of a waiter, and hold the turn until the end.

        Raises ClientGoneError if the client is gone before that.
        """
        ticket = _Ticket(short, waiter)
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
            yield ticket
        finally:
            with self._moved:
                if self._working is ticket:
                    self._working = None
                    self._go_on()
                elif not ticket.taken:
                    self._waiting.remove(ticket)

    def together(self, waiter: Waiter, work: Callable[[list[Waiter]], None]) -> Any:
        """The answer to a question. One turn answers all questions in the line that have the same key.

        Whoever has the turn does the work for the others, who leave the line. ``work`` has to settle every answer.
        Raises ClientGoneError if the client is gone before its answer comes, or whatever the answer was settled with.
        """
        with self.turn(waiter.client, True, waiter) as own:
            if not own.taken:
                waiters, room = [waiter], MOST_TOGETHER - waiter.prompts
                with self._moved:
                    for ticket in list(self._waiting):
                        other = ticket.waiter
                        if other and other.key is not None and other.key == waiter.key and other.prompts <= room:
                            ticket.taken = True
                            self._waiting.remove(ticket)
                            waiters.append(other)
                            room -= other.prompts
                    self._moved.notify_all()
                try:
                    work(waiters)
                except BaseException as error:
                    for each in waiters:
                        if not each.answer.done():
                            each.answer.set_exception(error)
        while not wait([waiter.answer], LOOK_S).done:
            waiter.client.check()
        return waiter.answer.result()

    def _go_on(self) -> None:
        """Give the turn to the next one, if nobody has it."""
        if self._working is None and self._waiting:
            others = (ticket for ticket in self._waiting if ticket.short != self._last_was_short)
            self._working = next(others, self._waiting[0])
            self._last_was_short = self._working.short
            self._waiting.remove(self._working)
            self._moved.notify_all()

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
