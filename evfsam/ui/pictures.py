"""Whether a picture looks like the drawn scenes that the small checkpoints learned from."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 320  # pixels; noise and compression matter less in a small copy
DARK, FEW_DARK = 50, 0.005  # drawn scenes have hardly any pixels whose brightest channel is below 50
FLAT, MUCH_FLAT = 3, 0.1  # and many whose 3 x 3 neighbours differ by at most 3
VIVID = 30  # and the brightest channel of their pixels is well above the darkest one


def looks_drawn(image: np.ndarray) -> bool:
    """True for pictures like the rendered scenes: flat, vivid, and almost without dark pixels. uint8 (H, W, 3)."""
    shrink = SIDE / max(image.shape[:2])
    if shrink < 1:
        size = max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    neighbours = np.ones((3, 3), np.uint8)
    spread = (cv2.dilate(image, neighbours) - cv2.erode(image, neighbours)).max(2)
    dark, flat = (image.max(2) < DARK).mean(), (spread <= FLAT).mean()
    vivid = np.subtract(image.max(2), image.min(2)).mean()
    return bool(dark < FEW_DARK and flat > MUCH_FLAT and vivid > VIVID)
