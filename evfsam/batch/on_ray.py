"""The same work on a Ray cluster: each actor holds a model; a part whose actor dies is given to another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from evfsam.batch.worker import Done, Part, Worker
from evfsam.errors import EvfSamError, InputError


class RayWorker:
    """A :class:`Worker` as Ray Data calls it."""

    def __init__(self, *made_by: Any):
        self.worker = Worker(*made_by)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"done": self.worker(row["part"])}


def ray_pool(address: str | None, workers: int, gpus: float) -> Callable[[Sequence[Part], tuple], Iterator[Done]]:
    """Where :func:`evfsam.batch.run.run` may work.

    Args:
        address: of a running cluster; None starts one on this machine. The output folder must be the same on all nodes.
        workers: actors.
        gpus: GPUs per actor; a fraction lets several share one.

    Raises InputError if Ray is not installed or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs Ray: pip install -r requirements-scale.txt.") from None
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"No Ray cluster answers at {address or 'this machine'} ({error}).") from None
    ray.data.DataContext.get_current().enable_progress_bars = False

    def work(parts: Sequence[Part], made_by: tuple) -> Iterator[Done]:
        rows = ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
        done = rows.map(RayWorker, fn_constructor_args=made_by, concurrency=workers, num_gpus=gpus or None, num_cpus=1)
        try:
            for row in done.iter_rows():
                yield row["done"]
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            raise cause if isinstance(cause, EvfSamError) else EvfSamError(f"Ray gave up: {error}") from error

    return work
