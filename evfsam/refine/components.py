"""Removing small connected components from a mask."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

# The weight of a component is the sum of its logits. Shares are of the heaviest one; chosen on validation scenes.
LARGEST_SHARE = 0.3  # "largest": lighter components are removed
HYSTERESIS_SHARE, SURE_LOGIT = 0.05, 2.0  # "hysteresis": lighter components are removed if all logits are lower


def remove_small_components(mask_logits: np.ndarray, keep: Literal["largest", "hysteresis"]) -> np.ndarray:
    """A mask without small components.

    Pixels that are nearer to a removed component than to a kept one are removed too. Otherwise the rim of the removed
    component would come back at a lower threshold.

    Args:
        mask_logits: float32 (H, W).
        keep: "largest", for one object, keeps components of at least :data:`LARGEST_SHARE`: an object that another one
            cuts in two keeps both halves. "hysteresis", for all objects of a category, keeps components of at least
            :data:`HYSTERESIS_SHARE`, and those whose highest logit reaches :data:`SURE_LOGIT` (as in Canny's edge
            detector, 1986).

    Returns the same array if nothing is removed. Else a new one, where removed pixels are lower by twice the highest
    logit.
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
    """Distance in pixels from each pixel to the nearest pixel of a mask: bool (H, W) -> float32 (H, W)."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
