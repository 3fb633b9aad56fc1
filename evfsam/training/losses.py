"""The paper's losses (section 4.1: BCE and dice, weights 1 and 1), and two small ones for the segmenter's scores."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from evfsam.refine.rejection import presence_logits
from evfsam.types import MaskLogits

IOU_HEAD_WEIGHT = 0.1
PRESENCE_WEIGHT = 0.5


def bce_loss(mask_logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy, mean over pixels, (P, h, w) logits and targets in 0..1 -> (P,)."""
    return F.binary_cross_entropy_with_logits(mask_logits, targets, reduction="none").flatten(1).mean(1)


def dice_loss(
    mask_logits: torch.Tensor, targets: torch.Tensor, scale: float = 1000.0, eps: float = 1e-6
) -> torch.Tensor:
    """1 - dice, (P, h, w) logits and targets in 0..1 -> (P,).

    Sums are divided by ``scale`` before ``eps`` is added, as in the official ``evf_sam.py``.
    """
    probabilities, targets = mask_logits.sigmoid().flatten(1), targets.flatten(1)
    overlap = 2 * (probabilities / scale * targets).sum(-1)
    return 1 - (overlap + eps) / ((probabilities / scale).sum(-1) + (targets / scale).sum(-1) + eps)


def mask_losses(decoded: MaskLogits, targets: torch.Tensor) -> dict[str, torch.Tensor]:
    """All losses of P decoded masks.

    Args:
        decoded: low-resolution logits (P, h, w) and scores.
        targets: float (P, h, w), share of each cell that is covered, 0..1; all zero where nothing is meant.

    Returns scalar tensors by name; ``loss`` is what to minimise. Dice counts where there is something to find:
    on an empty target its gradient would say the same for any mask. Predicted IoU learns with a small weight: it
    judges the mask, it should not bend it. Presence gets more, because whether something is there has to come out
    of the words and the picture, and an empty target's BCE alone hardly taught it.
    A segmenter without that output (SAM) says it with the mask itself (:func:`presence_logits`).
    """
    logits = decoded.low_res_masks.float()
    present = (targets.flatten(1).amax(1) > 0.5).float()
    losses = {
        "bce": bce_loss(logits, targets).mean(),
        "dice": (dice_loss(logits, targets) * present).sum() / present.sum().clamp(min=1),
    }
    with torch.no_grad():
        predicted, wanted = logits > 0, targets > 0.5
        union = (predicted | wanted).flatten(1).sum(1)
        iou = (predicted & wanted).flatten(1).sum(1) / union.clamp(min=1)
        iou = torch.where(union == 0, 1.0, iou)  # an empty mask where nothing is meant is right
    losses["iou_head"] = F.mse_loss(decoded.iou_predictions.float(), iou)
    losses["loss"] = losses["bce"] + losses["dice"] + IOU_HEAD_WEIGHT * losses["iou_head"]
    losses["presence"] = F.binary_cross_entropy_with_logits(presence_logits(decoded), present)
    losses["loss"] = losses["loss"] + PRESENCE_WEIGHT * losses["presence"]
    losses["iou"] = (iou * present).sum() / present.sum().clamp(min=1)
    return losses
