"""Mask logits -> pixels of the original image, and back."""

from __future__ import annotations

import numpy as np
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


def mask_prompt(mask: np.ndarray, geometry: Geometry) -> torch.Tensor:
    """A mask of the original image, bool (H, W) -> logits as the decoder gives them, float32 (1, h, w), -10 to 10."""
    (height, width), square = geometry.resized_size_hw, geometry.input_size_hw
    inside = torch.from_numpy(mask.astype(np.float32))[None, None]
    inside = F.interpolate(inside, (height, width), mode="bilinear", align_corners=False, antialias=True)
    inside = F.pad(inside, (0, square[1] - width, 0, square[0] - height))
    size = [side // 4 for side in square]
    # 10 is what SAM2Base takes for the logit of a mask that it is given.
    return F.interpolate(inside, size, mode="bilinear", align_corners=False, antialias=True)[:, 0] * 20 - 10
