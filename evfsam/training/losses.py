"""The paper's losses (section 4.1: BCE and dice, weights 1 and 1), and more: two small ones for the segmenter's scores,
and one that keeps the answers of the checkpoint that is continued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

from evfsam.processing.masks import restore
from evfsam.refine.rejection import presence_logits
from evfsam.training.config import MASK_LOSSES
from evfsam.types import Geometry, ImageFeatures, MaskLogits

MASKS_KEPT_WEIGHT = 4.0  # against shares of a variance: a mask's mean surprise, in nats per pixel, is a small number
Answers = tuple[torch.Tensor, ImageFeatures, MaskLogits]  # prompt tokens (P, 1, out_dim), of B images, of P prompts


def bce_loss(mask_logits: torch.Tensor, targets: torch.Tensor, counted: torch.Tensor | None = None) -> torch.Tensor:
    """Binary cross-entropy, mean over pixels, (P, h, w) logits and targets in 0..1 -> (P,).

    Args:
        counted: (P, h, w), 0..1, the weight of each pixel; None to count all.
    """
    losses = F.binary_cross_entropy_with_logits(mask_logits, targets, reduction="none").flatten(1)
    if counted is None:
        return losses.mean(1)
    counted = counted.flatten(1)
    return (losses * counted).sum(1) / counted.sum(1).clamp(min=1)


def dice_loss(
    mask_logits: torch.Tensor,
    targets: torch.Tensor,
    counted: torch.Tensor | None = None,
    scale: float = 1000.0,
    eps: float = 1e-6,
) -> torch.Tensor:
    """1 - dice, (P, h, w) logits and targets in 0..1 -> (P,). ``counted`` as in :func:`bce_loss`.

    Sums are divided by ``scale`` before ``eps`` is added, as in the official ``evf_sam.py``.
    """
    probabilities, targets = mask_logits.sigmoid().flatten(1), targets.flatten(1)
    if counted is not None:
        probabilities, targets = probabilities * counted.flatten(1), targets * counted.flatten(1)
    overlap = 2 * (probabilities / scale * targets).sum(-1)
    return 1 - (overlap + eps) / ((probabilities / scale).sum(-1) + (targets / scale).sum(-1) + eps)


def mask_losses(
    decoded: MaskLogits,
    targets: torch.Tensor,
    weights: Mapping[str, float] = MASK_LOSSES,
    ignored: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """All losses of P decoded masks.

    Args:
        decoded: low-resolution logits (P, h, w) and scores.
        targets: float (P, h, w), share of each cell that is covered, 0..1; all zero where the prompt names nothing.
        weights: of "bce", "dice", "iou_head" and "presence" in ``loss``; a name that is missing has no weight.
        ignored: float (P, h, w), share of each cell that does not count; None to count all.

    Returns scalar tensors by name; ``loss`` is the one to minimise, "iou" is no loss. Dice leaves empty targets out:
    there its gradient is the same for any mask. Predicted IoU has a small weight, because it should not change the
    mask. Presence has a larger one, because the BCE of empty targets hardly trains it. SAM has no presence output; its
    presence is read from the mask (:func:`presence_logits`).
    """
    logits = decoded.low_res_masks.float()
    counted = None if ignored is None else 1 - ignored
    present = (targets.flatten(1).amax(1) > 0.5).float()
    bce, dice, iou = mask_terms(logits, targets, counted)
    losses = {"bce": bce.mean(), "dice": (dice * present).sum() / present.sum().clamp(min=1)}
    losses["iou_head"] = F.mse_loss(decoded.iou_predictions.float(), iou)
    losses["presence"] = F.binary_cross_entropy_with_logits(presence_logits(decoded), present)
    losses["loss"] = sum(weight * losses[name] for name, weight in weights.items())
    losses["iou"] = (iou * present).sum() / present.sum().clamp(min=1)
    return losses


def full_size_losses(
    decoded: MaskLogits,
    image_of_row: torch.Tensor,
    masks: Sequence[torch.Tensor],
    geometry: Sequence[Geometry],
    weights: Mapping[str, float],
) -> dict[str, torch.Tensor]:
    """ "bce", "dice" and "iou" at the size of each image, mean over masks, as the official ``evf_sam.py`` has them.

    Args:
        decoded: P masks.
        image_of_row: int64 (P,), the image of each.
        masks: of each image bool (2, p, H, W), the truth and the ignored pixels.
        geometry: of each image.
        weights: of "bce" and "dice" in ``loss``.
    """
    terms = []
    for number, (truth, ignored) in enumerate(masks):
        logits = restore(decoded.low_res_masks[image_of_row == number], geometry[number])
        terms.append(torch.stack(mask_terms(logits, truth.float(), (~ignored).float())))
    losses = dict(zip(("bce", "dice", "iou"), torch.cat(terms, 1).mean(1), strict=True))
    return losses | {"loss": sum(weight * losses[name] for name, weight in weights.items())}


def mask_terms(logits: torch.Tensor, targets: torch.Tensor, counted: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """BCE, dice loss and IoU of P masks, (P,) each; the IoU without gradients."""
    with torch.no_grad():
        predicted, wanted = logits > 0, targets > 0.5
        if counted is not None:
            predicted, wanted = predicted & (counted > 0.5), wanted & (counted > 0.5)
        union = (predicted | wanted).flatten(1).sum(1)
        iou = (predicted & wanted).flatten(1).sum(1) / union.clamp(min=1)
        iou = torch.where(union == 0, 1.0, iou)  # an empty mask is right where the prompt names nothing
    return bce_loss(logits, targets, counted), dice_loss(logits, targets, counted), iou


def kept_loss(words, now: Answers, before: Answers) -> torch.Tensor:
    """How far a model's answers on known images are from those of the checkpoint that it continues.

    Compares prompt tokens, image features, masks and presence (Li and Hoiem, Learning without Forgetting,
    arXiv 1606.09282). They hold much more of what the checkpoint learned than the labels of one step do.

    Args:
        words: a ``PhraseBatch``; images that are not ``known`` do not count.
    """
    (tokens, features, decoded), (tokens_before, features_before, decoded_before) = now, before
    image, row = words.known.float(), words.known.float()[words.image_of_row]
    levels = (features.image_embeddings, *features.high_res_features)
    levels_before = (features_before.image_embeddings, *features_before.high_res_features)
    masks, masks_before = decoded.low_res_masks.float(), decoded_before.low_res_masks.float()
    wanted = masks_before.sigmoid()
    surprise = bce_loss(masks, wanted) - bce_loss(masks_before, wanted)
    presence, presence_before = (presence_logits(each).float().sigmoid() for each in (decoded, decoded_before))
    return (
        (row * _unexplained(tokens, tokens_before)).mean()
        + sum((image * _unexplained(own, of)).mean() for own, of in zip(levels, levels_before, strict=True))
        + MASKS_KEPT_WEIGHT * (row * surprise).mean()
        + (row * (presence - presence_before).square()).mean()
    )


def _unexplained(own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """(N, ...) and (N, ...) -> (N,): mean squared difference, divided by the variance of ``wanted``."""
    wanted = wanted.float()
    return (own.float() - wanted).square().flatten(1).mean(1) / wanted.var()
