"""Scene -> pixels: the picture and, from the same samples, the map of visible parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evfsam.data.scenes.model import Scene
from evfsam.data.scenes.raster import rasterise
from evfsam.data.scenes.shading import paint


@dataclass(frozen=True, eq=False)
class Rendering:
    """``image`` (H, W, 3) uint8 and ``part_map`` (H, W) uint16, each pixel's row of ``Scene.parts``.

    A pixel belongs to the visible part that covers most of it, by the same samples that give it its colour.
    """

    image: np.ndarray
    part_map: np.ndarray


def render(scene: Scene, size_hw: tuple[int, int]) -> Rendering:
    """Draws a scene at any size, in pixels.

    What is visible was arranged for ``scene.aspect``: at another shape of picture things move apart or
    together, so make the scene for the shape that will be drawn.
    """
    raster = rasterise(scene, size_hw)
    return Rendering(paint(scene, raster), raster.part_map)


def render_parts(scene: Scene, size_hw: tuple[int, int]) -> np.ndarray:
    """Only the part map, (H, W) uint16: that of ``render``, for less work."""
    return rasterise(scene, size_hw).part_map
