"""Masks as polygons, for annotation tools that read no run lengths."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from evfsam.geometry import box_of, mask_iou

TOLERANCES = (1.5, 1.0, 0.75, 0.0)  # pixels by which an outline may be simplified, the coarsest first
LEAST_IOU = 0.99  # with the mask, of a simplified outline


def to_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """The outlines of a mask, bool (H, W): one polygon per piece, an empty list for an empty mask.

    A polygon is float64 (N, 2), x and y in pixels, and runs along the edges of pixels. It is simplified as long as its
    IoU with the mask is at least 0.99. Polygons have no holes: a slit without width joins a hole to the outline, and
    readers that fill by the even-odd rule (pycocotools, OpenCV) leave the hole empty.
    """
    box = box_of(mask)
    if box is None:
        return []
    left, top, right, bottom = box
    part = mask[top:bottom, left:right]
    exact = _outlines(part)
    for tolerance in TOLERANCES:
        found = [_with_holes(_simpler(ring, tolerance), _all_simpler(holes, tolerance)) for ring, holes in exact]
        if not tolerance or mask_iou(filled(found, part.shape), part) >= LEAST_IOU:
            break
    return [polygon + (left, top) for polygon in found]


def joined(polygons: list[np.ndarray]) -> np.ndarray:
    """Several polygons as one, float64 (N, 2), joined by slits without width."""
    return _with_holes(polygons[0], polygons[1:])


def filled(polygons: list[np.ndarray], size_hw: tuple[int, int]) -> np.ndarray:
    """The inverse of :func:`to_polygons`, as pycocotools fills polygons: bool (H, W)."""
    flat = [polygon.ravel().tolist() for polygon in polygons]
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *size_hw))).astype(bool)


def _outlines(mask: np.ndarray) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Each piece's outer ring, exact along the edges of pixels, with the rings of its holes."""
    doubled = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    # OpenCV follows the middles of pixels. Of a doubled mask each lies beside an edge of the mask's own pixels.
    rings, levels = cv2.findContours(np.pad(doubled, 1), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    found: dict[int, tuple[np.ndarray, list[np.ndarray]]] = {}
    for i, ring in enumerate(rings):
        if levels[0][i][3] < 0:
            found[i] = _on_edges(ring), []
    for i, ring in enumerate(rings):
        if (outer := levels[0][i][3]) >= 0:
            found[outer][1].append(_on_edges(ring))
    return list(found.values())


def _on_edges(ring: np.ndarray) -> np.ndarray:
    corners = (ring[:, 0] - 1 + 1) // 2  # minus the padding; then an even pixel's near edge, an odd one's far edge
    return corners[np.any(corners != np.roll(corners, 1, 0), axis=1)].astype(np.float64)


def _simpler(ring: np.ndarray, tolerance: float) -> np.ndarray:
    few = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)[:, 0].astype(np.float64)
    return few if len(few) > 2 else ring


def _all_simpler(rings: list[np.ndarray], tolerance: float) -> list[np.ndarray]:
    return [_simpler(ring, tolerance) for ring in rings]


def _with_holes(ring: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """One closed line along a ring and others: from its nearest corner to each of them, around it, and back."""
    leaves: dict[int, list[np.ndarray]] = {}
    for other in others:
        leaves.setdefault(int(np.square(ring - other[0]).sum(1).argmin()), []).append(other)
    pieces, start = [], 0
    for i in sorted(leaves):
        pieces.append(ring[start : i + 1])
        for other in leaves[i]:
            pieces += [other, other[:1], ring[i : i + 1]]
        start = i + 1
    return np.concatenate([*pieces, ring[start:]])
