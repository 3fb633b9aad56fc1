"""Images, points and boxes -> tensors. App, tracker, evaluation and training all use these functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from evfsam import values
from evfsam.errors import InputError
from evfsam.types import Geometry, ModelInput, PixelSpec, PointPrompt, SpatialPrompt


def prepare(image: np.ndarray, spec: PixelSpec) -> ModelInput:
    """Prepare an image for a checkpoint.

    Args:
        image: uint8 (H, W, 3), RGB.
        spec: of the checkpoint.

    Values equal those of the official ``inference.py`` (``sam_preprocess``, ``beit3_preprocess``).
    """
    pixels, resized_size_hw = segmenter_pixels(image, spec)
    input_size_hw = (spec.image_size, spec.image_size)
    geometry = Geometry(image.shape[:2], resized_size_hw, input_size_hw)
    # Bicubic without antialiasing, as torchvision on tensors with antialias=None.
    size, encoder_pixels = spec.encoder_image_size, torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0)
    encoder_pixels = F.interpolate(encoder_pixels.float().div_(255), (size, size), mode="bicubic") * 2 - 1
    return ModelInput(pixels, encoder_pixels, geometry)


def segmenter_pixels(image: np.ndarray, spec: PixelSpec) -> tuple[torch.Tensor, tuple[int, int]]:
    """The segmenter's copy, float32 (1, 3, image_size, image_size), normalised, and its unpadded (height, width).

    With ``keep_aspect_ratio`` the longest side becomes ``image_size`` (segment-anything ``ResizeLongestSide``, which
    rounds half up).
    """
    size, height, width = spec.image_size, spec.image_size, spec.image_size
    if spec.keep_aspect_ratio:
        scale = size / max(image.shape[:2])
        height, width = max(int(image.shape[0] * scale + 0.5), 1), max(int(image.shape[1] * scale + 0.5), 1)
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    # A copy, because torch refuses mirrored views and read-only arrays.
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0).float()
    if not spec.keep_aspect_ratio:
        pixels = F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False)
    pixels = (pixels - torch.tensor(spec.mean).view(1, 3, 1, 1)) / torch.tensor(spec.std).view(1, 3, 1, 1)
    return F.pad(pixels, (0, size - width, 0, size - height)), (height, width)


def prepare_spatial(
    spatial: SpatialPrompt, geometry: Geometry, device: torch.device | str = "cpu"
) -> tuple[tuple[torch.Tensor, torch.Tensor] | None, torch.Tensor | None]:
    """Points and a box of one prompt, in image pixels -> ``points`` and ``boxes`` for :meth:`EvfSam.decode`.

    Returns (points, boxes). Points are None, or float32 (1, N, 2) and int64 (1, N). Boxes are None or float32 (1, 4).
    """
    height, width = geometry.original_size_hw
    scale = torch.tensor([geometry.resized_size_hw[1] / width, geometry.resized_size_hw[0] / height])
    points = boxes = None
    if spatial.points is not None and len(spatial.points.coords):
        coords = torch.as_tensor(np.asarray(spatial.points.coords), dtype=torch.float32) * scale
        labels = torch.as_tensor(np.asarray(spatial.points.labels), dtype=torch.int64)
        points = coords[None].to(device), labels[None].to(device)
    if spatial.box is not None:
        boxes = (torch.tensor(spatial.box, dtype=torch.float32).view(2, 2) * scale).view(1, 4).to(device)
    return points, boxes


def spatial_prompts(points, boxes, count: int, size_hw: tuple[int, int]) -> list[SpatialPrompt | None]:
    """Check the points and boxes of ``count`` prompts and join them, one :class:`SpatialPrompt` or None per prompt.

    Raises InputError for wrong types, wrong values and places outside the image.
    """
    found: list[SpatialPrompt | None] = []
    points = [None] * count if points is None else points
    boxes = [None] * count if boxes is None else boxes
    if not all(isinstance(each, Sequence | np.ndarray) and len(each) == count for each in (points, boxes)):
        raise InputError(f"Give one entry of points and of boxes per prompt ({count}), None where there is none.")
    for one, box in zip(points, boxes, strict=True):
        if one is not None:
            if not isinstance(one, PointPrompt):
                raise InputError(f"Points are {values.shown(one)}: give a PointPrompt or None per prompt.")
            one = PointPrompt(*values.points(one.coords, one.labels, size_hw))
        box = None if box is None else values.box(box, size_hw)
        found.append(None if one is None and box is None else SpatialPrompt(one, box))
    return found
