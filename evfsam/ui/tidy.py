"""What a running app forgets, so that it needs no more memory and disk after a week than after an hour."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
from gradio.routes import file_upload_statuses

from evfsam.ui.files import delete_old

LOG = logging.getLogger(__name__)

TIDY_EVERY_S = 60
TRIM_EVERY_S = 2
UNREAD_ANSWER_S = 600  # after which an answer that nobody has fetched is forgotten
RECORDED_EVENTS = 100  # that Gradio keeps for a dashboard that this app does not offer


async def keep_tidy(requests: Requests, folder: Path) -> None:
    """Forgets and deletes what nobody needs, until it is cancelled. ``folder``: of uploads and results."""
    blocks = requests.blocks
    queue = blocks._queue
    queue.ANALYTICS_MAX_EVENTS = RECORDED_EVENTS
    queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize  # else Gradio sums them up by pandas after every event
    recorded, was_busy, tidied = 0, False, time.monotonic()
    while True:
        await asyncio.sleep(TRIM_EVERY_S)
        try:
            busy = queue.events_recorded != recorded or bool(queue.event_ids_to_events)
            if busy or was_busy:
                await asyncio.to_thread(trim)
            recorded, was_busy = queue.events_recorded, busy
            if time.monotonic() - tidied >= TIDY_EVERY_S:
                tidied = time.monotonic()
                requests.forget()
                await asyncio.to_thread(forget_files, blocks)
                await asyncio.to_thread(delete_old, folder)
        except Exception:  # a file that went away meanwhile, a full disk: the next round may do better
            LOG.exception("not all could be tidied")


class Requests:
    """The tables in which Gradio keeps requests. It empties none of them by itself."""

    def __init__(self, blocks: gr.Blocks):
        self.blocks = blocks
        self._unread: dict[str, float] = {}  # session -> since when nobody has fetched its answer
        self._readers: Counter[str] = Counter()  # session -> streams of its events that are open

    @contextmanager
    def reading(self, session: str) -> Iterator[None]:
        """While a client reads the events of a session, the session is not forgotten."""
        self._readers[session] += 1
        try:
            yield
        finally:
            self._readers[session] -= 1
            self._readers += Counter()  # drops zeros

    def knows(self, session: str) -> bool:
        """Whether a session of this name has sent a request that is not forgotten."""
        return session in self.blocks._queue.pending_messages_per_session

    def waits(self, name: str) -> bool:
        """Whether an answer is being made, or waits to be fetched, for an event or for a session of this name."""
        queue = self.blocks._queue
        events = queue.event_ids_to_events
        return (
            name in events
            or bool(queue.pending_event_ids_session.get(name))
            or any(name in ids for ids in queue.pending_event_ids_session.values())
            or any(event.session_hash == name for event in list(events.values()))
        )

    def forget(self, now: float | None = None) -> None:
        """Call this in the thread of the event loop. ``now``: as ``time.monotonic`` tells it."""
        queue, now = self.blocks._queue, time.monotonic() if now is None else now
        at_work = {event.session_hash for event in list(queue.event_ids_to_events.values())}
        sessions = {*queue.pending_event_ids_session, *queue.pending_messages_per_session}
        sessions -= at_work | self._readers.keys()
        self._unread = {session: self._unread.get(session, now) for session in sessions}
        for session, since in list(self._unread.items()):
            read = not queue.pending_event_ids_session.get(session) and since < now  # for one round: its page may go on
            if read or now - since > UNREAD_ANSWER_S:
                queue.pending_event_ids_session.pop(session, None)
                queue.pending_messages_per_session.pop(session, None)
        self.blocks.app.iterators_to_reset &= queue.event_ids_to_events.keys()
        for upload in [name for name, found in file_upload_statuses._statuses.items() if found.is_done]:
            file_upload_statuses.stop_tracking(upload)
        for upload in file_upload_statuses._signals.keys() - file_upload_statuses._statuses.keys():
            del file_upload_statuses._signals[upload]


def forget_files(blocks: gr.Blocks) -> None:
    """Takes files that are gone off Gradio's lists of uploads and results."""
    for paths in blocks.temp_file_sets:
        paths -= {path for path in list(paths) if not Path(path).exists()}


def trim() -> None:
    """Gives free memory back to the system.

    The C library cuts activations and masks of a few megabytes from its heap, where small objects that live long come
    to lie between them: after 500 requests half of the heap was free and still held.
    """
    if _LIBC is not None and hasattr(_LIBC, "malloc_trim"):  # glibc alone has it
        _LIBC.malloc_trim(0)


def share_heaps() -> None:
    """Lets all threads share two heaps. The C library gives each of many threads one, and each keeps free memory."""
    if _LIBC is not None and hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_ARENA_MAX, 2)


_LIBC = ctypes.CDLL(None) if os.name == "posix" else None
_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
