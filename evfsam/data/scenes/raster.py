"""Geometry of a rendering: outlines in pixels, the supersampled labels, and what each pixel sees of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from evfsam.data.scenes.layout import to_frame
from evfsam.data.scenes.model import Body, Scene

SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


@dataclass(frozen=True, eq=False)
class Patches:
    """Tables over the P patches of a scene in drawing order. ``points`` (n, 2) and ``box`` are in pixels.

    Outline i is ``points[starts[i]:starts[i + 1]]``; ``box`` (P, 4) holds centre x, y and half width, half
    height; ``rgb`` (P, 2, 3) the colour at the top and at the bottom of the box; ``style`` (P, 6) the
    fields of Style. ``caster`` (P,) is True for things that stand on something.
    """

    points: np.ndarray
    starts: np.ndarray
    part: np.ndarray
    box: np.ndarray
    rgb: np.ndarray
    style: np.ndarray
    caster: np.ndarray
    foot: np.ndarray

    def fill(self, canvas: np.ndarray, points: np.ndarray, which: np.ndarray, values: np.ndarray) -> None:
        """Fills the outlines ``which`` (indices), their ``points`` moved or scaled, with their values."""
        fixed = np.rint((points - 0.5) * (1 << SHIFT)).astype(np.int32)
        for i in which:
            cv2.fillPoly(canvas, [fixed[self.starts[i] : self.starts[i + 1]]], int(values[i]), shift=SHIFT)


@dataclass(frozen=True, eq=False)
class Mixed:
    """The M pixels that see more than one patch, as K runs (pixel, patch): pixels in order, runs of one
    together.

    ``rows``, ``columns`` (M,) name the pixels; ``first`` (M,) is where each one's runs begin; ``pixel``
    (K,) counts 0 to M - 1; ``patch`` (K,); ``share`` (K,) float32 is the patch's share of the pixel's
    samples.
    """

    rows: np.ndarray
    columns: np.ndarray
    first: np.ndarray
    pixel: np.ndarray
    patch: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class Raster:
    """``centre`` (H, W): the patch at each pixel's middle; ``mixed``: the pixels where that is not all."""

    patches: Patches
    centre: np.ndarray
    mixed: Mixed
    part_map: np.ndarray


def rasterise(scene: Scene, size_hw: tuple[int, int]) -> Raster:
    """Draws all outlines back to front with k x k samples a pixel and resolves them."""
    k = _samples_per_side(size_hw)
    patches = _patches(scene, size_hw)
    samples = np.zeros((size_hw[0] * k, size_hw[1] * k), np.uint16)
    patches.fill(samples, patches.points * k, np.arange(len(patches.part)), np.arange(len(patches.part)))
    centre = np.ascontiguousarray(samples[k // 2 :: k, k // 2 :: k])
    keys, rows, columns = _mixed_keys(samples, centre, patches.part, k)
    mixed, winners = _runs(keys, rows, columns)
    part_map = patches.part[centre]
    part_map[rows, columns] = winners
    return Raster(patches, centre, mixed, part_map)


def _samples_per_side(size_hw: tuple[int, int]) -> int:
    """More samples where pictures are small, fewer where they are large."""
    longest = max(size_hw)
    return 8 if longest <= 128 else 4 if longest <= 800 else 3 if longest <= 1400 else 2


def _to_pixels(body: Body, points: np.ndarray, scene: Scene, size_hw: tuple[int, int]) -> np.ndarray:
    height, width = size_hw
    camera = np.array(scene.camera_uv) * body.parallax
    return (to_frame(body.pose, points, width / height) - camera) * (width, height)


def _patches(scene: Scene, size_hw: tuple[int, int]) -> Patches:
    bodies = scene.bodies()
    first_part = np.cumsum([0, *(len(body.parts) for body in bodies)])
    things = sorted(range(len(scene.stuff), len(bodies)), key=lambda i: bodies[i].depth)
    points, lengths, part, rgb, style, caster, foot = [], [], [], [], [], [], []
    for number in [*range(len(scene.stuff)), *things]:
        body = bodies[number]
        points.append(_to_pixels(body, np.concatenate([patch.outline for patch in body.patches]), scene, size_hw))
        stands_at = _to_pixels(body, np.zeros((1, 2)), scene, size_hw)[0, 1]
        for patch in body.patches:
            lengths.append(len(patch.outline))
            part.append(first_part[number] + patch.part)
            rgb.append((patch.rgb, patch.rgb_below or patch.rgb))
            style.append(patch.style.as_tuple())
            caster.append(bool(body.support))
            foot.append(stands_at)
    joined, starts = np.concatenate(points), np.cumsum([0, *lengths])
    low, high = np.minimum.reduceat(joined, starts[:-1]), np.maximum.reduceat(joined, starts[:-1])
    box = np.concatenate([(low + high) / 2, np.maximum((high - low) / 2, 1.0)], 1).astype(np.float32)
    return Patches(
        joined,
        starts,
        np.array(part, np.uint16),
        box,
        np.array(rgb, np.float32),
        np.array(style, np.float32),
        np.array(caster),
        np.array(foot),
    )


def _mixed_keys(
    samples: np.ndarray, centre: np.ndarray, part_of_patch: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(M, k * k) sorted keys part << 16 | patch of the mixed pixels, and their rows and columns."""
    mixed = np.zeros(centre.shape, bool)
    for i in range(k):
        for j in range(k):
            mixed |= samples[i::k, j::k] != centre
    rows, columns = np.nonzero(mixed)
    blocks = samples.reshape(centre.shape[0], k, centre.shape[1], k)[rows, :, columns, :].reshape(len(rows), k * k)
    keys = (part_of_patch[blocks].astype(np.uint32) << 16) | blocks
    keys.sort(axis=1)
    return keys, rows, columns


def _runs(keys: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[Mixed, np.ndarray]:
    """Equal keys become runs; the part with most samples wins the pixel, of equals the later in the table."""
    count = keys.shape[1]
    starts_run = np.ones(keys.shape, bool)
    starts_run[:, 1:] = keys[:, 1:] != keys[:, :-1]
    at = np.flatnonzero(starts_run)
    samples = np.diff(at, append=keys.size)
    pixel, key = at // count, keys.reshape(-1)[at]
    first = np.flatnonzero(at % count == 0)
    mixed = Mixed(rows, columns, first, pixel, key & 0xFFFF, (samples / count).astype(np.float32))
    if not len(at):
        return mixed, np.zeros(0, np.uint16)
    part = (key >> 16).astype(np.int64)
    starts_part = np.flatnonzero(np.concatenate([[True], (pixel[1:] != pixel[:-1]) | (part[1:] != part[:-1])]))
    votes = np.add.reduceat(samples, starts_part) << 16 | part[starts_part]
    pixel_first = np.flatnonzero(np.diff(pixel[starts_part], prepend=-1))
    return mixed, (np.maximum.reduceat(votes, pixel_first) & 0xFFFF).astype(np.uint16)
