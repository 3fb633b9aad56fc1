"""Boxes, points and overlaps of masks. Needs numpy and OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np


def box_of(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """The bounding box (x_min, y_min, x_max, y_max) of a mask, bool (H, W), in pixels; None for an empty mask.

    The right and lower edges are exclusive.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def interior_point(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of a mask, bool (H, W), that is farthest from its edge; (0, 0) for an empty mask."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return int(x), int(y)


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks, bool (H, W); 1 if both are empty."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0
