"""Removing small connected components from a mask."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

# A component weighs the sum of its logits. Both shares are of the heaviest one; chosen on validation scenes.
LARGEST_SHARE = 0.3  # "largest": what weighs less is removed
HYSTERESIS_SHARE, SURE_LOGIT = 0.05, 2.0  # "hysteresis": what weighs less and is nowhere as sure is removed


def remove_small_components(mask_logits: np.ndarray, keep: Literal["largest", "hysteresis"]) -> np.ndarray:
    """A mask without small components.

    A removed component takes along all pixels that are nearer to it than to a component that stays, so that its rim
    does not come back at a lower threshold.

    Args:
        mask_logits: float32 (H, W).
        keep: "largest", for one object: components that weigh at least :data:`LARGEST_SHARE` of the heaviest, so that
            an object that something in front of it cuts in two keeps both halves. "hysteresis", for all objects of a
            category: also light components whose highest logit reaches :data:`SURE_LOGIT` (as weak edges that touch a
            strong one stay in Canny's edge detector, 1986).

    Returns the same array if nothing is removed; else a new one, lower by twice the highest logit where something was.
    """
    count, components = cv2.connectedComponents((mask_logits > 0).astype(np.uint8))
    if count <= 2:  # the outside and one component
        return mask_logits
    weights = np.bincount(components.ravel(), mask_logits.ravel())
    weights[0] = 0
    if keep == "largest":
        stays = weights >= LARGEST_SHARE * weights.max()
    else:
        stays = weights >= HYSTERESIS_SHARE * weights.max()
        stays[components[mask_logits >= SURE_LOGIT]] = True
    removed = ~stays & (weights > 0)
    if not removed.any():
        return mask_logits
    nearer_to_removed = _distances(removed[components]) < _distances(stays[components])
    return np.where(nearer_to_removed, mask_logits - 2 * mask_logits.max(), mask_logits)


def _distances(mask: np.ndarray) -> np.ndarray:
    """From each pixel to the nearest pixel of a mask, bool (H, W) -> float32 (H, W)."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
