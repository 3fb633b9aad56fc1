"""Presence: whether the image shows what a text prompt names."""

from __future__ import annotations

import torch

from evfsam.types import MaskLogits

SUREST_SHARE = 0.01  # share of a mask's cells, those with the highest logits


def presence_logits(masks: MaskLogits) -> torch.Tensor:
    """Logits (P,) that the image shows what each prompt names.

    SAM-2 has an output for it. For other segmenters it is the mean of the highest mask logits, as trained by
    ``evfsam.training.losses``.
    """
    if masks.object_score_logits is not None:
        return masks.object_score_logits.float()
    cells = masks.low_res_masks.float().flatten(1)
    return cells.topk(max(1, int(SUREST_SHARE * cells.shape[1])), dim=1).values.mean(1)
