"""A guided filter: outlines are aligned with the image's edges (He, Sun, Tang, arXiv 1505.00996, the fast form).

A small segmenter has few mask cells. Plain enlargement cuts corners and bleeds over edges. The filter replaces the
probability in every neighbourhood by the nearest linear function of the colours, so the mask has edges where the image
has them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from evfsam.processing.masks import restore
from evfsam.types import Geometry

RADIUS_PX = 8  # of a neighbourhood, in the segmenter's square: two cells of the low-resolution mask
SMOOTHNESS = 3e-4  # a variance of colour, 0..1, as of noise of two per cent: less is no edge
SUREST = 0.999  # probability, so that logits stay finite


@dataclass(frozen=True)
class EdgeGuide:
    """What the filter needs of an image, computed once for all prompts.

    Attributes:
        image: uint8 (H, W, 3).
        geometry: of the image in the segmenter's square.
        colours: float32 (3, h, w), 0..1, the image at the segmenter's size, without padding.
        means: (3, h, w), of each neighbourhood.
        precisions: (3, 3, h, w), the inverse of each neighbourhood's covariance.
    """

    image: np.ndarray
    geometry: Geometry
    colours: np.ndarray
    means: np.ndarray
    precisions: np.ndarray


def make_guide(image: np.ndarray, geometry: Geometry) -> EdgeGuide:
    """The guide of an image, uint8 (H, W, 3)."""
    height, width = geometry.resized_size_hw
    shrinks = height < image.shape[0]
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    colours = small.transpose(2, 0, 1).astype(np.float32) / 255
    means = _mean(colours)
    first, second = [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]
    covariances = _mean(colours[first] * colours[second]) - means[first] * means[second]
    return EdgeGuide(image, geometry, colours, means, _inverses(covariances))


def _inverses(symmetric: np.ndarray) -> np.ndarray:
    """(6, h, w), the upper triangles of 3 x 3 matrices, smoothed -> their inverses, (3, 3, h, w), by cofactors."""
    rr, rg, rb, gg, gb, bb = symmetric
    rr, gg, bb = rr + SMOOTHNESS, gg + SMOOTHNESS, bb + SMOOTHNESS
    top = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    middle = rr * bb - rb * rb, rb * rg - rr * gb
    cofactors = np.array([top, (top[1], *middle), (top[2], middle[1], rr * gg - rg * rg)])
    return cofactors / (rr * top[0] + rg * top[1] + rb * top[2])


def filter_masks(low_res_masks: torch.Tensor, guide: EdgeGuide) -> np.ndarray:
    """As :func:`evfsam.processing.masks.restore`, with outlines at the image's edges.

    Args:
        low_res_masks: (P, h, w) at stride 4 of the segmenter's square.

    Returns float32 (P, H, W), between the logits of :data:`SUREST` and its opposite.
    """
    resized = replace(guide.geometry, original_size_hw=guide.geometry.resized_size_hw)
    probabilities = restore(low_res_masks, resized).sigmoid().cpu().numpy()
    return np.stack([_filter(row, guide) for row in probabilities])


def _filter(probability: np.ndarray, guide: EdgeGuide) -> np.ndarray:
    (mean,) = _mean(probability[None])
    covariance = _mean(guide.colours * probability) - guide.means * mean
    slopes = (guide.precisions * covariance).sum(1)
    offset = mean - (slopes * guide.means).sum(0)
    height, width = guide.geometry.original_size_hw
    *slopes, followed = (
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in _mean([*slopes, offset])
    )
    for slope, channel in zip(slopes, cv2.split(guide.image), strict=True):
        followed += slope * (channel * np.float32(1 / 255))
    followed = np.clip(followed, 1 - SUREST, SUREST, out=followed)
    return np.log(followed / (1 - followed))


def _mean(planes: Iterable[np.ndarray]) -> np.ndarray:
    """Of each neighbourhood, (C, h, w)."""
    size = (2 * RADIUS_PX + 1, 2 * RADIUS_PX + 1)
    return np.stack([cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT) for plane in planes])
