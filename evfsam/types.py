"""Frozen dataclasses that cross a layer: model inputs, model outputs, and results.

Sizes are always (height, width) in pixels. Boxes are (x_min, y_min, x_max, y_max) in pixels of the original image, the
right and lower edges exclusive.
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
    """How an image becomes the two tensors that a checkpoint reads.

    The segmenter's copy is either stretched to a square (SAM-2, EfficientSAM) or resized by its longest
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
    """The sizes that bring masks back to the image they came from."""

    original_size_hw: tuple[int, int]
    resized_size_hw: tuple[int, int]  # the image inside the segmenter's square, before padding
    input_size_hw: tuple[int, int]  # the segmenter's square


@dataclass(frozen=True)
class ModelInput:
    """One image, prepared for a checkpoint.

    Attributes:
        segmenter_pixels: float32 (1, 3, image_size, image_size), normalised.
        encoder_pixels: float32 (1, 3, encoder_image_size, encoder_image_size) in -1..1; bicubic resizing may leave
            that range a little.
        geometry: for the way back to pixels.
    """

    segmenter_pixels: torch.Tensor
    encoder_pixels: torch.Tensor
    geometry: Geometry


@dataclass(frozen=True)
class ImageFeatures:
    """The segmenter's features of B images; several prompts share one of them.

    Attributes:
        image_embeddings: float32 (B, C, h, w), stride 16.
        high_res_features: float32, SAM-2 only: (B, C/8, 4h, 4w) and (B, C/4, 2h, 2w), after the decoder's 1 x 1
            convolutions; empty for the others.
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
        features: of the segmenter.
        encoder_pixels: the multimodal encoder's copy, see :class:`ModelInput`.
        geometry: for the way back to pixels.
        guide: what a refinement needs of the image (:mod:`evfsam.refine.guided_filter`), or None.
    """

    features: ImageFeatures
    encoder_pixels: torch.Tensor
    geometry: Geometry
    guide: Any = None


@dataclass(frozen=True)
class MaskLogits:
    """The decoder's output for P prompts.

    Attributes:
        low_res_masks: (P, h, w) logits at stride 4 of the segmenter's square; above 0 is inside.
        iou_predictions: (P,) the decoder's own estimate of the mask's IoU, around 0..1.
        object_score_logits: (P,) SAM-2's logit that the image shows the object; None from other segmenters.
        mask_tokens: (P, C) SAM-2's output token of the chosen mask, from which the object pointer is made; None from
            other segmenters.
    """

    low_res_masks: torch.Tensor
    iou_predictions: torch.Tensor
    object_score_logits: torch.Tensor | None = None
    mask_tokens: torch.Tensor | None = None

    def rows(self, indices: Sequence[int]) -> MaskLogits:
        """The prompts at ``indices``, still as a batch."""
        return MaskLogits(
            self.low_res_masks[indices],
            self.iou_predictions[indices],
            None if self.object_score_logits is None else self.object_score_logits[indices],
            None if self.mask_tokens is None else self.mask_tokens[indices],
        )

    def replace_rows(self, indices: Sequence[int], others: MaskLogits) -> MaskLogits:
        """A copy with the prompts at ``indices`` replaced by those of ``others``, in order."""
        parts = {}
        for name in ("low_res_masks", "iou_predictions", "object_score_logits", "mask_tokens"):
            part = getattr(self, name)
            if part is not None:
                parts[name] = part.clone()
                parts[name][indices] = getattr(others, name).to(part.dtype)
        return replace(self, **parts)


def join(batches: Sequence[MaskLogits]) -> MaskLogits:
    """Several batches as one, in order."""
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


@dataclass(frozen=True)
class Segmentation:
    """The answer to one prompt on one image.

    Attributes:
        prompt: the text as the user wrote it.
        mask_logits: float32 (H, W) at the image's own size; above 0 is inside.
        score: predicted IoU of the mask, 0..1.
        presence: probability that the image shows the thing, 0..1; None if the segmenter does not tell. Published
            checkpoints were not trained for it on text.
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
    """What to track, said on one frame of a clip: by text, by points and a box, or by both.

    The first prompt of an object starts its track; later ones correct it.

    Attributes:
        object_id: which object; any integer.
        text: may be empty where there are points or a box.
        frame_index: the frame that the prompt speaks of, counted from the clip's first.
        spatial: points and a box in pixels of that frame, or None.
    """

    object_id: int
    text: str = ""
    frame_index: int = 0
    spatial: SpatialPrompt | None = None


@dataclass(frozen=True, kw_only=True)
class TrackedObject(Segmentation):
    """One object on one frame; ``prompt`` is the text that named it.

    Attributes:
        object_id: as in the :class:`VideoPrompt` that started it.
    """

    object_id: int

    @cached_property
    def visible(self) -> bool:
        """False where the object is hidden, outside the frame, or lost: then the mask is empty."""
        return bool(self.mask.any())


@dataclass(frozen=True)
class TrackedFrame:
    """One frame of a clip with every object that is tracked there.

    Attributes:
        index: counted from the clip's first frame.
        image: uint8 (H, W, 3).
        objects: in the order in which they were first prompted.
    """

    index: int
    image: np.ndarray
    objects: tuple[TrackedObject, ...]
