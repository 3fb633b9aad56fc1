"""Point refinement: finds a point inside a first mask, for a second decoding."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from evfsam.geometry import interior_point
from evfsam.types import Geometry


def interior_points(low_res_masks: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """One point inside each mask.

    Args:
        low_res_masks: logits (P, h, w).
        geometry: of the image; its padding is ignored.

    Returns float32 (P, 1, 2), x and y in pixels of the segmenter's square: the interior point of the component with
    the highest logit. For an empty mask it is the place of the highest logit.
    """
    cell = geometry.input_size_hw[0] / low_res_masks.shape[-2]
    height, width = (max(1, int(side / cell)) for side in geometry.resized_size_hw)
    points = []
    for logits in low_res_masks[:, :height, :width].detach().float().cpu().numpy():
        smooth = cv2.GaussianBlur(logits, (0, 0), 1.0)  # a single high cell is noise
        y, x = np.unravel_index(smooth.argmax(), smooth.shape)
        if logits[y, x] > 0:
            _, components = cv2.connectedComponents((logits > 0).astype(np.uint8))
            x, y = interior_point(components == components[y, x])
        points.append([[(x + 0.5) * cell, (y + 0.5) * cell]])
    return torch.tensor(points, dtype=torch.float32).reshape(len(points), 1, 2)
