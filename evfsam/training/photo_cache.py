"""Samples made of photographs on disk."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from evfsam.data.ccp import photo_sample, read_pack
from evfsam.data.scenes import Expression
from evfsam.training.cache_files import render_arrays
from evfsam.training.scene_cache import SceneCache


def open_photo_cache(folder: Path, photographs: Path, count: int, size: int, workers: int) -> SceneCache:
    """As :func:`evfsam.training.scene_cache.open_cache`: ``count`` samples of the pack in ``photographs``.

    Raises InputError if there is no pack.
    """
    shapes = {"pictures_rgb": (size, size, 3), "part_maps": (size, size)}
    render_chunk = partial(_render_chunk, photographs)
    more_facts = {"photographs": str(photographs.resolve())}
    arrays, rows = render_arrays(folder, 0, count, size, shapes, render_chunk, workers, more_facts)
    return SceneCache(
        arrays["pictures_rgb"],
        arrays["part_maps"],
        [[Expression(text, kind, tuple(ids), None) for text, kind, ids in row["expressions"]] for row in rows],
        [[tuple(ids) for ids in row["people"]] for row in rows],
        [(size, size)] * count,
        stretched=True,  # squares, so it is all the same
    )


_pack = lru_cache(maxsize=1)(read_pack)


def _render_chunk(photographs: Path, task: tuple[range, int]):
    seeds, size = task
    pack = _pack(photographs)
    samples = [photo_sample(pack, seed, (size, size)) for seed in seeds]
    rows = [
        {
            "expressions": [[e.text, e.kind, list(map(int, e.part_ids))] for e in sample.expressions],
            "people": [list(map(int, ids)) for ids in sample.people],
        }
        for sample in samples
    ]
    pictures = np.stack([sample.image for sample in samples])
    return {"pictures_rgb": pictures, "part_maps": np.stack([sample.part_map for sample in samples])}, rows
