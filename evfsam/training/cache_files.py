"""Rendering by many processes into memory-mapped arrays: what the caches of scenes and of clips share."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evfsam.data.scenes import require_training_seeds

SEEDS_A_TASK = 25


def render_arrays(
    folder: Path,
    first_seed: int,
    count: int,
    size: int,
    shapes: dict[str, tuple[int, ...]],
    render_chunk: Callable,
    workers: int,
    more_facts: dict | None = None,
) -> tuple[dict[str, np.ndarray], list]:
    """What ``folder`` holds of these seeds and size, rendered first unless it is there.

    Args:
        shapes: name -> shape of one seed's uint8 array.
        render_chunk: (seeds, size) -> (name -> array (len(seeds), *shape), one JSON value a seed); a
            module's function or a partial of one, so that other processes find it.
        workers: 1 renders in this process.
        more_facts: JSON values of what else the arrays depend on.

    Returns memory maps by name, and the JSON values. Raises InputError for seeds kept for validation and test.
    """
    require_training_seeds(first_seed, count)
    facts = {"first_seed": first_seed, "count": count, "size": size, **(more_facts or {})}
    facts_file = folder / "cache.json"
    if not facts_file.exists() or json.loads(facts_file.read_text()) != facts:
        folder.mkdir(parents=True, exist_ok=True)
        facts_file.unlink(missing_ok=True)
        _render(folder, range(first_seed, first_seed + count), size, shapes, render_chunk, workers)
        facts_file.write_text(json.dumps(facts))  # last: its presence says that the rest is whole
    with (folder / "rows.jsonl").open() as lines:
        rows = [json.loads(line) for line in lines]
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in shapes}, rows


def _render(folder: Path, seeds: range, size: int, shapes, render_chunk, workers: int) -> None:
    arrays = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (len(seeds), *shape))
        for name, shape in shapes.items()
    }
    chunks = [range(start, min(start + SEEDS_A_TASK, len(seeds))) for start in range(0, len(seeds), SEEDS_A_TASK)]
    tasks = [(seeds[chunk.start : chunk.stop], size) for chunk in chunks]
    with ExitStack() as stack:
        rows = stack.enter_context((folder / "rows.jsonl").open("w"))
        run_all = map
        if workers > 1:
            spawn = multiprocessing.get_context("spawn")  # forking after torch has threads may hang
            run_all = stack.enter_context(ProcessPoolExecutor(workers, mp_context=spawn)).map
        done = zip(chunks, run_all(render_chunk, tasks), strict=True)
        for chunk, (rendered, chunk_rows) in tqdm(done, f"render {folder.name}", len(chunks), unit="chunk"):
            for name, array in arrays.items():
                array[chunk.start : chunk.stop] = rendered[name]
            rows.writelines(json.dumps(row) + "\n" for row in chunk_rows)
