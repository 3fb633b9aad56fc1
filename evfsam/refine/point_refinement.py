"""A point inside a first mask, so that the segmenter can be asked a second time."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from evfsam.geometry import interior_point
from evfsam.types import Geometry


def interior_points(low_res_masks: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """The middle of the surest component of each mask.

    Args:
        low_res_masks: (P, h, w) logits.
        geometry: of the image; its padding is left out.

    Returns float32 (P, 1, 2), x and y in pixels of the segmenter's square: the interior point of the component with
    the highest logit, or the place of the highest logit where the mask is empty.
    """
    cell = geometry.input_size_hw[0] / low_res_masks.shape[-2]
    height, width = (max(1, int(side / cell)) for side in geometry.resized_size_hw)
    points = []
    for logits in low_res_masks[:, :height, :width].detach().float().cpu().numpy():
        smooth = cv2.GaussianBlur(logits, (0, 0), 1.0)  # one cell by itself is noise
        y, x = np.unravel_index(smooth.argmax(), smooth.shape)
        if logits[y, x] > 0:
            _, components = cv2.connectedComponents((logits > 0).astype(np.uint8))
            x, y = interior_point(components == components[y, x])
        points.append([[(x + 0.5) * cell, (y + 0.5) * cell]])
    return torch.tensor(points, dtype=torch.float32).reshape(len(points), 1, 2)
