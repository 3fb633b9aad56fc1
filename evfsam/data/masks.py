"""Masks as data sets write them: polygons and COCO's run lengths, checked before they are decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from evfsam.errors import InputError
from evfsam.media.export import decode_rle

MOST_PARTS = 10_000  # of one mask
FEWEST_NUMBERS = 6  # of a polygon: three points
FARTHEST = 16  # times the image's longer side: a polygon that reaches farther would be drawn for hours


def to_mask(segmentation: Any, size_hw: tuple[int, int], name: str) -> np.ndarray:
    """A segmentation of an image as bool (H, W); see :func:`count_cover`."""
    return count_cover(segmentation, size_hw, name) > 0


def count_cover(segmentation: Any, size_hw: tuple[int, int], name: str) -> np.ndarray:
    """How many parts of a segmentation cover each pixel, uint16 (H, W).

    Args:
        segmentation: polygons, ``[[x1, y1, x2, y2, ...], ...]`` or a single ``[x1, y1, ...]``, in pixels, drawn as
            COCO draws them; or run lengths, ``{"size": [H, W], "counts": text or list}``, or a list of these.
        size_hw: of the image.
        name: whose segmentation it is, for errors.

    Raises InputError if it is of another kind or does not fit the image.
    """
    if isinstance(segmentation, dict):
        return _from_run_lengths(segmentation, size_hw, name).astype(np.uint16)
    if not isinstance(segmentation, list | tuple) or not segmentation:
        raise InputError(
            f"The mask of {name} must be polygons [[x1, y1, x2, y2, ...]] "
            'or run lengths {"size": [H, W], "counts": ...}: correct it.'
        )
    parts = [segmentation] if isinstance(segmentation[0], int | float) else segmentation
    if len(parts) > MOST_PARTS:
        raise InputError(f"The mask of {name} has {len(parts):,} parts: join them, at most {MOST_PARTS:,} are read.")
    cover = np.zeros(size_hw, np.uint16)
    for part in parts:
        read = _from_run_lengths if isinstance(part, dict) else _from_polygon
        cover += read(part, size_hw, name)
    return cover


def _from_polygon(points: Any, size_hw: tuple[int, int], name: str) -> np.ndarray:
    try:
        numbers = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.ndim != 1 or len(numbers) < FEWEST_NUMBERS or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise InputError(f"A polygon of {name} must be [x1, y1, x2, y2, x3, y3, ...], 3 points or more: correct it.")
    if np.abs(numbers).max() > FARTHEST * max(size_hw):
        raise InputError(f"A polygon of {name} lies far outside of the image: give its points in pixels.")
    return coco_mask.decode(coco_mask.frPyObjects([numbers.tolist()], *size_hw))[..., 0]


def _from_run_lengths(rle: Any, size_hw: tuple[int, int], name: str) -> np.ndarray:
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, list | tuple) or list(size) != list(size_hw):
        raise InputError(
            f"The run lengths of {name} have the size {size}, but the image has {list(size_hw)} (H, W): "
            "export them again."
        )
    if isinstance(counts, list | tuple):
        return _from_counts(counts, size_hw, name)
    text = counts.decode("ascii", "replace") if isinstance(counts, bytes) else counts
    try:
        return decode_rle({"size": list(size_hw), "counts": text})
    except InputError:
        raise InputError(f"The run lengths of {name} are damaged: copy or export them again.") from None


def _from_counts(counts: Any, size_hw: tuple[int, int], name: str) -> np.ndarray:
    """Runs as numbers: outside and inside in turn, column by column."""
    height, width = size_hw
    if not all(type(run) is int and run >= 0 for run in counts) or sum(counts) != height * width:
        raise InputError(f"The run lengths of {name} must add up to {height} x {width} pixels: export them again.")
    return np.repeat(np.arange(len(counts)) % 2, counts).reshape(width, height).T.astype(np.uint16)
