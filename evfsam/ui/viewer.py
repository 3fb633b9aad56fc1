"""Answers as HTML: the picture, one layer per phrase, and one row per phrase that isolates its layer.

Each row carries colour, phrase, score and area. What moves is in ``static/viewer.js`` and ``static/app.css``;
pictures travel inside the HTML, at most ``VIEW_PIXELS`` a side: files for keeping come from the downloads.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from PIL import Image

from evfsam.media.overlay import overlay
from evfsam.media.palette import RGB
from evfsam.types import SpatialPrompt

VIEW_PIXELS = 1280
CROSS = "The picture: arrow keys move a cross, Enter clicks there"


@dataclass(frozen=True)
class Row:
    """One line under the picture.

    Attributes:
        label: the phrase or category.
        mask: bool (H, W) at the picture's own size.
        colour: of its layer and swatch.
        score: predicted IoU 0..1, None to leave it out; left out of an empty mask in any case.
        notes: sentences for the user.
    """

    label: str
    mask: np.ndarray
    colour: RGB
    score: float | None = None
    notes: tuple[str, ...] = ()


def stage(
    image: np.ndarray,
    name: str,
    rows: Sequence[Row],
    marks: Sequence[SpatialPrompt | None] = (),
    refining: bool = False,
    key: str = "",
    chosen: int | None = None,
) -> str:
    """The picture with its layers, and the rows below it.

    Args:
        image: uint8 (H, W, 3).
        name: of the picture, for those who cannot see it.
        marks: points and boxes set by hand, one entry a row or none at all.
        refining: whether clicks on the picture mean something; then the keyboard can click, too.
        key: of the answer; a row that the user chose stays chosen as long as it is the same.
        chosen: a row to choose for the user.
    """
    height, width = image.shape[:2]
    view = to_view(image)
    reachable = f' tabindex="0" aria-label="{CROSS}"' if refining else ""
    choice = "" if chosen is None else f' data-chosen="{chosen}"'
    found = ", ".join(row.label for row in rows if row.mask.any()) or "nothing"
    layers = [
        f'<img class="layer" data-row="{i}" data-area="{row.mask.mean():.6f}" alt="" draggable="false" '
        f'src="{layer_uri(row.mask, row.colour)}">'
        for i, row in enumerate(rows)
    ]
    drawn = "".join(_marks(clicks, i) for i, clicks in enumerate(marks) if clicks is not None)
    return (
        f'<figure class="evf-stage" data-width="{width}" data-height="{height}" data-key="{key}"{choice}{reachable} '
        f'style="aspect-ratio: {width} / {height}; --ratio: {width / height:.5f}">'
        f'<img class="picture" alt="{escape(name)}, {width} by {height} pixels, masked: {escape(found)}" '
        f'draggable="false" src="{picture_uri(view)}">{"".join(layers)}'
        f'<svg class="marks" viewBox="0 0 {width} {height}" aria-hidden="true" '
        f'style="--unit: {max(width, height) / 100:.2f}px">{drawn}</svg></figure>{rows_html(rows)}'
    )


def rows_html(rows: Sequence[Row]) -> str:
    """The rows alone."""
    return f'<ol class="evf-rows">{"".join(_row(i, row) for i, row in enumerate(rows))}</ol>' if rows else ""


def _row(i: int, row: Row) -> str:
    area = float(row.mask.mean())
    told = f"{percent(area)}<small> of the picture</small>" if area else "<small>not found</small>"
    # What was expected of a mask that then was not shown says nothing to anyone.
    score = "" if row.score is None or not row.mask.any() else _score(row.score)
    notes = "".join(f'<span class="note">{escape(note)}</span>' for note in row.notes)
    swatch = f'<i style="background: rgb{row.colour}"></i>'
    return (
        f'<li><button type="button" class="chip" data-row="{i}" aria-pressed="false" '
        f'title="Show only this one">{swatch}<span>{escape(row.label)}</span></button>'
        f'{score}<span class="area">{told}</span>{notes}</li>'
    )


def _score(score: float) -> str:
    weak = " weak" if score < 0.5 else ""
    return (
        f'<span class="score{weak}" title="How well the model expects its mask to fit (predicted IoU)">'
        f'<span class="bar" style="--score: {score:.3f}"></span><span><small>score </small>{score:.2f}</span></span>'
    )


def percent(fraction: float) -> str:
    """A share of the picture as people write it: "12 %", "0.4 %", "0 %"."""
    if 0 < fraction < 0.001:
        return "< 0.1 %"
    return f"{fraction * 100:.1f} %" if fraction < 0.0995 and fraction else f"{fraction * 100:.0f} %"


def seconds(value: float) -> str:
    """A duration as people write it: "40 ms", "1.2 s", "5 min"."""
    if value >= 90:
        return f"{value / 60:.0f} min"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _marks(clicks: SpatialPrompt, row: int) -> str:
    drawn = []
    if clicks.box is not None:
        x0, y0, x1, y1 = clicks.box
        drawn.append(f'<rect data-row="{row}" x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}"/>')
    if clicks.points is not None:
        for (x, y), label in zip(clicks.points.coords, clicks.points.labels, strict=True):
            kind, sign = ("plus", "+") if label else ("minus", "−")
            drawn.append(
                f'<g data-row="{row}" class="{kind}" transform="translate({x:.1f} {y:.1f})">'
                f"<circle/><text>{sign}</text></g>"
            )
    return "".join(drawn)


def to_view(array: np.ndarray) -> np.ndarray:
    """A picture or map (H, W, ...) made small enough for a screen; smaller ones stay as they are."""
    height, width = array.shape[:2]
    shrink = VIEW_PIXELS / max(height, width)
    if shrink >= 1:
        return array
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA)


def layer_uri(mask: np.ndarray, colour: RGB) -> str:
    """A mask, bool (H, W), as a transparent picture: the overlay's fill and outline and nothing else."""
    mask = to_view(mask.astype(np.uint8) * 255) > 127
    # The overlay over black and over white tells its ink and how much of the picture it leaves.
    black, white = (
        overlay(np.full((*mask.shape, 3), ground, np.uint8), [mask], [colour]).astype(np.float32) for ground in (0, 255)
    )
    alpha = 1 - (white - black).mean(2, keepdims=True) / 255
    ink = np.divide(black, alpha, out=np.zeros_like(black), where=alpha > 0.004)
    rgba = np.dstack([ink, alpha * 255]).clip(0, 255)
    return _uri(Image.fromarray(np.rint(rgba).astype(np.uint8)), "png", compress_level=3)


def picture_uri(image: np.ndarray) -> str:
    """A picture for the screen."""
    return _uri(Image.fromarray(image), "webp", quality=90, method=2)


def _uri(picture: Image.Image, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
