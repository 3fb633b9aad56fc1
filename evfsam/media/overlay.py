"""Masks drawn over an image: a translucent fill and a crisp, antialiased outline."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from evfsam.media.palette import RGB, colour_of, hex_of

__all__ = ["colour_of", "difference", "draw", "hex_of", "layers", "outline_width", "overlay"]

BAND_PIXELS = 2_000_000  # drawn at a time: a large image takes little more memory than a small one
HALO_OPACITY = 0.35  # of the dark rim that keeps a light outline visible on a light image


def overlay(
    image: np.ndarray,
    masks: Sequence[np.ndarray],
    colours: Sequence[RGB] | None = None,
    fill_opacity: float = 0.45,
    outline_px: float | None = None,
) -> np.ndarray:
    """Draw masks over an image, later ones on top.

    Args:
        image: uint8 (H, W, 3); left as it is.
        masks: bool (H, W), one per object; empty ones draw nothing.
        colours: (r, g, b), 0..255, one per mask; by default those of the palette, in order.
        fill_opacity: 0 (outline only) to 1 (opaque).
        outline_px: width of the outline in pixels, 0 for none; by default it grows with the image.

    Returns uint8 (H, W, 3).

    Raises ValueError if a mask is not of the size of the image or a mask has no colour.
    """
    drawn = image.copy()
    colours = [colour_of(i) for i in range(len(masks))] if colours is None else colours
    for mask, colour in zip(masks, colours, strict=True):
        draw(drawn, mask, colour, fill_opacity, outline_px)
    return drawn


def difference(image: np.ndarray, masks: tuple[np.ndarray, np.ndarray], colours: tuple[RGB, RGB]) -> np.ndarray:
    """The image in grey; pixels of only one of two masks have that mask's colour.

    ``image`` is uint8 (H, W, 3), the masks are bool (H, W). Returns uint8 (H, W, 3).
    """
    a, b = masks
    grey = np.repeat(image.mean(2, keepdims=True) * 0.6 + 60, 3, axis=2).clip(0, 255).astype(np.uint8)
    return overlay(grey, [a & ~b, b & ~a], colours, fill_opacity=0.8, outline_px=0)


def draw(
    image: np.ndarray, mask: np.ndarray, colour: RGB, fill_opacity: float = 0.45, outline_px: float | None = None
) -> None:
    """Draw one mask into an image in place. Arguments and errors as of :func:`overlay`."""
    if mask.shape != image.shape[:2]:
        raise ValueError(f"mask {mask.shape} and image {image.shape[:2]} differ in size")
    outline_px = outline_width(image.shape[:2]) if outline_px is None else outline_px
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if width == 0:
        return
    margin = int(np.ceil(outline_px)) + 2
    columns = slice(max(0, x - margin), x + width + margin)
    top, bottom = max(0, y - margin), min(y + height + margin, len(mask))
    rows = max(1, BAND_PIXELS // (width + 2 * margin))
    for start in range(top, bottom, rows):
        stop = min(start + rows, bottom)
        # Outlines depend on edges this near, and the smoothing reaches a little further.
        first, last = max(top, start - 2 * margin - 8), min(bottom, stop + 2 * margin + 8)
        coverage = (part[start - first : stop - first] for part in _coverage(mask[first:last, columns], outline_px))
        _blend(image[start:stop, columns], *coverage, colour, fill_opacity)


def outline_width(size_hw: tuple[int, int]) -> float:
    """Width in pixels of an outline that looks alike on a thumbnail and on a large photograph."""
    return float(np.clip(min(size_hw) / 300, 2, 8))


def layers(mask: np.ndarray, colour: RGB) -> tuple[tuple[int, int, int, int], np.ndarray, np.ndarray] | None:
    """What :func:`overlay` draws for one mask, bool (H, W), without an image below it. None for an empty mask.

    Returns (x, y, width, height) of the part of the image in which there is something, its fill and its outline, each
    uint8 (height, width, 4), RGBA. The fill is opaque inside: the viewer sets its opacity.
    """
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if width == 0:
        return None
    margin = 2  # for the halo
    left, top = max(0, x - margin), max(0, y - margin)
    part = mask[top : y + height + margin, left : x + width + margin]
    fill, halo, line = _coverage(part, outline_width(mask.shape))
    rim = 1 - (1 - halo) * (1 - line)
    share = np.divide(line, rim, out=np.zeros_like(rim), where=rim > 0)
    inside, outline = (
        np.rint(cv2.merge([*(ink * channel for channel in colour), alpha * 255])).astype(np.uint8)
        for ink, alpha in ((np.ones_like(fill), fill), (share, rim))
    )
    return (left, top, part.shape[1], part.shape[0]), inside, outline


def _coverage(mask: np.ndarray, outline_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Opacity 0..1 of fill, halo and line, each float32 (h, w) as the mask; the fill is opaque inside."""
    inside = np.pad(mask.astype(np.uint8), 1, mode="edge")  # no edge where the border of the image cuts a thing
    if inside.all() or not inside.any():
        distance = np.full(mask.shape, np.inf if inside.all() else -np.inf, np.float32)
    else:  # pixels to the mask's edge, positive inside
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
        distance -= cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
        distance -= np.sign(distance) * 0.5  # measured to pixel centres, the edge is between them
        distance = cv2.GaussianBlur(distance, (0, 0), 0.8)[1:-1, 1:-1]  # the edge is a staircase
    fill = np.clip(distance + 0.5, 0, 1)
    if not outline_px:
        return fill, np.zeros_like(fill), np.zeros_like(fill)
    # The line lies inside the thing, so that neighbours do not cover each other's outlines. All edges are soft.
    line = np.clip(outline_px / 2 + 0.5 - np.abs(distance - outline_px / 2), 0, 1)
    return fill, np.clip(1 - np.abs(distance + 0.5), 0, 1) * HALO_OPACITY, line


def _blend(
    part: np.ndarray, fill: np.ndarray, halo: np.ndarray, line: np.ndarray, colour: RGB, fill_opacity: float
) -> None:
    """Fill, halo and outline over a part of the image, in place; their opacities as of :func:`_coverage`."""
    fill = fill * fill_opacity
    # Three layers over the image (fill, black halo, line), multiplied out: one pass over the colours.
    uncovered = (1 - halo) * (1 - line)
    keep, ink = (1 - fill) * uncovered, fill * uncovered + line
    blended = cv2.multiply(part.astype(np.float32), cv2.merge([keep] * 3))
    blended += cv2.merge([ink * channel for channel in colour])
    part[:] = np.rint(blended, out=blended)
