"""Masks as a session keeps them: compressed, and exact at every position of the threshold slider."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evfsam.types import Segmentation

LOWEST, HIGHEST, STEP = 0.05, 0.95, 0.05  # of the threshold slider
THRESHOLDS = tuple(round(LOWEST + STEP * i, 2) for i in range(19))
DEFAULT = 0.5
TOO_DETAILED = "This mask has too many details to keep every threshold: it is kept at 0.5."


def logit(probability: float | np.ndarray) -> np.ndarray:
    """The inverse of the sigmoid, float32."""
    return np.log(np.float32(probability) / (1 - np.float32(probability)))


@dataclass(frozen=True)
class KeptMask:
    """One prompt's answer on one image, compressed.

    Attributes:
        prompt, score, presence, warnings: as in :class:`~evfsam.types.Segmentation`.
        size_hw: (height, width) in pixels.
        thresholds: probabilities at which the mask is exact, ascending.
        levels: uint8 (H, W), compressed by zlib: how many of the thresholds the pixel's probability is above.
    """

    prompt: str
    score: float
    presence: float | None
    warnings: tuple[str, ...]
    size_hw: tuple[int, int]
    thresholds: tuple[float, ...]
    levels: bytes

    @classmethod
    def of(
        cls, found: Segmentation, thresholds: Sequence[float] = THRESHOLDS, most_bytes: int | None = None
    ) -> KeptMask:
        """Compress an answer; only its mask at 0.5 if more than ``most_bytes`` were needed for all thresholds."""
        levels = np.zeros(found.mask_logits.shape, np.uint8)
        for threshold in thresholds:
            levels += found.mask_logits > logit(threshold)
        packed = zlib.compress(levels, 1)
        warnings = found.warnings
        if most_bytes is not None and len(packed) > most_bytes and len(thresholds) > 1:
            thresholds, warnings = (DEFAULT,), (*warnings, TOO_DETAILED)
            packed = zlib.compress(found.mask.view(np.uint8), 1)
        return cls(
            found.prompt, found.score, found.presence, warnings, levels.shape, tuple(map(float, thresholds)), packed
        )

    def at(self, threshold: float = DEFAULT) -> Segmentation:
        """The answer with its mask cut at ``threshold``, at full size: take one at a time from large images."""
        levels = np.frombuffer(zlib.decompress(self.levels), np.uint8).reshape(self.size_hw)
        edges = logit(np.array(self.thresholds))
        # A value between two thresholds stands for all values between them.
        between = np.concatenate([edges[:1] - 1, (edges[:-1] + edges[1:]) / 2, edges[-1:] + 1]) - logit(threshold)
        return Segmentation(self.prompt, between.astype(np.float32)[levels], self.score, self.presence, self.warnings)
