"""Answers as HTML: the picture, two layers per phrase (fill and outline), and one row per phrase that isolates them.

Each row carries colour, phrase, score and area. The HTML is in ``templates/viewer.html``. What moves is in
``static/viewer.js`` and ``static/viewer.css``. Pictures travel inside the HTML, at most ``VIEW_PIXELS`` per side;
downloads have the full size.
"""

from __future__ import annotations

import base64
import functools
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from evfsam.geometry import interior_point
from evfsam.media.overlay import layers
from evfsam.media.palette import RGB, colour_of
from evfsam.types import SpatialPrompt

if TYPE_CHECKING:
    from evfsam.ui.followed import Session
    from evfsam.ui.history import History

VIEW_PIXELS = 1280


@dataclass(frozen=True)
class Row:
    """One line under the picture.

    Attributes:
        label: the phrase or category.
        mask: bool (H, W) at the picture's own size.
        colour: of its layer and swatch.
        score: predicted IoU 0..1, None to leave it out; left out of an empty mask in any case.
        notes: sentences for the user.
        things: rows of the things that the mask was taken apart into, to be unfolded.
        unfolded: whether they are shown at first, in the rows and on the picture.
    """

    label: str
    mask: np.ndarray
    colour: RGB
    score: float | None = None
    notes: tuple[str, ...] = ()
    things: tuple[Row, ...] = ()
    unfolded: bool = True


def stage(
    image: np.ndarray,
    name: str,
    rows: Sequence[Row],
    marks: Sequence[SpatialPrompt | None] = (),
    key: str = "",
    chosen: int | str | None = None,
    history: History | Session | None = None,
    source: str = "",
) -> str:
    """The picture with its layers between two bars of tools, and the rows below it.

    Args:
        image: uint8 (H, W, 3).
        name: of the picture, or its path: for those who cannot see it.
        marks: points and boxes set by hand, one entry per row or none at all.
        key: of the answer; a row that the user chose stays chosen as long as it is the same.
        chosen: a row to choose for the user; "1.0" is the first thing of the second row.
        history: its past can be undone, its future redone; None where clicks on the picture mean nothing.
        source: of the picture; zoom, view and tool stay as they are while it is the same. By default the image itself.
    """
    shown = picture_uri(to_view(image))
    source = source or str(zlib.crc32(shown.encode()))
    masked = ", ".join(row.label for row in rows if row.mask.any())
    return str(HTML.stage(shown, image.shape[:2], Path(name), masked, rows, marks, key, chosen, history, source))


def to_view(array: np.ndarray) -> np.ndarray:
    """A picture, map or mask (H, W, ...) made small enough for a screen; smaller ones stay as they are."""
    height, width = array.shape[:2]
    shrink = VIEW_PIXELS / max(height, width)
    if shrink >= 1:
        return array
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    if array.dtype == bool:
        return cv2.resize(array * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 127
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA)


def _middle(mask: np.ndarray) -> list[float]:
    """x and y of the middle of a thing, in pixels."""
    shrink = max(1, max(mask.shape) // 256)
    return [shrink * (at + 0.5) for at in interior_point(mask[::shrink, ::shrink])]


def _uri(image: np.ndarray, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


picture_uri = functools.partial(_uri, kind="webp", quality=90, method=2)  # of a picture for the screen

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, undefined=StrictUndefined
)
TEMPLATES.filters["png"] = functools.partial(_uri, kind="png", compress_level=1)
TEMPLATES.globals |= {"to_view": to_view, "draw": layers, "middle": _middle, "colour_of": colour_of}
HTML = TEMPLATES.get_template("viewer.html").module  # its macros
