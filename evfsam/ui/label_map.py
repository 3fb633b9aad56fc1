"""Several masks -> one label a pixel, the highest logit winning, and what was settled so."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from evfsam.media.palette import colour_of
from evfsam.types import Segmentation

UNLABELLED = 255


@dataclass(frozen=True, eq=False)
class LabelMap:
    """One label a pixel.

    Attributes:
        labels: uint8 (H, W), the index of the segmentation, ``UNLABELLED`` where none claims the pixel.
        contested: bool (H, W), where more than one did.
        lost: for each segmentation, the share of the picture that another one took from it, 0..1.
    """

    labels: np.ndarray
    contested: np.ndarray
    lost: tuple[float, ...]

    def mask(self, index: int) -> np.ndarray:
        """bool (H, W): what is left to a segmentation."""
        return self.labels == index

    @property
    def covered(self) -> float:
        """Share of the picture with a label, 0..1."""
        return float((self.labels != UNLABELLED).mean())


def settle(segmentations: Sequence[Segmentation]) -> LabelMap:
    """Give every pixel to the segmentation with the highest logit above 0; at most 255 of them."""
    size_hw = segmentations[0].mask_logits.shape
    labels = np.full(size_hw, UNLABELLED, np.uint8)
    best = np.zeros(size_hw, np.float32)
    claims = np.zeros(size_hw, np.uint8)
    for index, segmentation in enumerate(segmentations):  # one at a time: logits of a photograph are large
        claims += segmentation.mask
        wins = segmentation.mask & (segmentation.mask_logits > best)
        labels[wins] = index
        best[wins] = segmentation.mask_logits[wins]
    lost = tuple(float((s.mask & (labels != i)).mean()) for i, s in enumerate(segmentations))
    return LabelMap(labels, claims > 1, lost)


def labels_png(labels: np.ndarray) -> bytes:
    """uint8 (H, W) -> a lossless PNG whose pixel values are the labels, shown in the palette's colours."""
    picture = Image.fromarray(labels).convert("P")
    picture.putpalette(b"".join(bytes(colour_of(i)) for i in range(UNLABELLED)) + b"\0\0\0")
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def exclusive(segmentations: Sequence[Segmentation], settled: LabelMap) -> list[Segmentation]:
    """The segmentations with only the pixels that they kept."""
    kept = []
    for i, segmentation in enumerate(segmentations):
        logits = np.where(settled.mask(i), segmentation.mask_logits, np.minimum(segmentation.mask_logits, 0))
        kept.append(replace(segmentation, mask_logits=logits))
    return kept
