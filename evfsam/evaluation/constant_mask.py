"""The constant-mask baseline: no model at all, the best mask that is the same for every image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from evfsam.data.sample import Dataset, Sample
from evfsam.evaluation.answerers import Masks

SIZE_HW = (64, 64)
OFTEN = 10  # samples from which on a text gets a mask of its own
MOST_SAMPLES = 1000


@dataclass(frozen=True)
class MeanMask:
    """A constant answer: where the mean of many masks, float32 (h, w) in 0..1, exceeds a threshold."""

    mean: np.ndarray
    threshold: float

    def at(self, size_hw: tuple[int, int]) -> np.ndarray:
        """bool (H, W)."""
        height, width = size_hw
        return cv2.resize(self.mean, (width, height), interpolation=cv2.INTER_LINEAR) > self.threshold


@dataclass(frozen=True)
class ConstantMasks:
    """Answers with the mean mask of the text if it was seen often ("[semantic] sky"), else with that of its kind.

    ``masks``: (kind, text) -> its mean mask; the text is empty for the kind as a whole.
    """

    masks: dict[tuple[str, str], MeanMask]

    def __call__(self, sample: Sample, other: Callable) -> Masks:
        found = [self.masks.get((p.kind, p.text)) or self.masks.get((p.kind, "")) for p in sample.prompts]
        return [mean and mean.at(sample.image.shape[:2]) for mean in found]


def fit_constant_masks(dataset: Dataset) -> ConstantMasks:
    """Fit on samples that are not evaluated: at most :data:`MOST_SAMPLES`, evenly spread over the data set."""
    targets: dict[tuple[str, str], list[np.ndarray]] = {}
    step = max(1, len(dataset) // MOST_SAMPLES)
    for index in range(0, len(dataset), step):
        for prompt in dataset[index].prompts:
            small = cv2.resize(prompt.mask.astype(np.uint8), SIZE_HW[::-1], interpolation=cv2.INTER_NEAREST) > 0
            targets.setdefault((prompt.kind, prompt.text), []).append(small)
            targets.setdefault((prompt.kind, ""), []).append(small)
    return ConstantMasks(
        {
            (kind, text): fit_mean_mask(np.stack(masks))
            for (kind, text), masks in targets.items()
            if not text or len(masks) >= OFTEN
        }
    )


def fit_mean_mask(targets: np.ndarray) -> MeanMask:
    """The threshold with the highest gIoU on these masks, bool (N, h, w). A threshold of 1 is the empty answer."""
    mean = targets.mean(0, dtype=np.float32)
    thresholds = (*np.arange(0.0, 1.0, 0.05), 1.0)
    return MeanMask(mean, max(thresholds, key=lambda threshold: _giou(mean > threshold, targets)))


def _giou(constant: np.ndarray, targets: np.ndarray) -> float:
    union = (targets | constant).sum((1, 2))
    return float(np.where(union, (targets & constant).sum((1, 2)) / np.maximum(union, 1), 1.0).mean())
