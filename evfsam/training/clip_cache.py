"""Rendered clips on disk, for the memory stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evfsam.data.scenes import make_clip, render
from evfsam.training.cache_files import render_arrays

FRAMES, STRIDE = 16, 3  # kept of 48: a step between kept frames is three of the clip's


@dataclass(frozen=True)
class ClipCache:
    """N clips of T frames.

    Attributes:
        pictures_rgb: uint8 (N, T, S, S, 3).
        part_maps: uint8 (N, T, S, S).
        things: for each clip, the part indices of each of its things.
    """

    pictures_rgb: np.ndarray
    part_maps: np.ndarray
    things: list[list[tuple[int, ...]]]

    def __len__(self) -> int:
        return len(self.pictures_rgb)


def open_clip_cache(folder: Path, first_seed: int, count: int, size: int, workers: int) -> ClipCache:
    """As :func:`evfsam.training.scene_cache.open_cache`, for clips."""
    shapes = {"pictures_rgb": (FRAMES, size, size, 3), "part_maps": (FRAMES, size, size)}
    arrays, rows = render_arrays(folder, first_seed, count, size, shapes, _render_chunk, workers)
    things = [[tuple(ids) for ids in row] for row in rows]
    return ClipCache(arrays["pictures_rgb"], arrays["part_maps"], things)


def _render_chunk(task: tuple[range, int]):
    seeds, size = task
    pictures, maps, rows = [], [], []
    for seed in seeds:
        clip = make_clip(seed, FRAMES * STRIDE)
        drawn = [render(clip.frame(t * STRIDE), (size, size)) for t in range(FRAMES)]
        pictures.append(np.stack([frame.image for frame in drawn]))
        maps.append(np.stack([frame.part_map.astype(np.uint8) for frame in drawn]))
        things: dict[int, list[int]] = {}
        for part in clip.scene.parts:
            if part.thing is not None:
                things.setdefault(part.thing, []).append(part.index)
        rows.append(list(things.values()))
    return {"pictures_rgb": np.stack(pictures), "part_maps": np.stack(maps)}, rows
