"""Work on many items with one model: one after the other here, or shared among processes.

Every process loads the model for itself, on the same device. Results come back in the order of the items, so that an
evaluation adds up to the same numbers with any number of processes.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import cv2
import torch

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.errors import EvfSamError
from evfsam.predictor import Predictor
from evfsam.runtime import Runtime
from evfsam.systems.base import System
from evfsam.systems.load import load_system

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item], Result]

SLICES = 4  # at least so many per worker, so that all end at about the same time
LONGEST_SLICE = 8  # items; neighbours stay together, because an item may need the one before it

_given: list = []  # in a worker: what it is to do


def parallel_map(
    start: Callable[[Predictor], Work],
    predictor: Predictor | System,
    items: Sequence[Item],
    workers: int = 1,
    on_item: Callable[[int], None] | None = None,
) -> Iterator[Result]:
    """The results of all items, in their order.

    Args:
        start: predictor -> the function that is called with each item. It is called once per process. With two or more
            processes, it, the items and the results must be picklable: use a ``functools.partial`` of a module's
            function.
        predictor: the model.
        items: what to work on.
        workers: processes. One is this process; more are new ones with one thread each. A script that uses more keeps
            its own work behind ``if __name__ == "__main__"``, because they import it.
        on_item: called with the number of finished items after each.

    Raises what ``start`` and its function raise, and EvfSamError if a worker dies.
    """
    alone = workers == 1 or len(items) < 2
    results = map(start(predictor), items) if alone else _shared(start, predictor, items, workers)
    for done, result in enumerate(results, start=1):
        yield result
        if on_item:
            on_item(done)


def _shared(start: Callable, predictor: Predictor | System, items: Sequence[Item], workers: int) -> Iterator[Result]:
    spawn = multiprocessing.get_context("spawn")  # neither threads nor CUDA outlive a fork
    if isinstance(predictor, System):
        given = (start, partial(load_system, predictor.info, predictor.runtime))
    else:
        checkpoint = predictor.checkpoint
        given = (start, partial(_load, checkpoint.folder, checkpoint.info, predictor.runtime))
    pool = ProcessPoolExecutor(min(workers, len(items)), spawn, _begin, given)
    length = min(LONGEST_SLICE, -(-len(items) // (workers * SLICES)))
    try:
        yield from pool.map(_work_on, items, chunksize=length)
    except BrokenProcessPool:
        raise EvfSamError(
            f"One of {workers} workers was ended, perhaps because memory ran out; try again with fewer."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(*given) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends them silently; one process reports it
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _given[:] = given


@cache
def _work() -> Work:
    """Made at the first item, not in :func:`_begin`: errors there would not reach the main process."""
    start, load = _given
    return start(load())


def _load(folder: Path, info: CheckpointInfo, runtime: Runtime) -> Predictor:
    loaded = load_checkpoint(folder, runtime.device, runtime.dtype, runtime.quantized_bits)
    return Predictor(replace(loaded, info=info), runtime)


def _work_on(item: Item) -> Result:
    return _work()(item)
