"""Outlines that follow the picture's edges: a guided filter (He, Sun, Tang, arXiv 1505.00996 in its fast form).

A small segmenter answers with few cells a side, and a smooth enlargement of them cuts corners and bleeds over edges.
Here the probability becomes, in every neighbourhood, the linear function of the colours that comes nearest to it: where
the picture has an edge, so has the mask. The published checkpoints answer without it, as the authors have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from evfsam.processing.masks import to_resized
from evfsam.types import Geometry

RADIUS_PX = 8  # of a neighbourhood, in the segmenter's square: two cells of the low-resolution mask
SMOOTHNESS = 3e-4  # a variance of colour, 0..1, as of noise of two per cent: less is no edge
SUREST = 0.999  # probability, so that logits stay finite


@dataclass(frozen=True)
class EdgeGuide:
    """What the filter has to know of a picture, once for all phrases.

    Attributes:
        picture_rgb: uint8 (H, W, 3).
        geometry: of the picture in the segmenter's square.
        colours: float32 (h, w, 3), 0..1, the picture at the segmenter's size, without padding.
        means: (h, w, 3), of each neighbourhood.
        precisions: (h, w, 3, 3), the inverse of each neighbourhood's covariance.
    """

    picture_rgb: np.ndarray
    geometry: Geometry
    colours: np.ndarray
    means: np.ndarray
    precisions: np.ndarray


def guide_by(picture_rgb: np.ndarray, geometry: Geometry) -> EdgeGuide:
    """Look at a picture, uint8 (H, W, 3)."""
    height, width = geometry.resized_size_hw
    shrinks = height < picture_rgb.shape[0]
    colours = cv2.resize(picture_rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    colours = colours.astype(np.float32) / 255
    means = _mean(colours)
    products = (colours[..., :, None] * colours[..., None, :]).reshape(height, width, 9)
    covariances = _mean(products).reshape(height, width, 3, 3) - means[..., :, None] * means[..., None, :]
    precisions = np.linalg.inv(covariances + SMOOTHNESS * np.eye(3, dtype=np.float32))
    return EdgeGuide(picture_rgb, geometry, colours, means, precisions)


def follow_edges(low_res_masks: torch.Tensor, guide: EdgeGuide) -> np.ndarray:
    """Logits at the picture's size, as :func:`evfsam.processing.masks.restore`, that change where its colours do.

    Args:
        low_res_masks: (P, h, w) at stride 4 of the segmenter's square.

    Returns float32 (P, H, W), between the logits of :data:`SUREST` and its opposite.
    """
    probabilities = to_resized(low_res_masks, guide.geometry).sigmoid().cpu().numpy()
    followed = np.stack([_follow_edges(row, guide) for row in probabilities]).clip(1 - SUREST, SUREST)
    return np.log(followed / (1 - followed))


def _follow_edges(probability: np.ndarray, guide: EdgeGuide) -> np.ndarray:
    mean = _mean(probability)
    covariance = _mean(guide.colours * probability[..., None]) - guide.means * mean[..., None]
    slopes = np.einsum("hwij,hwj->hwi", guide.precisions, covariance)
    offsets = mean - (slopes * guide.means).sum(-1)
    line = _mean(np.concatenate([slopes, offsets[..., None]], -1))
    height, width = guide.geometry.original_size_hw
    line = cv2.resize(line, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.einsum("hwi,hwi->hw", line[..., :3], guide.picture_rgb.astype(np.float32) / 255) + line[..., 3]


def _mean(values: np.ndarray) -> np.ndarray:
    """Of each neighbourhood, (h, w) or (h, w, C)."""
    return cv2.blur(values, (2 * RADIUS_PX + 1, 2 * RADIUS_PX + 1), borderType=cv2.BORDER_REFLECT)
