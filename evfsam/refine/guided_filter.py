"""Guided filter (He, Sun, Tang, arXiv 1505.00996, the fast form): aligns outlines with the edges of the image.

A small segmenter has few mask cells, so enlarged masks cut corners and cross edges. The filter replaces the
probability in each neighbourhood by the nearest linear function of the colours. The mask then has edges where the image
has edges.
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
SMOOTHNESS = 3e-4  # variance of colours in 0..1, about that of 2 % noise; smaller differences are no edges
SUREST = 0.999  # the highest probability, so that logits stay finite


@dataclass(frozen=True)
class EdgeGuide:
    """Statistics of an image, computed once for all prompts.

    Attributes:
        image: uint8 (H, W, 3).
        geometry: of the image in the segmenter's square.
        colours: float32 (3, h, w), 0..1, the image at the segmenter's size, without padding.
        means: float32 (3, h, w), mean colour of each neighbourhood.
        precisions: float32 (3, 3, h, w), inverse covariance of the colours of each neighbourhood.
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
    """Upper triangles of 3 x 3 matrices, (6, h, w) -> the inverses of the smoothed matrices, (3, 3, h, w)."""
    rr, rg, rb, gg, gb, bb = symmetric
    rr, gg, bb = rr + SMOOTHNESS, gg + SMOOTHNESS, bb + SMOOTHNESS
    top = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    middle = rr * bb - rb * rb, rb * rg - rr * gb
    cofactors = np.array([top, (top[1], *middle), (top[2], middle[1], rr * gg - rg * rg)])
    return cofactors / (rr * top[0] + rg * top[1] + rb * top[2])


def filter_masks(low_res_masks: torch.Tensor, guide: EdgeGuide) -> np.ndarray:
    """As :func:`evfsam.processing.masks.restore`, with outlines at the image's edges.

    Args:
        low_res_masks: logits (P, h, w) at stride 4 of the segmenter's square.

    Returns logits, float32 (P, H, W), of probabilities from 1 - :data:`SUREST` to :data:`SUREST`.
    """
    resized = replace(guide.geometry, original_size_hw=guide.geometry.resized_size_hw)
    probabilities = restore(low_res_masks, resized).sigmoid().cpu().numpy()
    logits = np.empty((len(probabilities), *guide.geometry.original_size_hw), np.float32)
    for row, probability in enumerate(probabilities):
        _filter(probability, guide, logits[row])
    return logits


def _filter(probability: np.ndarray, guide: EdgeGuide, out: np.ndarray) -> None:
    """Write the filtered logits of one mask to ``out``. Large images: one plane of colour at a time."""
    (mean,) = _mean(probability[None])
    covariance = _mean(guide.colours * probability) - guide.means * mean
    slopes = (guide.precisions * covariance).sum(1)
    offset = mean - (slopes * guide.means).sum(0)
    height, width = guide.geometry.original_size_hw
    *slopes, offset = _mean([*slopes, offset])
    cv2.resize(offset, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
    for channel, slope in enumerate(slopes):
        followed = cv2.resize(slope, (width, height), interpolation=cv2.INTER_LINEAR)
        followed *= guide.image[..., channel] * np.float32(1 / 255)
        out += followed
    np.clip(out, 1 - SUREST, SUREST, out=out)
    out /= 1 - out
    np.log(out, out=out)


def _mean(planes: Iterable[np.ndarray]) -> np.ndarray:
    """The mean of each neighbourhood, float32 (C, h, w)."""
    size = (2 * RADIUS_PX + 1, 2 * RADIUS_PX + 1)
    return np.stack([cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT) for plane in planes])
