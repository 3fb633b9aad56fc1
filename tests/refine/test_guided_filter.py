"""The guided filter: outlines at the image's edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evfsam.processing.inputs import prepare
from evfsam.processing.masks import restore
from evfsam.refine.guided_filter import filter_masks, make_guide
from evfsam.types import PixelSpec
from tests.processing.low_res import to_low_res

STRETCHED, PADDED = PixelSpec(256, False), PixelSpec(256, True)


def disc(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - 0.45 * height, x - 0.6 * width) < 0.13 * min(height, width)


def image_of(mask: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """A red object in front of a green background."""
    image = np.where(mask[..., None], (200.0, 60, 50), (60, 140, 70))
    image = image + np.random.default_rng(0).normal(0, 1, image.shape) * noise
    return image.clip(0, 255).astype(np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def coarse_logits(mask: np.ndarray, geometry) -> torch.Tensor:
    """Logits as from a good model: the covered share of each cell, slightly shifted."""
    low_res = to_low_res(torch.from_numpy(mask)[None], geometry, (64, 64))
    return (torch.roll(low_res, (1, 1), (1, 2)) - 0.5) * 10


@pytest.mark.parametrize("spec", [STRETCHED, PADDED], ids=["stretched", "padded"])
@pytest.mark.parametrize("size_hw", [(256, 256), (320, 480), (700, 300), (97, 131)], ids=str)
@pytest.mark.parametrize("noise", [0, 8], ids=["clean", "noisy"])
def test_an_outline_beside_an_edge_moves_onto_it(spec, size_hw, noise):
    thing = disc(*size_hw)
    image = image_of(thing, noise)
    geometry = prepare(image, spec).geometry
    low_res = coarse_logits(thing, geometry)
    before = restore(low_res, geometry)[0].numpy() > 0
    after = filter_masks(low_res, make_guide(image, geometry))
    assert after.shape == (1, *size_hw) and after.dtype == np.float32 and np.abs(after).max() < 7
    assert iou(after[0] > 0, thing) > iou(before, thing) + 0.05


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 200), (64, 64)], ids=str)
def test_a_picture_without_edges_leaves_a_mask_where_it_was(size_hw):
    image = np.full((*size_hw, 3), 128, np.uint8)
    geometry = prepare(image, STRETCHED).geometry
    low_res = torch.full((2, 64, 64), -5.0)
    low_res[0] = 5.0
    low_res[1, :, 40:] = 5.0
    after = filter_masks(low_res, make_guide(image, geometry))
    assert (after[0] > 0).all()
    before = restore(low_res[1:], geometry)[0].numpy() > 0
    assert ((after[1] > 0) == before).mean() > 0.95


def test_what_is_surely_absent_stays_so():
    image = image_of(disc(100, 100))
    geometry = prepare(image, STRETCHED).geometry
    assert (filter_masks(torch.full((1, 64, 64), -1024.0), make_guide(image, geometry)) < -6).all()
