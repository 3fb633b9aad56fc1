"""Colours of a rendering: gradients, round shading, texture, cast shadows and the halo of the sun."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from evfsam.data.scenes.model import Scene
from evfsam.data.scenes.raster import Patches, Raster
from evfsam.data.scenes.rng import Rng

TEXTURE_STREAM = 1
HALO_RADIUS = 0.3  # in short sides
SHADOW_DEPTH, SHADOW_LEAN, SHADOW_RISE, SHADOW_BLUR = 0.33, 1.1, 0.28, 0.010


def paint(scene: Scene, raster: Raster) -> np.ndarray:
    """The image, uint8 (H, W, 3), RGB. A mixed pixel gets the mean colour of its samples."""
    height, width = raster.centre.shape
    fields = _fields(scene, raster)
    table = _table(scene, raster.patches)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    image = _shade(scene, table, raster.centre.astype(np.intp), x, y, fields)
    mixed = raster.mixed
    if len(mixed.rows):
        rows, columns = mixed.rows[mixed.pixel], mixed.columns[mixed.pixel]
        seen = _shade(scene, table, mixed.patch.astype(np.intp), x[0, columns], y[rows, 0], fields[:, rows, columns])
        image[:, mixed.rows, mixed.columns] = np.add.reduceat(seen * mixed.share, mixed.first, axis=1)
    return np.ascontiguousarray(np.clip(image + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0))


@dataclass(frozen=True, eq=False)
class _Table:
    """The P patches as float32 columns.

    Attributes:
        light: (3, P), light = l0 + l1 x + l2 y.
        rgb: (3, P), the colour at y = 0.
        slope: (3, P), the change of the colour per y.
        weights: (4, P), of grain, streak, shadow and glow.
        round: (P,), as in Style.
        box: (4, P), as in Patches.
    """

    light: np.ndarray
    rgb: np.ndarray
    slope: np.ndarray
    weights: np.ndarray
    round: np.ndarray
    box: np.ndarray


def _table(scene: Scene, patches: Patches) -> _Table:
    x, y, half_width, half_height = patches.box.T
    gradient, roundness, *weights = patches.style.T
    light_x, light_y = (
        scene.light.direction[0] * gradient / half_width,
        scene.light.direction[1] * gradient / half_height,
    )
    top, bottom = patches.rgb[:, 0].T, patches.rgb[:, 1].T
    slope = (bottom - top) / (2 * half_height)
    return _Table(
        np.stack([1.0 - light_x * x - light_y * y, light_x, light_y]),
        top - slope * (y - half_height),
        slope,
        np.stack(weights),
        roundness,
        np.ascontiguousarray(patches.box.T),
    )


def _shade(
    scene: Scene, table: _Table, ids: np.ndarray, x: np.ndarray, y: np.ndarray, fields: np.ndarray
) -> np.ndarray:
    """Colours, float32 (3, ...) in 0..255, of the patches ``ids`` at pixels x, y; ``fields`` is (4, ...)."""
    light = table.light[0][ids] + table.light[1][ids] * x + table.light[2][ids] * y
    curved = np.nonzero(table.round[ids])
    if len(curved[0]):
        light[curved] += _roundness(scene, table, ids[curved], x[curved], y[curved])
    grain, streak, shadow, glow = (table.weights[i][ids] * fields[i] for i in range(4))
    light *= 1.0 + grain + streak
    image = np.empty((3, *ids.shape), np.float32)
    for c in range(3):
        colour = (table.rgb[c][ids] + table.slope[c][ids] * y) * light
        np.minimum(colour, 255.0, out=colour)
        colour += (scene.light.shadow_rgb[c] - colour) * shadow
        colour += (255.0 - colour) * (glow * (scene.light.halo_rgb[c] / 255.0))
        image[c] = colour
    return image


def _roundness(scene: Scene, table: _Table, ids: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Lighter near the point that faces the light, darker towards the far rim."""
    cx, cy, half_width, half_height = (table.box[i][ids] for i in range(4))
    light_x, light_y = scene.light.direction
    off_centre = ((x - cx) / half_width - 0.4 * light_x) ** 2 + ((y - cy) / half_height - 0.4 * light_y) ** 2
    return table.round[ids] * (0.35 - 0.6 * off_centre).astype(np.float32)


def _fields(scene: Scene, raster: Raster) -> np.ndarray:
    """Grain, streak, shadow and glow: float32 (4, H, W)."""
    rng = Rng(scene.seed, TEXTURE_STREAM)
    grain = 0.6 * rng.noise(160, 160) + 0.55 * cv2.resize(rng.noise(40, 40), (160, 160), interpolation=cv2.INTER_CUBIC)
    size_hw = raster.centre.shape
    return np.stack(
        [
            _texture(scene, grain, size_hw),
            _texture(scene, rng.noise(110, 22), size_hw),
            _shadows(scene, raster.patches, size_hw),
            _halo(scene, size_hw),
        ]
    )


def _texture(scene: Scene, noise: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Noise stretched over the frame. It moves with the camera and repeats beyond its edges."""
    height, width = size_hw
    rows, columns = noise.shape
    from_image = np.array(
        [[columns / width, 0, scene.camera_uv[0] * columns], [0, rows / height, scene.camera_uv[1] * rows]]
    )
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(noise, from_image, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)


def _shadows(scene: Scene, patches: Patches, size_hw: tuple[int, int]) -> np.ndarray:
    """Shadows: the outlines of standing things, laid on the ground away from the light, and blurred."""
    canvas = np.zeros(size_hw, np.uint8)
    lengths = np.diff(patches.starts)
    foot = np.repeat(patches.foot, lengths)
    rise = foot - patches.points[:, 1]
    lean = -SHADOW_LEAN * scene.light.direction[0]
    laid = np.stack([patches.points[:, 0] + lean * rise, foot - SHADOW_RISE * rise], 1)
    patches.fill(canvas, laid, np.flatnonzero(patches.caster), np.full(len(lengths), 255))
    blurred = cv2.GaussianBlur(canvas, (0, 0), SHADOW_BLUR * min(size_hw))
    return blurred.astype(np.float32) * np.float32(SHADOW_DEPTH / 255)


def _halo(scene: Scene, size_hw: tuple[int, int]) -> np.ndarray:
    height, width = size_hw
    reach = HALO_RADIUS * min(size_hw)
    u, v = scene.light.sun_uv
    dx2 = ((np.arange(width, dtype=np.float32) - u * width) / reach) ** 2
    dy2 = ((np.arange(height, dtype=np.float32) - v * height) / reach) ** 2
    return np.float32(scene.light.halo) / (1.0 + 1.6 * (dx2[None, :] + dy2[:, None]))
