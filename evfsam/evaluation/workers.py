"""The samples of an evaluation, asked one after the other here or shared among processes.

Shared, every process loads the model for itself, on the same device. What each sample gives comes back in the samples'
order, so that an evaluation adds up the same whoever asked.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import cv2
import torch

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.errors import EvfSamError
from evfsam.predictor import Predictor
from evfsam.runtime import Runtime

Item = TypeVar("Item")
Found = TypeVar("Found")
Ask = Callable[[Item], Found]

SLICES = 4  # a worker, at least, so that all end at about the same time
LONGEST_SLICE = 8  # items; neighbours stay together, for the exchange test uses each picture for two of them

_given: list = []  # in a worker: what it is to do


def each(
    start: Callable[[Predictor], Ask],
    predictor: Predictor,
    items: Sequence[Item],
    workers: int = 1,
    on_item: Callable[[int], None] | None = None,
) -> Iterator[Found]:
    """What asking gives for each item, in order.

    Args:
        start: makes of a predictor what is asked about an item; once a process. Two or more processes need it, the
            items and what they give to be picklable: it is then a ``functools.partial`` of a module's function.
        workers: processes. One is this one; more are new ones of one thread each. A script that wants more keeps its
            own work behind ``if __name__ == "__main__"``, for they import it.
        on_item: told the number of items done after each.

    Raises what ``start`` and asking raise, and EvfSamError if a worker dies.
    """
    alone = workers == 1 or len(items) < 2
    found = map(start(predictor), items) if alone else _shared(start, predictor, items, workers)
    for done, one in enumerate(found, start=1):
        yield one
        if on_item:
            on_item(done)


def _shared(start: Callable, predictor: Predictor, items: Sequence[Item], workers: int) -> Iterator[Found]:
    spawn = multiprocessing.get_context("spawn")  # neither threads nor CUDA outlive a fork
    checkpoint = predictor.checkpoint
    given = (start, checkpoint.folder, checkpoint.info, predictor.runtime)
    pool = ProcessPoolExecutor(min(workers, len(items)), spawn, _begin, given)
    length = min(LONGEST_SLICE, -(-len(items) // (workers * SLICES)))
    try:
        yield from pool.map(_answer, items, chunksize=length)
    except BrokenProcessPool:
        raise EvfSamError(
            f"One of {workers} workers was ended, perhaps for want of memory; try again with fewer."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(*given) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends them without a word: one process tells of it
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _given[:] = given


@cache
def _ask() -> Ask:
    """Not made in :func:`_begin`, whose errors would not reach the process that shares."""
    start, folder, info, runtime = _given
    return start(_load(folder, info, runtime))


def _load(folder: Path, info: CheckpointInfo, runtime: Runtime) -> Predictor:
    loaded = load_checkpoint(folder, runtime.device, runtime.dtype, runtime.quantized_bits)
    return Predictor(replace(loaded, info=info), runtime)


def _answer(item: Item) -> Found:
    return _ask()(item)
