"""Rendered scenes on disk: drawn once, read by every stage through memory maps."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from evfsam.data.scenes import Expression, expressions, make_scene, render, require_training_seeds

CHUNK = 50  # scenes a task


@dataclass(frozen=True)
class SceneCache:
    """N rendered scenes.

    Attributes:
        pictures_rgb: uint8 (N, S, S, 3).
        part_maps: uint8 (N, S, S), the visible part-instance of each pixel.
        expressions: for each scene, its phrases.
        things: for each scene, the part indices of each of its things and pieces of stuff.
    """

    pictures_rgb: np.ndarray
    part_maps: np.ndarray
    expressions: Sequence[Sequence[Expression]]
    things: Sequence[Sequence[tuple[int, ...]]]

    def __len__(self) -> int:
        return len(self.pictures_rgb)

    def coverage(self, scene: int, part_ids: Sequence[int], grid: int) -> np.ndarray:
        """float32 (grid, grid), 0..1: the share of each cell that these parts cover; ``grid`` divides S."""
        chosen = np.zeros(256, np.uint8)
        chosen[list(part_ids)] = 1
        mask = chosen[self.part_maps[scene]]
        cell = mask.shape[0] // grid
        return mask.reshape(grid, cell, grid, cell).sum((1, 3), dtype=np.float32) / cell**2


def open_cache(folder: Path, first_seed: int, count: int, size: int, workers: int) -> SceneCache:
    """The cache in ``folder``, rendered first if it is not there (again if it was of other seeds or size).

    Raises InputError for seeds that are kept for validation and test.
    """
    require_training_seeds(first_seed, count)
    facts = {"first_seed": first_seed, "count": count, "size": size}
    facts_file = folder / "cache.json"
    if not facts_file.exists() or json.loads(facts_file.read_text()) != facts:
        _render(folder, first_seed, count, size, workers)
        facts_file.write_text(json.dumps(facts))  # last: its presence says that the rest is whole
    rows = [json.loads(line) for line in (folder / "scenes.jsonl").open()]
    return SceneCache(
        np.load(folder / "pictures_rgb.npy", mmap_mode="r"),
        np.load(folder / "part_maps.npy", mmap_mode="r"),
        [[Expression(text, kind, tuple(ids), None) for text, kind, ids in row["expressions"]] for row in rows],
        [[tuple(ids) for ids in row["things"]] for row in rows],
    )


def _render(folder: Path, first_seed: int, count: int, size: int, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cache.json").unlink(missing_ok=True)
    create = np.lib.format.open_memmap
    pictures = create(folder / "pictures_rgb.npy", "w+", np.uint8, (count, size, size, 3))
    part_maps = create(folder / "part_maps.npy", "w+", np.uint8, (count, size, size))
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    tasks = [(range(first_seed + c.start, first_seed + c.stop), size) for c in chunks]
    with ExitStack() as stack:
        rows = stack.enter_context((folder / "scenes.jsonl").open("w"))
        run_all = map  # one worker: here, so that tests need no second process
        if workers > 1:
            spawn = multiprocessing.get_context("spawn")  # forking after torch has threads may hang
            run_all = stack.enter_context(ProcessPoolExecutor(workers, mp_context=spawn)).map
        done = zip(chunks, run_all(_render_chunk, tasks), strict=True)
        for chunk, (chunk_pictures, chunk_maps, chunk_rows) in tqdm(done, "render", len(chunks), unit="chunk"):
            pictures[chunk.start : chunk.stop] = chunk_pictures
            part_maps[chunk.start : chunk.stop] = chunk_maps
            rows.writelines(json.dumps(row) + "\n" for row in chunk_rows)


def _render_chunk(task: tuple[range, int]):
    seeds, size = task
    pictures, maps, rows = [], [], []
    for seed in seeds:
        scene = make_scene(seed)
        rendering = render(scene, (size, size))
        if len(scene.parts) > 256:
            raise ValueError(f"scene {seed} has {len(scene.parts)} parts; the cache keeps 8 bits")
        pictures.append(rendering.picture_rgb)
        maps.append(rendering.part_map.astype(np.uint8))
        bodies: dict[tuple, list[int]] = {}
        for part in scene.parts:
            bodies.setdefault((part.thing, part.kind), []).append(part.index)
        rows.append(
            {
                "expressions": [[e.text, e.kind, list(map(int, e.part_ids))] for e in expressions(scene)],
                "things": list(bodies.values()),
            }
        )
    return np.stack(pictures), np.stack(maps), rows
