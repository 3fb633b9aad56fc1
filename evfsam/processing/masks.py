"""Mask logits <-> pixels of the original picture, the one way back; and whether there is anything at all."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from evfsam.types import Geometry, MaskLogits

SURE_SHARE = 0.01  # of a mask's cells: the ones it is most sure of


def presence_logits(masks: MaskLogits) -> torch.Tensor:
    """(P,) logits that a prompt names anything at all: SAM-2's own output for it.

    A segmenter without one says it with the mask: the mean of the logits that it is most sure of. Training here teaches
    SAM that (``evfsam.training.losses``), nobody else's does.
    """
    if masks.object_score_logits is not None:
        return masks.object_score_logits.float()
    cells = masks.low_res_masks.float().flatten(1)
    return cells.topk(max(1, int(SURE_SHARE * cells.shape[1])), dim=1).values.mean(1)


def restore(low_res_masks: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Bring logits back to the picture: float32 (P, h, w) -> float32 (P, H, W).

    Logits are interpolated, not masks, so that edges stay smooth. Padded checkpoints (SAM) go by way of the
    segmenter's square, from which the padding is cut (segment-anything ``postprocess_masks``); stretched ones
    go straight (official ``evf_sam2.py``).
    """
    masks = low_res_masks.float()
    if geometry.resized_size_hw != geometry.input_size_hw:
        masks = to_resized(masks, geometry)
    return _resize(masks, geometry.original_size_hw)


def to_resized(low_res_masks: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """(P, h, w) -> float32 (P, H', W') at the size of the picture inside the segmenter's square, padding cut off."""
    height, width = geometry.resized_size_hw
    return _resize(low_res_masks.float(), geometry.input_size_hw)[..., :height, :width]


def to_low_res(masks: torch.Tensor, geometry: Geometry, low_res_size_hw: tuple[int, int]) -> torch.Tensor:
    """The inverse of :func:`restore`: masks of the picture, 0..1, (P, H, W) -> float32 (P, h, w).

    Areas are averaged, so values tell the share of a low-resolution cell that is covered.
    """
    masks = masks.float().unsqueeze(1)
    if geometry.resized_size_hw != geometry.input_size_hw:
        masks = F.interpolate(masks, geometry.resized_size_hw, mode="bilinear", align_corners=False, antialias=True)
        height, width = geometry.resized_size_hw
        masks = F.pad(masks, (0, geometry.input_size_hw[1] - width, 0, geometry.input_size_hw[0] - height))
    return F.adaptive_avg_pool2d(masks, low_res_size_hw).squeeze(1)


def _resize(masks: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(masks.unsqueeze(1), size_hw, mode="bilinear", align_corners=False).squeeze(1)
