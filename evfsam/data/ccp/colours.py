"""Colour words of garments, from their pixels."""

from __future__ import annotations

import cv2
import numpy as np

# Words that expressions use. Pixels may also be "grey", "beige" or "dark", but few people agree on these.
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown")
# A colour is ambiguous if another person wears one of these.
NEIGHBOURS = {
    "red": ("pink", "orange", "brown"),
    "orange": ("red", "brown", "yellow"),
    "yellow": ("orange", "beige"),
    "blue": ("dark", "purple"),
    "purple": ("blue", "pink"),
    "pink": ("red", "purple"),
    "white": ("beige", "grey"),
    "black": ("dark",),
    "brown": ("beige", "orange", "red", "dark"),
}
_GREYS = ("black", "dark", "grey", "white")
_HUES = ((12, "red"), (38, "orange"), (68, "yellow"), (170, "green"), (258, "blue"), (315, "purple"), (345, "pink"))


def colour_shares(pixels_rgb: np.ndarray) -> dict[str, float]:
    """Colour word -> share of the pixels, 0..1. ``pixels_rgb`` is uint8 (N, 3); the result is empty if N is 0."""
    if not len(pixels_rgb):
        return {}
    hsv = cv2.cvtColor(pixels_rgb.reshape(1, -1, 3), cv2.COLOR_RGB2HSV)[0].astype(np.float32)
    hue, saturation, value = 2 * hsv[:, 0], hsv[:, 1] / 255, hsv[:, 2] / 255
    names = np.full(len(hue), "red", dtype="<U6")
    lower = 0
    for upper, name in _HUES:
        names[(hue >= lower) & (hue < upper)] = name
        lower = upper
    warm = (hue < 50) | (hue >= 345)
    names[warm & (hue >= 10) & (hue < 50) & (value < 0.62)] = "brown"
    names[warm & (saturation < 0.45) & (value >= 0.62)] = "beige"
    names[((hue >= 330) | (hue < 10)) & (saturation < 0.6) & (value >= 0.7)] = "pink"
    colourless = saturation < 0.16
    names[colourless] = np.array(_GREYS)[np.digitize(value[colourless], (0.24, 0.36, 0.78))]
    names[(value < 0.22) | ((value < 0.30) & (saturation < 0.4))] = "black"
    names[(value >= 0.22) & (value < 0.34) & ~colourless & (names != "black")] = "dark"
    found, counts = np.unique(names, return_counts=True)
    return {str(name): float(count) / len(names) for name, count in zip(found, counts, strict=True)}


def worn(shares: dict[str, float], colour: str) -> float:
    """The share of a colour together with those that people may call by the same word."""
    return sum(shares.get(name, 0.0) for name in (colour, *NEIGHBOURS.get(colour, ())))
