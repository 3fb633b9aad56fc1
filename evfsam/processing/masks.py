"""Mask logits -> pixels of the original image."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from evfsam.types import Geometry


def restore(low_res_masks: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Resize logits to the original image: (P, h, w) -> float32 (P, H, W).

    SAM's input is padded: logits are first resized to the segmenter's square and the padding is cut off
    (segment-anything ``postprocess_masks``). For other segmenters it is one step (official ``evf_sam2.py``).
    """
    masks = low_res_masks.float().unsqueeze(1)
    if geometry.resized_size_hw != geometry.input_size_hw:
        height, width = geometry.resized_size_hw
        masks = F.interpolate(masks, geometry.input_size_hw, mode="bilinear", align_corners=False)
        masks = masks[..., :height, :width]
    return F.interpolate(masks, geometry.original_size_hw, mode="bilinear", align_corners=False).squeeze(1)
