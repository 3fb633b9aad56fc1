"""How well masks of images match their truth: gIoU, cIoU, precision at IoU thresholds, and the gRefCOCO accuracies.

Definitions are those of RefCOCO and gRefCOCO (arXiv 2306.00968, section 5): a target may be empty. Ref-ZOM's oIoU and
mIoU (arXiv 2308.16632) leave prompts with an empty target out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import numpy as np

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Counts:
    """Pixels of one predicted mask and its target. From these every score of images follows.

    Attributes:
        intersection: pixels in both.
        union: pixels in either.
        predicted: pixels of the predicted mask.
        target: pixels of the target.
    """

    intersection: int
    union: int
    predicted: int
    target: int

    @property
    def iou(self) -> float:
        """0..1; 1 where both masks are empty."""
        return self.intersection / self.union if self.union else 1.0


def count_pixels(predicted: np.ndarray, target: np.ndarray, ignore: np.ndarray | None = None) -> Counts:
    """Compare two masks, bool (H, W), outside of the pixels to ignore, bool (H, W).

    Raises ValueError if the shapes differ.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"masks of different shapes: {predicted.shape} and {target.shape}")
    if ignore is not None:
        predicted, target = predicted & ~ignore, target & ~ignore
    intersection = int(np.count_nonzero(predicted & target))
    predicted_px, target_px = int(np.count_nonzero(predicted)), int(np.count_nonzero(target))
    return Counts(intersection, predicted_px + target_px - intersection, predicted_px, target_px)


def count_as_reference(predicted: np.ndarray, target: np.ndarray, overlap: np.ndarray | None = None) -> Counts:
    """The counts of the authors' ``eval.py`` (hustvl/EVF-SAM 9935dc5).

    It adds the polygons of an annotation instead of joining them. Pixels that several polygons cover get a value
    above 1, which is neither target nor intersection. A prediction there still counts in the union.

    Args:
        predicted: bool (H, W).
        target: bool (H, W).
        overlap: bool (H, W), the pixels that several polygons cover; None for none.
    """
    return count_pixels(predicted, target if overlap is None else target & ~overlap)


@dataclass(frozen=True)
class MaskScores:
    """What :meth:`MaskMetrics.compute` returns. All values are 0..1, NaN where nothing was measured.

    Attributes:
        prompts: how many masks were compared.
        absent: how many of them have an empty target.
        giou: mean IoU. An empty target counts 1 if it was answered by an empty mask, else 0.
        ciou: all intersections over all unions, so that large objects weigh more.
        miou: mean IoU of prompts whose target is not empty.
        oiou: all intersections over all unions of these.
        precision: for each of :data:`THRESHOLDS` the share of these with at least that IoU.
        n_acc: share of empty targets that were answered by an empty mask.
        t_acc: share of the other targets that were answered by a mask that is not empty.
    """

    prompts: int
    absent: int
    giou: float
    ciou: float
    miou: float
    oiou: float
    precision: tuple[float, ...]
    n_acc: float
    t_acc: float


@dataclass
class MaskMetrics:
    """Sums over compared masks: update, merge, compute."""

    prompts: int = 0
    absent: int = 0
    iou_sum: float = 0.0
    absent_iou_sum: float = 0.0
    intersection: int = 0
    union: int = 0
    absent_union: int = 0
    answered: int = 0
    absent_rejected: int = 0
    reached: list[int] = field(default_factory=lambda: [0] * len(THRESHOLDS))

    def update(self, counts: Counts) -> None:
        """Add one comparison."""
        self.prompts += 1
        self.iou_sum += counts.iou
        self.intersection += counts.intersection
        self.union += counts.union
        if counts.target:
            self.answered += counts.predicted > 0
            self.reached = [n + (counts.iou >= t) for n, t in zip(self.reached, THRESHOLDS, strict=True)]
        else:
            self.absent += 1
            self.absent_iou_sum += counts.iou
            self.absent_union += counts.union
            self.absent_rejected += counts.predicted == 0

    def merge(self, other: MaskMetrics) -> None:
        """Add the sums of another part of the data."""
        for f in fields(self):
            mine, others = getattr(self, f.name), getattr(other, f.name)
            joined = [a + b for a, b in zip(mine, others, strict=True)] if f.name == "reached" else mine + others
            setattr(self, f.name, joined)

    def compute(self) -> MaskScores:
        """The scores of all comparisons so far."""
        present = self.prompts - self.absent
        return MaskScores(
            prompts=self.prompts,
            absent=self.absent,
            giou=ratio(self.iou_sum, self.prompts),
            ciou=1.0 if self.prompts and not self.union else ratio(self.intersection, self.union),
            miou=ratio(self.iou_sum - self.absent_iou_sum, present),
            oiou=ratio(self.intersection, self.union - self.absent_union),
            precision=tuple(ratio(n, present) for n in self.reached),
            n_acc=ratio(self.absent_rejected, self.absent),
            t_acc=ratio(self.answered, present),
        )


def ratio(part: float, whole: float) -> float:
    """NaN for a whole of 0."""
    return part / whole if whole else math.nan
