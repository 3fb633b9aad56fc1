"""Frozen dataclasses that cross a layer: what goes into the model, what comes out, and what the user gets.

Sizes are always (height, width) in pixels; boxes are (x_min, y_min, x_max, y_max) in pixels of the original
picture, the right and lower edges exclusive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # numpy at the door, torch inside: readers of results need no torch
    import torch


@dataclass(frozen=True)
class PixelSpec:
    """How a picture becomes the two tensors a checkpoint reads.

    The segmenter's picture is either stretched to a square (SAM-2, EfficientSAM) or resized by its longest
    side and padded at the right and bottom after normalising (SAM); the encoder's copy is always stretched
    (official ``inference.py``: ``sam_preprocess``, ``beit3_preprocess``).
    """

    image_size: int
    keep_aspect_ratio: bool
    encoder_image_size: int = 224
    # ImageNet statistics in 0..255, as SAM keeps them.
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Geometry:
    """What is needed to bring masks back to the picture they came from."""

    original_size_hw: tuple[int, int]
    resized_size_hw: tuple[int, int]  # the picture inside the segmenter's square, before padding
    input_size_hw: tuple[int, int]  # the segmenter's square


@dataclass(frozen=True)
class ModelInput:
    """One picture, prepared for a checkpoint.

    Attributes:
        segmenter_pixels: float32 (1, 3, image_size, image_size), normalised.
        encoder_pixels: float32 (1, 3, encoder_image_size, encoder_image_size) in -1..1.
        geometry: the way back.
    """

    segmenter_pixels: torch.Tensor
    encoder_pixels: torch.Tensor
    geometry: Geometry


@dataclass(frozen=True)
class ImageFeatures:
    """The segmenter's view of B pictures; several prompts share one of them.

    Attributes:
        image_embeddings: (B, C, h, w), stride 16.
        high_res_features: SAM-2 only: (B, C/8, 4h, 4w) and (B, C/4, 2h, 2w), after the decoder's 1 x 1
            convolutions; empty for the others.
    """

    image_embeddings: torch.Tensor
    high_res_features: tuple[torch.Tensor, ...] = ()

    def __len__(self) -> int:
        return self.image_embeddings.shape[0]

    def float(self) -> ImageFeatures:
        """The same in float32."""
        return ImageFeatures(self.image_embeddings.float(), tuple(level.float() for level in self.high_res_features))

    def select(self, image_index: torch.Tensor) -> ImageFeatures:
        """The features of the pictures at ``image_index`` (int64, (P,)), one row a prompt."""
        return ImageFeatures(
            self.image_embeddings[image_index], tuple(level[image_index] for level in self.high_res_features)
        )


@dataclass(frozen=True)
class MaskLogits:
    """What the decoder says of P prompts.

    Attributes:
        low_res_masks: (P, h, w) logits at stride 4 of the segmenter's square; above 0 is inside.
        iou_predictions: (P,) the decoder's own estimate of the mask's IoU, around 0..1.
        object_score_logits: (P,) SAM-2's estimate that there is anything to mask at all; None elsewhere.
        mask_tokens: (P, C) SAM-2's output token of the chosen mask, from which a tracker makes its object
            pointer; None elsewhere.
    """

    low_res_masks: torch.Tensor
    iou_predictions: torch.Tensor
    object_score_logits: torch.Tensor | None = None
    mask_tokens: torch.Tensor | None = None

    def row(self, i: int) -> MaskLogits:
        """Prompt ``i`` alone, still as a batch (of one)."""
        parts = (self.low_res_masks, self.iou_predictions, self.object_score_logits, self.mask_tokens)
        return MaskLogits(*(None if part is None else part[i : i + 1] for part in parts))


@dataclass(frozen=True)
class Clicks:
    """Points and a box set by hand, in pixels of the original picture; either may be absent.

    Attributes:
        points_xy: float (N, 2).
        labels: int (N,), 1 inside the object, 0 outside of it.
        box_xyxy: (x_min, y_min, x_max, y_max).
    """

    points_xy: np.ndarray | None = None
    labels: np.ndarray | None = None
    box_xyxy: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Segmentation:
    """One prompt's answer on one picture.

    Attributes:
        prompt: the phrase as the user wrote it.
        mask_logits: float32 (H, W) at the picture's own size, above 0 inside; how sure, but for a shift where a
            checkpoint asks for masks of the best expected IoU (``Predictor.to_pixels``).
        score: the decoder's predicted IoU, 0..1.
        presence: the probability that the thing is there at all, 0..1: SAM-2's own output, or what a mask trained for
            it says; None from other segmenters. The published weights were never trained for it on phrases.
        warnings: sentences for the user: an unknown word, a prefix this checkpoint was not trained for.
    """

    prompt: str
    mask_logits: np.ndarray
    score: float
    presence: float | None = None
    warnings: tuple[str, ...] = ()

    @cached_property
    def mask(self) -> np.ndarray:
        """bool (H, W): where the logits are above 0."""
        return self.mask_logits > 0

    def mask_at(self, threshold: float) -> np.ndarray:
        """bool (H, W): where the probability is above ``threshold``, strictly between 0 and 1."""
        return self.mask_logits > np.log(threshold / (1 - threshold))

    @cached_property
    def area_fraction(self) -> float:
        """Share of the picture that is masked, 0..1."""
        return float(self.mask.mean())

    @cached_property
    def box_xyxy(self) -> tuple[int, int, int, int] | None:
        """The mask's bounding box; None if the mask is empty."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        if not len(rows):
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class VideoPrompt:
    """What to follow, said on one frame of a clip: by words, by hand, or both.

    The first prompt of an object names it and starts its track; later ones correct it.

    Attributes:
        object_id: which object; any integer.
        phrase: words; may be empty where there are clicks.
        frame_index: the frame the words and clicks speak of, counted from the clip's first.
        clicks: points and a box in pixels of that frame.
    """

    object_id: int
    phrase: str = ""
    frame_index: int = 0
    clicks: Clicks | None = None


@dataclass(frozen=True, kw_only=True)
class TrackedObject(Segmentation):
    """One object on one frame; ``prompt`` is the phrase that named it.

    Attributes:
        object_id: as in the :class:`VideoPrompt` that started it.
        visible: False where the object is hidden, out of the picture or lost; then the mask is empty.
    """

    object_id: int

    @cached_property
    def visible(self) -> bool:
        return bool(self.mask.any())


@dataclass(frozen=True)
class TrackedFrame:
    """One frame of a clip with every object that is being followed there.

    Attributes:
        index: counted from the clip's first frame.
        image: uint8 (H, W, 3).
        objects: in the order in which they were first prompted.
    """

    index: int
    image: np.ndarray
    objects: tuple[TrackedObject, ...]
