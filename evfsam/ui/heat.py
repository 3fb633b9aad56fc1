"""Where the model looked, over the picture."""

from __future__ import annotations

from html import escape

import cv2
import numpy as np

from evfsam.ui.viewer import picture_uri, to_view


def heat_over(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Attention over a picture: dark where there is none, bright yellow where there is most.

    Args:
        image: uint8 (H, W, 3).
        weights: float (n, n), one an encoder patch, stretched over the whole picture as the encoder saw it.

    Returns uint8 (h, w, 3), small enough for a screen.
    """
    view = to_view(image)
    height, width = view.shape[:2]
    spread = float(weights.max() - weights.min())
    level = (weights - weights.min()) / spread if spread > 0 else np.zeros_like(weights)
    level = cv2.resize(level.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    colours = cv2.applyColorMap(np.rint(level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    grey = view.mean(2, keepdims=True)
    share = 0.35 + 0.5 * level[:, :, None]
    return np.rint(grey * (1 - share) + colours * share).astype(np.uint8)


def beside_html(masked: np.ndarray, heat: np.ndarray, prompt: str) -> str:
    """The mask and the attention for a phrase beside each other, uint8 (h, w, 3) both, as HTML."""
    name = escape(prompt)
    return (
        '<div class="evf-grid" style="--columns: 2">'
        f'<figure><img alt="Mask of {name}" src="{picture_uri(masked)}"><figcaption>The mask</figcaption></figure>'
        f'<figure><img alt="Attention for {name}" src="{picture_uri(heat)}"><figcaption>Where the model looked for '
        f"“{name}”: yellow most, dark least</figcaption></figure></div>"
    )
