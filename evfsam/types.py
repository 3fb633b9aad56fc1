"""Frozen dataclasses for prompts, model inputs, model outputs and results.

Sizes are always (height, width) in pixels. Boxes are (x_min, y_min, x_max, y_max) in pixels of the original image; the
right and lower edges are exclusive.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from evfsam.geometry import box_of

if TYPE_CHECKING:  # numpy outside, torch inside: readers of results need no torch
    from collections.abc import Sequence

    import torch


@dataclass(frozen=True)
class PixelSpec:
    """How an image becomes the two tensors that a checkpoint reads (official ``inference.py``).

    The segmenter's copy is stretched to a square (SAM-2, EfficientSAM), or resized by its longest side, normalised and
    padded at the right and bottom (SAM). The encoder's copy is always stretched to a square.

    Attributes:
        image_size: side of the segmenter's square, in pixels.
        keep_aspect_ratio: True for SAM.
        encoder_image_size: side of the encoder's square, in pixels.
        mean, std: of the red, green and blue channel.
    """

    image_size: int
    keep_aspect_ratio: bool
    encoder_image_size: int = 224
    # ImageNet statistics for values in 0..255, as in SAM.
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Geometry:
    """Sizes of an image before and after preparation, to restore masks to the original size."""

    original_size_hw: tuple[int, int]
    resized_size_hw: tuple[int, int]  # the image inside the segmenter's square, before padding
    input_size_hw: tuple[int, int]  # the segmenter's square


@dataclass(frozen=True)
class ModelInput:
    """One image, prepared for a checkpoint.

    Attributes:
        segmenter_pixels: float32 (1, 3, image_size, image_size), normalised.
        encoder_pixels: float32 (1, 3, encoder_image_size, encoder_image_size), about -1..1: bicubic resizing may
            slightly exceed the range.
        geometry: sizes, to restore masks.
    """

    segmenter_pixels: torch.Tensor
    encoder_pixels: torch.Tensor
    geometry: Geometry


@dataclass(frozen=True)
class ImageFeatures:
    """The segmenter's features of B images. Several prompts may share one image.

    Attributes:
        image_embeddings: float32 (B, C, h, w), stride 16.
        high_res_features: for SAM-2, float32 (B, C/8, 4h, 4w) and (B, C/4, 2h, 2w), after the decoder's 1 x 1
            convolutions; empty for other segmenters.
    """

    image_embeddings: torch.Tensor
    high_res_features: tuple[torch.Tensor, ...] = ()

    def __len__(self) -> int:
        return self.image_embeddings.shape[0]

    def select(self, image_index: torch.Tensor) -> ImageFeatures:
        """The features of the images at ``image_index`` (int64, (P,)), one row per prompt."""
        return ImageFeatures(
            self.image_embeddings[image_index], tuple(level[image_index] for level in self.high_res_features)
        )


@dataclass(frozen=True)
class EncodedImage:
    """One image on the device, ready for any number of prompts.

    Attributes:
        features: the segmenter's features.
        encoder_pixels: the encoder's copy, see :class:`ModelInput`.
        geometry: sizes, to restore masks.
        guide: an :class:`evfsam.refine.guided_filter.EdgeGuide`, or None if the checkpoint does not use the filter.
        image: uint8 (H, W, 3), to zoom in (:mod:`evfsam.refine.zoom`); None if the checkpoint does not zoom.
    """

    features: ImageFeatures = field(repr=False)
    encoder_pixels: torch.Tensor = field(repr=False)
    geometry: Geometry
    guide: Any = field(default=None, repr=False)
    image: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class MaskLogits:
    """The decoder's output for P prompts.

    Attributes:
        low_res_masks: (P, h, w), logits at stride 4 of the segmenter's square; above 0 is inside.
        iou_predictions: (P,), the IoU of the mask as the decoder predicts it, around 0..1.
        object_score_logits: (P,), SAM-2's logit that the image shows the object; None from other segmenters.
        mask_tokens: (P, C), SAM-2's output token of the mask, which the object pointer is made from; None from other
            segmenters.
    """

    low_res_masks: torch.Tensor
    iou_predictions: torch.Tensor
    object_score_logits: torch.Tensor | None = None
    mask_tokens: torch.Tensor | None = None

    def rows(self, indices: Sequence[int]) -> MaskLogits:
        """A batch of the rows at ``indices``."""
        return MaskLogits(
            self.low_res_masks[indices],
            self.iou_predictions[indices],
            None if self.object_score_logits is None else self.object_score_logits[indices],
            None if self.mask_tokens is None else self.mask_tokens[indices],
        )

    def replace_rows(self, indices: Sequence[int], others: MaskLogits) -> MaskLogits:
        """A copy in which the rows of ``others`` replace the rows at ``indices``, in order."""
        parts = {}
        for name in ("low_res_masks", "iou_predictions", "object_score_logits", "mask_tokens"):
            part = getattr(self, name)
            if part is not None:
                parts[name] = part.clone()
                parts[name][indices] = getattr(others, name).to(part.dtype)
        return replace(self, **parts)


def join(batches: Sequence[MaskLogits]) -> MaskLogits:
    """Several batches as one, in the same order."""
    import torch

    scores = [batch.object_score_logits for batch in batches if batch.object_score_logits is not None]
    tokens = [batch.mask_tokens for batch in batches if batch.mask_tokens is not None]
    return MaskLogits(
        torch.cat([batch.low_res_masks for batch in batches]),
        torch.cat([batch.iou_predictions for batch in batches]),
        torch.cat(scores) if scores else None,
        torch.cat(tokens) if tokens else None,
    )


@dataclass(frozen=True)
class PointPrompt:
    """Points on one object.

    Attributes:
        coords: float32 (N, 2), x and y in pixels of the original image.
        labels: int64 (N,), 1 for a point on the object, 0 for a point beside it.
    """

    coords: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class SpatialPrompt:
    """The points and the box that belong to one prompt; either may be absent.

    Attributes:
        points: points, or None.
        box: (x_min, y_min, x_max, y_max) in pixels of the original image, or None.
    """

    points: PointPrompt | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The result for one prompt on one image. Two results are equal only if they are the same object.

    Attributes:
        prompt: the text as the user wrote it.
        mask_logits: float32 (H, W) at the image's own size; above 0 is inside.
        score: predicted IoU of the mask, 0..1.
        presence: probability that the image shows what the prompt names, 0..1; None if the segmenter does not predict
            it. Published checkpoints were not trained to predict it for texts.
        warnings: sentences for the user, for example about an unknown word.
    """

    prompt: str
    mask_logits: np.ndarray = field(repr=False)
    score: float
    presence: float | None = None
    warnings: tuple[str, ...] = ()

    @cached_property
    def mask(self) -> np.ndarray:
        """bool (H, W): where the logits are above 0."""
        return self.mask_logits > 0

    @cached_property
    def area_fraction(self) -> float:
        """Share of the image that is masked, 0..1."""
        return float(self.mask.mean())

    @cached_property
    def box_xyxy(self) -> tuple[int, int, int, int] | None:
        """The mask's bounding box in pixels, see :func:`evfsam.geometry.box_of`; None if it is empty."""
        return box_of(self.mask)


@dataclass(frozen=True)
class VideoPrompt:
    """A prompt for one object on one frame of a clip: a text, points and a box, or both.

    The first prompt of an object starts its track. Later prompts correct it.

    Attributes:
        object_id: any integer; prompts of one object have the same.
        text: may be empty if there are points or a box.
        frame_index: the frame of the prompt; the first frame of the clip is 0.
        spatial: points and a box in pixels of that frame, or None.
    """

    object_id: int
    text: str = ""
    frame_index: int = 0
    spatial: SpatialPrompt | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class TrackedObject(Segmentation):
    """One object on one frame. ``prompt`` is its first text, or "object" and its id.

    Attributes:
        object_id: as in its :class:`VideoPrompt`.
    """

    object_id: int

    @cached_property
    def visible(self) -> bool:
        """False if the mask is empty: the object is hidden, outside the frame, or lost."""
        return bool(self.mask.any())


@dataclass(frozen=True)
class TrackedFrame:
    """One frame of a clip with all tracked objects.

    Attributes:
        index: the first frame of the clip is 0.
        image: uint8 (H, W, 3), RGB.
        objects: in the order of their first prompts.
    """

    index: int
    image: np.ndarray = field(repr=False)
    objects: tuple[TrackedObject, ...]
