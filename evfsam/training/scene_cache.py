"""Rendered scenes on disk: drawn once, read by every stage through memory maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evfsam.data.scenes import Expression, expressions, make_scene, render
from evfsam.training.cache_files import render_arrays


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


def coverage_of(part_map: np.ndarray, part_ids: Sequence[int], grid: int) -> np.ndarray:
    """float32 (grid, grid), 0..1: the share of each cell of a (S, S) map these parts cover; ``grid`` divides S."""
    chosen = np.zeros(256, np.uint8)
    chosen[list(part_ids)] = 1
    mask = chosen[part_map]
    cell = mask.shape[0] // grid
    return mask.reshape(grid, cell, grid, cell).sum((1, 3), dtype=np.float32) / cell**2


def open_cache(folder: Path, first_seed: int, count: int, size: int, workers: int) -> SceneCache:
    """The cache in ``folder``, rendered first if it is not there (again if it was of other seeds or size).

    Raises InputError for seeds that are kept for validation and test.
    """
    shapes = {"pictures_rgb": (size, size, 3), "part_maps": (size, size)}
    arrays, rows = render_arrays(folder, first_seed, count, size, shapes, _render_chunk, workers)
    return SceneCache(
        arrays["pictures_rgb"],
        arrays["part_maps"],
        [[Expression(text, kind, tuple(ids), None) for text, kind, ids in row["expressions"]] for row in rows],
        [[tuple(ids) for ids in row["things"]] for row in rows],
    )


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
        phrases = [[e.text, e.kind, list(map(int, e.part_ids))] for e in expressions(scene)]
        rows.append({"expressions": phrases, "things": list(bodies.values())})
    return {"pictures_rgb": np.stack(pictures), "part_maps": np.stack(maps)}, rows
