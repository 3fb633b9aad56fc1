"""Masks of an image at the resolution of the model's logits: the inverse of restore, for tests."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from evfsam.types import Geometry


def to_low_res(masks: torch.Tensor, geometry: Geometry, low_res_size_hw: tuple[int, int]) -> torch.Tensor:
    """Masks 0..1, (P, H, W) -> float32 (P, h, w): the share of each cell that is covered."""
    masks = masks.float().unsqueeze(1)
    if geometry.resized_size_hw != geometry.input_size_hw:
        masks = F.interpolate(masks, geometry.resized_size_hw, mode="bilinear", align_corners=False, antialias=True)
        height, width = geometry.resized_size_hw
        masks = F.pad(masks, (0, geometry.input_size_hw[1] - width, 0, geometry.input_size_hw[0] - height))
    return F.adaptive_avg_pool2d(masks, low_res_size_hw).squeeze(1)
