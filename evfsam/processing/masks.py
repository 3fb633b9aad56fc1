"""Mask logits <-> pixels of the original picture, the one way back; and whether there is anything at all."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from evfsam.types import Geometry, MaskLogits

LEAST_IOU = 0.3  # a predicted IoU below it is hardly a prediction
SURE_SHARE = 0.01  # of a mask's cells: the ones it is most sure of
STRAY_SHARE = 0.3  # of the heaviest piece of a mask: what weighs less is astray; chosen on validation scenes
FAINT_SHARE, SURE_LOGIT = 0.05, 2.0  # what weighs less and is nowhere as sure is hardly one more of a kind; likewise


def presence_logits(masks: MaskLogits) -> torch.Tensor:
    """(P,) logits that a prompt names anything at all: SAM-2's own output for it.

    A segmenter without one says it with the mask: the mean of the logits that it is most sure of. Training here teaches
    SAM that (``evfsam.training.losses``), nobody else's does.
    """
    if masks.object_score_logits is not None:
        return masks.object_score_logits.float()
    cells = masks.low_res_masks.float().flatten(1)
    return cells.topk(max(1, int(SURE_SHARE * cells.shape[1])), dim=1).values.mean(1)


def surest_points(low_res_masks: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """The middle of what each mask is surest of, where a person would click on it.

    Args:
        low_res_masks: (P, h, w) logits.
        geometry: of the picture; what pads it is left out.

    Returns float32 (P, 1, 2), x and y in pixels of the segmenter's square: of the connected piece with the highest
    logit the point farthest from any edge; the place of the highest logit itself where that is outside the mask.
    """
    cell = geometry.input_size_hw[0] / low_res_masks.shape[-2]
    height, width = (max(1, int(side / cell)) for side in geometry.resized_size_hw)
    points = []
    for logits in low_res_masks[:, :height, :width].detach().float().cpu().numpy():
        smooth = cv2.GaussianBlur(logits, (0, 0), 1.0)  # one cell by itself is noise
        y, x = np.unravel_index(smooth.argmax(), smooth.shape)
        _, pieces = cv2.connectedComponents((logits > 0).astype(np.uint8))
        if logits[y, x] > 0:
            piece = np.pad((pieces == pieces[y, x]).astype(np.uint8), 1)
            depth = cv2.distanceTransform(piece, cv2.DIST_L2, 5)[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), depth.shape)
        points.append([[(x + 0.5) * cell, (y + 0.5) * cell]])
    return torch.tensor(points, dtype=torch.float32).reshape(len(points), 1, 2)


def worth_including(iou_predictions: torch.Tensor) -> torch.Tensor:
    """How far logits are to be raised for masks of the best expected IoU: (P,) predicted IoU -> float32 (P,), >= 0.

    The best threshold on a probability is half of the Dice that it leads to (Lipton et al., arXiv 1402.1892). For an
    IoU of s that is s / (1 + s), whose logit is log s: one half for a mask that will be right, less for a doubtful one.
    """
    return -iou_predictions.float().clamp(LEAST_IOU, 1.0).log()


def without_strays(mask_logits: np.ndarray) -> np.ndarray:
    """The mask of one thing without what is apart from it: pieces of its neighbours, specks.

    A piece weighs the sum of its logits. One that weighs less than :data:`STRAY_SHARE` of the heaviest goes, with all
    that is nearer to it than to a piece that stays, so that its rim does not come back at a lower threshold. A thing
    that something in front of it cuts in two keeps both halves if they are alike.

    Args:
        mask_logits: float32 (H, W).

    Returns the same array if nothing is astray; else a new one, lower where something was, by twice the highest logit.
    """
    return _keep(lambda pieces, weights: weights >= STRAY_SHARE * weights.max(), mask_logits)


def without_faint(mask_logits: np.ndarray) -> np.ndarray:
    """The mask of all of a kind without pieces that are both light and nowhere sure.

    A piece stays if it weighs :data:`FAINT_SHARE` of the heaviest, or if its highest logit reaches :data:`SURE_LOGIT`:
    so does a weak edge that is connected to a strong one (Canny, A computational approach to edge detection, 1986).
    Arguments, weights, what goes with a piece and what is returned are those of :func:`without_strays`.
    """

    def heavy_or_sure(pieces: np.ndarray, weights: np.ndarray) -> np.ndarray:
        stay = weights >= FAINT_SHARE * weights.max()
        stay[pieces[mask_logits >= SURE_LOGIT]] = True
        return stay

    return _keep(heavy_or_sure, mask_logits)


def _keep(which: Callable[[np.ndarray, np.ndarray], np.ndarray], mask_logits: np.ndarray) -> np.ndarray:
    """Logits (H, W) without all but some connected pieces of their mask, lower where something was.

    ``which`` is told the number of each pixel's piece, int32 (H, W), 0 outside, and the sum of logits by number, 0 for
    the outside; it says by number what stays.
    """
    count, pieces = cv2.connectedComponents((mask_logits > 0).astype(np.uint8))
    if count <= 2:  # the outside and one piece
        return mask_logits
    weights = np.bincount(pieces.ravel(), mask_logits.ravel())
    weights[0] = 0
    kept = which(pieces, weights)
    gone = ~kept & (weights > 0)
    if not gone.any():
        return mask_logits
    nearer_to_gone = _distances(gone[pieces]) < _distances(kept[pieces])
    return np.where(nearer_to_gone, mask_logits - 2 * mask_logits.max(), mask_logits)


def _distances(mask: np.ndarray) -> np.ndarray:
    """Of each pixel to the nearest one of a mask, bool (H, W) -> float32 (H, W)."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)


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
