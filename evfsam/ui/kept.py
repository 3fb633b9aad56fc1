"""Answers as a session keeps them: compressed, and exact at every position of the threshold slider."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from evfsam.media.images import open_image
from evfsam.types import Segmentation, SpatialPrompt

LOWEST, HIGHEST, STEP = 0.05, 0.95, 0.05  # of the threshold slider
THRESHOLDS = tuple(round(LOWEST + STEP * i, 2) for i in range(19))
DEFAULT = 0.5
UNLABELLED = 255  # in a label map
TOO_DETAILED = "This mask has too many details to keep every threshold: it is kept at 0.5."


@dataclass(frozen=True)
class KeptMask:
    """One prompt's answer on one image, compressed.

    Attributes:
        prompt, score, presence, warnings: as in :class:`~evfsam.types.Segmentation`.
        size_hw: (height, width) in pixels.
        thresholds: probabilities at which the mask is exact, ascending.
        levels: uint8 (H, W), compressed by zlib: how many of the thresholds the pixel's probability is above.
        things: the things that the mask was taken apart into, if it was.
    """

    prompt: str
    score: float
    presence: float | None
    warnings: tuple[str, ...]
    size_hw: tuple[int, int]
    thresholds: tuple[float, ...]
    levels: bytes = field(repr=False)
    things: tuple[KeptMask, ...] = ()

    @classmethod
    def of(
        cls, found: Segmentation, thresholds: Sequence[float] = THRESHOLDS, most_bytes: int | None = None
    ) -> KeptMask:
        """Compress an answer; only its mask at 0.5 if more than ``most_bytes`` were needed for all thresholds."""
        levels = np.zeros(found.mask_logits.shape, np.uint8)
        for edge in torch.tensor(thresholds).logit().numpy():
            levels += found.mask_logits > edge
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
        *edges, cut = torch.tensor([*self.thresholds, threshold]).logit().numpy()
        # A value between two thresholds stands for all values between them.
        between = [edges[0] - 1, *((low + high) / 2 for low, high in pairwise(edges)), edges[-1] + 1]
        logits = (np.array(between, np.float32) - cut)[levels]
        return Segmentation(self.prompt, logits, self.score, self.presence, self.warnings)


@dataclass(frozen=True)
class Cut(Sequence):
    """Masks cut at a probability. Each is made when it is taken, at full size."""

    masks: tuple[KeptMask, ...]
    threshold: float

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index: int) -> Segmentation:
        return self.masks[index].at(self.threshold)


@dataclass(frozen=True)
class LabelMap:
    """At most one label per pixel, kept compressed.

    Attributes:
        masks: one per category: the pixels that it kept.
        contested: the pixels that more than one category claimed.
        lost: for each category, the share of the image that another one took from it, 0..1.
        covered: share of the image with a label, 0..1.
    """

    masks: tuple[KeptMask, ...]
    contested: KeptMask
    lost: tuple[float, ...]
    covered: float

    def labels(self) -> np.ndarray:
        """uint8 (H, W): the index of the category, ``UNLABELLED`` where none claims the pixel."""
        labels = np.full(self.contested.size_hw, UNLABELLED, np.uint8)
        for index, mask in enumerate(self.masks):
            labels[mask.at().mask] = index
        return labels


@dataclass(frozen=True)
class Answer:
    """What a session looks at: an image, what was asked of it and what was found.

    The image itself stays in its file; masks are kept compressed.

    Attributes:
        picture_path: the file of the image.
        size_hw: (height, width) of the image in pixels.
        model, device, precision: what answered, and where it ran.
        masks: one per prompt.
        encode_seconds, decode_seconds: an image that was seen before takes next to nothing to encode. Requests
            that were answered together share the encoding and the decoding of their prompts.
        clicks: for each mask, the points and box that refined it, or None.
        asked: how many of the masks the last question was about.
        labels: where every pixel went, if the question was for categories.
        key: the same for all answers that came about by clicks from one question.
    """

    picture_path: str
    size_hw: tuple[int, int]
    model: str
    device: str
    precision: str
    masks: tuple[KeptMask, ...]
    encode_seconds: float
    decode_seconds: float
    clicks: tuple[SpatialPrompt | None, ...] = ()
    asked: int = 0
    labels: LabelMap | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)

    @property
    def image(self) -> np.ndarray:
        """uint8 (H, W, 3), read again from its file. Raises InputError if the file is gone."""
        return open_image(self.picture_path, self.size_hw[0] * self.size_hw[1])

    @property
    def prompts(self) -> list[str]:
        return [mask.prompt for mask in self.masks]

    def at(self, threshold: float = 0.5) -> Iterator[Segmentation]:
        """The masks cut at a probability, one at a time at full size."""
        return (mask.at(threshold) for mask in self.masks)

    def things_at(self, threshold: float = 0.5) -> list[Cut]:
        """The things of each mask, cut at a probability."""
        return [Cut(mask.things, threshold) for mask in self.masks]
