"""How well masks match: gIoU, cIoU and the two accuracies of answers to phrases that name nothing.

The conventions are those of RefCOCO and gRefCOCO (arXiv 2306.00968, section 5): a target may be empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class MaskScores:
    """What :meth:`MaskMetrics.compute` gives; all in 0..1, NaN where nothing was there to measure it on.

    Attributes:
        giou: mean over samples of the IoU; an empty target counts 1 if answered by an empty mask, else 0.
        ciou: sum of all intersections over sum of all unions, so that large things weigh more.
        absent_answered_empty: share of the empty targets answered by an empty mask (gRefCOCO's N-acc.).
        present_denied: share of the other targets answered by an empty mask (1 - T-acc.).
        samples: how many pairs were compared.
    """

    giou: float
    ciou: float
    absent_answered_empty: float
    present_denied: float
    samples: int


@dataclass
class MaskMetrics:
    """Sums over pairs of masks, from which the scores follow: update, merge, compute."""

    samples: int = 0
    iou_sum: float = 0.0
    intersection_px: int = 0
    union_px: int = 0
    absent: int = 0
    absent_answered_empty: int = 0
    present_denied: int = 0

    def update(self, predicted: np.ndarray, target: np.ndarray) -> float:
        """Add one pair of masks, bool (H, W) each; returns its share in gIoU.

        Raises ValueError if the shapes differ.
        """
        if predicted.shape != target.shape:
            raise ValueError(f"masks of different shapes: {predicted.shape} and {target.shape}")
        intersection = int(np.count_nonzero(predicted & target))
        union = int(np.count_nonzero(predicted | target))
        iou = intersection / union if union else 1.0  # only where nothing was there and nothing claimed
        absent, answered_empty = not target.any(), not predicted.any()
        self.samples += 1
        self.iou_sum += iou
        self.intersection_px += intersection
        self.union_px += union
        self.absent += absent
        self.absent_answered_empty += absent and answered_empty
        self.present_denied += answered_empty and not absent
        return iou

    def merge(self, other: MaskMetrics) -> None:
        """Add the sums of another part of the data."""
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))

    def compute(self) -> MaskScores:
        ciou = _ratio(self.intersection_px, self.union_px)
        if self.samples and not self.union_px:
            ciou = 1.0  # nothing there and nothing claimed, however often
        return MaskScores(
            giou=_ratio(self.iou_sum, self.samples),
            ciou=ciou,
            absent_answered_empty=_ratio(self.absent_answered_empty, self.absent),
            present_denied=_ratio(self.present_denied, self.samples - self.absent),
            samples=self.samples,
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
