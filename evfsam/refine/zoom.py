"""Zoom: decodes a small mask again, from the part of the image around it.

A small segmenter has few cells for a small thing. The part around the thing is enlarged to all of them. The second
look asks for what fills the box, without the text.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evfsam.geometry import box_of
from evfsam.types import PointPrompt, SpatialPrompt

SMALL_SHARE = 0.15  # of the image's area; a larger box gains nothing
MARGIN = 0.25  # of a side of the box, before and behind it
SMALLEST_SIDE = 96  # pixels; a smaller part shows little around the thing
NARROWEST = 0.6  # of the part's longer side: it is stretched to a square
OUTSIDE_LOGIT = -32.0  # clearly outside, however sure the first mask is

Box = tuple[int, int, int, int]


def zoom_in(
    logits: np.ndarray,
    image: np.ndarray,
    spatial: SpatialPrompt | None,
    decode: Callable[[np.ndarray, SpatialPrompt], np.ndarray],
) -> np.ndarray:
    """Logits of a mask -> the mean of these and of those that a second look at a part of the image gives.

    Only a mask or box under :data:`SMALL_SHARE` of the image is small. A larger one, and an empty mask without a box,
    stay as they are.

    Args:
        logits: float32 (H, W), of the first mask.
        image: uint8 (H, W, 3).
        spatial: the points and the box of the prompt, in pixels, or None. Without a box, the box around the mask and
            the points on the object is used.
        decode: (part of the image, points and box in pixels of that part) -> logits, float32 (h, w).

    Returns float32 (H, W). Pixels beyond the part are outside the mask.
    """
    box = spatial.box if spatial and spatial.box else _box_with_points(logits > 0, spatial)
    height, width = image.shape[:2]
    if box is None or (box[2] - box[0]) * (box[3] - box[1]) >= SMALL_SHARE * height * width:
        return logits
    x0, y0, x1, y1 = part_around(box, (height, width))
    if (x1 - x0, y1 - y0) == (width, height):  # nothing would be larger
        return logits
    near = SpatialPrompt(_points_inside(spatial, (x0, y0, x1, y1)), tuple(np.subtract(box, (x0, y0, x0, y0)).tolist()))
    second = np.full_like(logits, OUTSIDE_LOGIT)
    second[y0:y1, x0:x1] = decode(image[y0:y1, x0:x1], near)
    return (logits + second) / 2


def part_around(box: tuple[float, ...], size_hw: tuple[int, int]) -> Box:
    """The part of an image around a box, both (x_min, y_min, x_max, y_max) in pixels. It stays inside the image."""
    sides = np.array([box[2] - box[0], box[3] - box[1]])
    sides = np.maximum(sides + 2 * MARGIN * sides, SMALLEST_SIDE)
    sides = np.ceil(np.maximum(sides, NARROWEST * sides.max()))
    limits = np.array(size_hw[::-1])
    sides = np.minimum(sides, limits)
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    first = np.clip(np.floor(centre - sides / 2), 0, limits - sides)
    x0, y0, x1, y1 = (int(value) for value in (*first, *(first + sides)))
    return x0, y0, x1, y1


def _box_with_points(mask: np.ndarray, spatial: SpatialPrompt | None) -> tuple[float, ...] | None:
    """The box around a mask, bool (H, W), and the points on the object; None for an empty mask."""
    box = box_of(mask)
    if box is None or spatial is None or spatial.points is None:
        return box
    on_object = np.asarray(spatial.points.coords)[np.asarray(spatial.points.labels) == 1]
    places = np.concatenate([np.reshape(box, (2, 2)), on_object])
    return (*places.min(0).tolist(), *places.max(0).tolist())


def _points_inside(spatial: SpatialPrompt | None, part: Box) -> PointPrompt | None:
    """The points of a prompt that lie in a part of the image, in pixels of that part; None if there is none."""
    if spatial is None or spatial.points is None:
        return None
    coords, labels = np.asarray(spatial.points.coords), np.asarray(spatial.points.labels)
    inside = ((coords >= part[:2]) & (coords <= part[2:])).all(1)
    return PointPrompt(coords[inside] - np.array(part[:2]), labels[inside]) if inside.any() else None
