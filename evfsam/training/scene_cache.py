"""Rendered scenes on disk: drawn once, read by every stage through memory maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from evfsam.data.scenes import Expression, Scene, expressions, make_clip, make_scene, render
from evfsam.training.cache_files import render_arrays

OUTSIDE = 255  # in a part map: beyond the picture's edge


@dataclass(frozen=True)
class SceneCache:
    """N rendered scenes.

    Attributes:
        pictures_rgb: uint8 (N, S, S, 3); a picture that is no square lies in the upper left corner.
        part_maps: uint8 (N, S, S), the visible part-instance of each pixel, 255 beyond the picture's edge.
        expressions: for each scene, its phrases.
        things: for each scene, the part indices of each of its things and pieces of stuff.
        sizes_hw: of each picture.
        stretched: the segmenter sees each picture stretched to a square (SAM-2), not in the corner of one (SAM).
    """

    pictures_rgb: np.ndarray
    part_maps: np.ndarray
    expressions: Sequence[Sequence[Expression]]
    things: Sequence[Sequence[tuple[int, ...]]]
    sizes_hw: Sequence[tuple[int, int]]
    stretched: bool

    def __len__(self) -> int:
        return len(self.pictures_rgb)

    def image(self, scene: int) -> np.ndarray:
        """uint8 (H, W, 3)."""
        height, width = self.sizes_hw[scene]
        return self.pictures_rgb[scene][:height, :width]

    def part_map(self, scene: int) -> np.ndarray:
        """uint8 (H, W), of that picture."""
        height, width = self.sizes_hw[scene]
        return self.part_maps[scene][:height, :width]

    def square_map(self, scene: int) -> np.ndarray:
        """uint8 (H, W) or (S, S), the part map of what fills the segmenter's square, the picture or what it lies in."""
        return self.part_map(scene) if self.stretched else self.part_maps[scene]


def coverage_of(part_map: np.ndarray, part_ids: Sequence[int], grid: int) -> np.ndarray:
    """float32 (grid, grid), 0..1: the share of each cell of a (h, w) map that these parts cover."""
    chosen = np.zeros(256, np.uint8)
    chosen[list(part_ids)] = 1
    mask = cv2.LUT(np.ascontiguousarray(part_map), chosen).astype(np.float32)
    return cv2.resize(mask, (grid, grid), interpolation=cv2.INTER_AREA)


def open_cache(
    folder: Path,
    first_seed: int,
    count: int,
    size: int,
    workers: int,
    aspects: tuple[float, ...] = (1.0,),
    moving: bool = False,
    *,
    stretched: bool,
) -> SceneCache:
    """The cache in ``folder``, rendered first if it is not there (again if it was of other seeds or size).

    Args:
        size: the longer side of the pictures, in pixels.
        aspects: widths over heights, taken in turn by seed.
        moving: a frame out of the seed's clip instead of its scene. Things are smaller there, hide each other and are
            cut by the picture's edge.
        stretched: see :class:`SceneCache`; the same files serve either.

    Raises InputError for seeds that are kept for validation and test.
    """
    shapes = {"pictures_rgb": (size, size, 3), "part_maps": (size, size)}
    more_facts = {} if aspects == (1.0,) else {"aspects": list(aspects)}
    more_facts |= {"moving": True} if moving else {}
    render_chunk = partial(_render_chunk, aspects, moving)
    arrays, rows = render_arrays(folder, first_seed, count, size, shapes, render_chunk, workers, more_facts)
    return SceneCache(
        arrays["pictures_rgb"],
        arrays["part_maps"],
        [[Expression(text, kind, tuple(ids), None) for text, kind, ids in row["expressions"]] for row in rows],
        [[tuple(ids) for ids in row["things"]] for row in rows],
        [_size_hw(seed, size, aspects) for seed in range(first_seed, first_seed + count)],
        stretched,
    )


def joined(first: SceneCache, second: SceneCache) -> SceneCache:
    """Two caches of one size, seen in one way, as one: the rows of the second follow those of the first."""
    fields = ("pictures_rgb", "part_maps", "expressions", "things", "sizes_hw")
    return SceneCache(*(_Joined(getattr(first, name), getattr(second, name)) for name in fields), first.stretched)


class _Joined(Sequence):
    """One after the other, without a copy."""

    def __init__(self, first: Sequence, second: Sequence):
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, i: int):
        return self.first[i] if i < len(self.first) else self.second[i - len(self.first)]


def _size_hw(seed: int, size: int, aspects: tuple[float, ...]) -> tuple[int, int]:
    aspect = aspects[seed % len(aspects)]
    return (round(size / aspect), size) if aspect >= 1 else (size, round(size * aspect))


def _scene(seed: int, aspect: float, moving: bool) -> Scene:
    if not moving:
        return make_scene(seed, aspect)
    clip = make_clip(seed, aspect=aspect)
    return clip.frame(seed % clip.frames)


def _render_chunk(aspects: tuple[float, ...], moving: bool, task: tuple[range, int]):
    seeds, size = task
    pictures, maps, rows = [], [], []
    for seed in seeds:
        height, width = size_hw = _size_hw(seed, size, aspects)
        scene = _scene(seed, width / height, moving)
        rendering = render(scene, size_hw)
        if len(scene.parts) > OUTSIDE:
            raise ValueError(f"scene {seed} has {len(scene.parts)} parts; the cache keeps 8 bits")
        padding = ((0, size - height), (0, size - width))
        pictures.append(np.pad(rendering.image, (*padding, (0, 0))))
        maps.append(np.pad(rendering.part_map.astype(np.uint8), padding, constant_values=OUTSIDE))
        bodies: dict[tuple, list[int]] = {}
        for part in scene.parts:
            bodies.setdefault((part.thing, part.kind), []).append(part.index)
        phrases = [[e.text, e.kind, list(map(int, e.part_ids))] for e in expressions(scene)]
        rows.append({"expressions": phrases, "things": list(bodies.values())})
    return {"pictures_rgb": np.stack(pictures), "part_maps": np.stack(maps)}, rows
