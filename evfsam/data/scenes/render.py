"""Scene -> the image and, from the same samples, the map of visible parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evfsam.data.scenes.model import Scene
from evfsam.data.scenes.raster import rasterise
from evfsam.data.scenes.shading import paint


@dataclass(frozen=True, eq=False)
class Rendering:
    """A rendered scene.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        part_map: uint16 (H, W), the index in ``Scene.parts`` of the visible part that covers most of the pixel.
    """

    image: np.ndarray
    part_map: np.ndarray


def render(scene: Scene, size_hw: tuple[int, int]) -> Rendering:
    """Render a scene at any size, in pixels.

    Make the scene for the same ``aspect``, width / height: at another one, things move apart or together.
    """
    raster = rasterise(scene, size_hw)
    return Rendering(paint(scene, raster), raster.part_map)


def render_parts(scene: Scene, size_hw: tuple[int, int]) -> np.ndarray:
    """Only the part map of :func:`render`, uint16 (H, W); faster."""
    return rasterise(scene, size_hw).part_map
