"""Several masks -> at most one label per pixel: the highest logit wins."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from evfsam.media.palette import colour_of
from evfsam.types import Segmentation
from evfsam.ui.kept import UNLABELLED, KeptMask, LabelMap


class Settler:
    """Gives every pixel to the category with the highest logit above 0. Takes one category at a time, at most 255."""

    def __init__(self, size_hw: tuple[int, int]):
        self._labels = np.full(size_hw, UNLABELLED, np.uint8)
        self._best = np.zeros(size_hw, np.float32)
        self._contested = np.zeros(size_hw, bool)
        self._heads: list[tuple[Segmentation, float]] = []

    def add(self, found: Segmentation) -> None:
        """The next category."""
        mask, logits = found.mask, found.mask_logits
        wins = logits > self._best
        self._contested |= mask & (self._labels != UNLABELLED)
        self._labels[wins] = len(self._heads)
        np.maximum(self._best, logits, out=self._best)
        self._heads.append((replace(found, mask_logits=np.zeros((0, 0), np.float32)), float(mask.mean())))

    def settled(self) -> LabelMap:
        """What each category kept."""
        masks, lost = [], []
        for index, (head, claimed) in enumerate(self._heads):
            kept = self._labels == index
            masks.append(_kept(head, kept))
            lost.append(claimed - float(kept.mean()))
        contested = _kept(Segmentation("", np.zeros((0, 0)), 0.0), self._contested)
        return LabelMap(tuple(masks), contested, tuple(lost), float((self._labels != UNLABELLED).mean()))


def _kept(head: Segmentation, mask: np.ndarray) -> KeptMask:
    return KeptMask.of(replace(head, mask_logits=mask), (0.5,))


def labels_png(labels: np.ndarray) -> bytes:
    """uint8 (H, W) -> a lossless PNG whose pixel values are the labels, shown in the palette's colours."""
    drawn = Image.fromarray(labels).convert("P")
    drawn.putpalette(b"".join(bytes(colour_of(i)) for i in range(UNLABELLED)) + b"\0\0\0")
    buffer = io.BytesIO()
    drawn.save(buffer, "png")
    return buffer.getvalue()
