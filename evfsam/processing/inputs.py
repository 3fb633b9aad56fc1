"""Pictures and clicks -> tensors. The one way that app, tracker, evaluation and training make model inputs."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from evfsam.types import Clicks, Geometry, ModelInput, PixelSpec


def prepare(image: np.ndarray, spec: PixelSpec) -> ModelInput:
    """Make both copies of a picture that a checkpoint reads.

    Args:
        image: uint8 (H, W, 3).
        spec: the checkpoint's pixel facts.

    Values equal the official ``inference.py`` (``sam_preprocess``, ``beit3_preprocess``).
    """
    pixels, resized_size_hw = segmenter_pixels(image, spec)
    geometry = Geometry(
        original_size_hw=image.shape[:2],
        resized_size_hw=resized_size_hw,
        input_size_hw=(spec.image_size, spec.image_size),
    )
    return ModelInput(pixels, encoder_pixels(image, spec.encoder_image_size), geometry)


def encoder_pixels(image: np.ndarray, image_size: int) -> torch.Tensor:
    """The multimodal encoder's copy: float32 (1, 3, image_size, image_size) in -1..1.

    Bicubic without antialias, as ``torchvision`` does it on tensors with ``antialias=None``; bicubic weights
    overshoot, so values may leave the range a little.
    """
    return F.interpolate(_channels_first(image) / 255, (image_size, image_size), mode="bicubic") * 2 - 1


def segmenter_pixels(image: np.ndarray, spec: PixelSpec) -> tuple[torch.Tensor, tuple[int, int]]:
    """The segmenter's copy, float32 (1, 3, image_size, image_size), normalised; and (height, width) of what of it is
    no padding.
    """
    mean = torch.tensor(spec.mean).view(1, 3, 1, 1)
    std = torch.tensor(spec.std).view(1, 3, 1, 1)
    size = spec.image_size
    if not spec.keep_aspect_ratio:
        pixels = F.interpolate(_channels_first(image), (size, size), mode="bilinear", align_corners=False)
        return (pixels - mean) / std, (size, size)
    height, width = resized_hw = resized_size_hw(image.shape[:2], size)
    resized = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    pixels = (_channels_first(resized) - mean) / std
    return F.pad(pixels, (0, size - width, 0, size - height)), resized_hw


def resized_size_hw(original_size_hw: tuple[int, int], image_size: int) -> tuple[int, int]:
    """Size with the longest side at ``image_size`` (segment-anything, ``ResizeLongestSide``: rounds half up)."""
    scale = image_size / max(original_size_hw)
    height, width = (int(side * scale + 0.5) for side in original_size_hw)
    return max(height, 1), max(width, 1)


def _channels_first(image: np.ndarray) -> torch.Tensor:
    # ascontiguousarray: mirrored or cropped views have strides torch refuses; copy: some arrays are read-only.
    return torch.from_numpy(np.array(image, copy=True)).permute(2, 0, 1).unsqueeze(0).float()


def prepare_clicks(clicks: Clicks, geometry: Geometry):
    """Clicks in picture pixels -> ``points`` and ``boxes`` for :meth:`EvfSam.decode`, for one prompt.

    Returns (points, boxes): points is None or (float32 (1, N, 2), int64 (1, N)); boxes None or float32 (1, 4).
    """
    height, width = geometry.original_size_hw
    scale = torch.tensor([geometry.resized_size_hw[1] / width, geometry.resized_size_hw[0] / height])
    points = boxes = None
    if clicks.points_xy is not None and len(clicks.points_xy):
        coordinates = torch.as_tensor(np.asarray(clicks.points_xy), dtype=torch.float32) * scale
        points = coordinates[None], torch.as_tensor(np.asarray(clicks.labels), dtype=torch.int64)[None]
    if clicks.box_xyxy is not None:
        boxes = (torch.tensor(clicks.box_xyxy, dtype=torch.float32).view(2, 2) * scale).view(1, 4)
    return points, boxes
