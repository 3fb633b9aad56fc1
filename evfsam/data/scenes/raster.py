"""Outlines -> pixels: which patches each pixel shows, by supersampling, and which part it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from evfsam.data.scenes.layout import to_frame
from evfsam.data.scenes.model import Body, Scene

SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


@dataclass(frozen=True, eq=False)
class Patches:
    """The P patches of a scene in drawing order, as arrays.

    Attributes:
        points: (n, 2) in pixels; outline i is ``points[starts[i]:starts[i + 1]]``.
        starts: (P + 1,).
        part: uint16 (P,), index in the part table.
        box: float32 (P, 4), centre x, centre y, half width and half height in pixels.
        rgb: float32 (P, 2, 3), the colours at the top and at the bottom of the box.
        style: float32 (P, 6), the fields of Style.
        caster: bool (P,), True for things that stand on something: they cast a shadow.
        foot: (P,), y in pixels of the place where the thing stands.
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
        """Fill outlines of a canvas with values.

        Args:
            points: as the attribute, moved or scaled.
            which: indices of the outlines.
            values: (P,), one value per outline.
        """
        fixed = np.rint((points - 0.5) * (1 << SHIFT)).astype(np.int32)
        for i in which:
            cv2.fillPoly(canvas, [fixed[self.starts[i] : self.starts[i + 1]]], int(values[i]), shift=SHIFT)


@dataclass(frozen=True, eq=False)
class Mixed:
    """The M pixels that show more than one patch, as K pairs of pixel and patch in the order of pixels.

    Attributes:
        rows, columns: (M,), where the pixels are.
        first: (M,), the first pair of each pixel.
        pixel: (K,), 0 to M - 1.
        patch: (K,), index of the patch.
        share: float32 (K,), the patch's share of the pixel's samples.
    """

    rows: np.ndarray
    columns: np.ndarray
    first: np.ndarray
    pixel: np.ndarray
    patch: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class Raster:
    """A scene in pixels.

    Attributes:
        centre: (H, W), the patch at the middle of each pixel.
        mixed: the pixels that show several patches.
        part_map: uint16 (H, W), the part that each pixel belongs to.
    """

    patches: Patches
    centre: np.ndarray
    mixed: Mixed
    part_map: np.ndarray


def rasterise(scene: Scene, size_hw: tuple[int, int]) -> Raster:
    """Draw all outlines from back to front with k x k samples per pixel."""
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
    """Small images get more samples per pixel than large ones."""
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
    """Sorted keys, part << 16 | patch, uint32 (M, k * k), of the M mixed pixels, and their rows and columns."""
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
    """The mixed pixels, and the part with most samples in each, uint16 (M,); of equal parts the later one."""
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
