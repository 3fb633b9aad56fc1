"""Answers as HTML: the picture, two layers per phrase (fill and outline), and one row per phrase that isolates them.

Each row carries colour, phrase, score and area. What moves is in ``static/viewer.js`` and ``static/viewer.css``;
pictures travel inside the HTML, at most ``VIEW_PIXELS`` a side: files for keeping come from the downloads.
"""

from __future__ import annotations

import base64
import functools
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from evfsam.geometry import interior_point
from evfsam.media.overlay import layers
from evfsam.media.palette import RGB
from evfsam.types import SpatialPrompt
from evfsam.ui.toolbar import edit_bar, view_bar

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
    steps: tuple[bool, bool] | None = None,
    source: str = "",
) -> str:
    """The picture with its layers between two bars of tools, and the rows below it.

    Args:
        image: uint8 (H, W, 3).
        name: of the picture, or its path: for those who cannot see it.
        marks: points and boxes set by hand, one entry per row or none at all.
        key: of the answer; a row that the user chose stays chosen as long as it is the same.
        chosen: a row to choose for the user; "1.0" is the first thing of the second row.
        steps: whether there is a step to undo, and one to redo; None where clicks on the picture mean nothing.
        source: of the picture; zoom, view and tool stay as they are while it is the same. By default the image itself.
    """
    return (
        f'<div class="evf-viewer">{edit_bar(*steps) if steps else ""}'
        f"{_figure(image, name, rows, marks, steps is not None, key, chosen, source)}{view_bar(bool(rows))}</div>"
        f"{rows_html(rows)}"
    )


def _figure(image, name, rows, marks, refining, key, chosen, source) -> str:
    shown, name = picture_uri(to_view(image)), Path(name).name
    height, width = image.shape[:2]
    reachable = f' tabindex="0" role="application" aria-label="{CROSS}"' if refining else ""
    choice = "" if chosen is None else f' data-chosen="{chosen}"'
    found = ", ".join(row.label for row in rows if row.mask.any()) or "nothing"
    masks = "".join(layers_html(row.mask, row.colour, i) for i, row in numbered(rows))
    drawn = "".join(_number(row.mask, i) for i, row in numbered(rows) if "." in i)
    drawn += "".join(_marks(clicks, i) for i, clicks in enumerate(marks) if clicks is not None)
    return (
        f'<figure class="evf-stage" data-width="{width}" data-height="{height}" data-key="{key}"{choice}{reachable} '
        f'data-source="{escape(source) or zlib.crc32(shown.encode())}" data-name="{escape(Path(name).stem)}" '
        f'style="{ratio_css(image)}"><div class="evf-canvas">'
        f'<img class="picture" alt="{escape(name)}, {width} by {height} pixels, masked: {escape(found)}" '
        f'draggable="false" decoding="sync" src="{shown}">{masks}'
        f'<svg class="marks" viewBox="0 0 {width} {height}" role="group" aria-label="Marks set by hand" '
        f'style="--px: {max(width, height) / 800:.2f}px">{drawn}</svg></div></figure>'
    )


def numbered(rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    """Every row and every thing with its number in the HTML: "1" is the second row, "1.0" its first thing."""
    for i, row in enumerate(rows):
        yield str(i), row
        yield from ((f"{i}.{k}", thing) for k, thing in enumerate(row.things))


def _number(mask: np.ndarray, row: str) -> str:
    """The number of a thing, in its middle."""
    if not mask.any():
        return ""
    shrink = max(1, max(mask.shape) // 256)
    x, y = (shrink * (at + 0.5) for at in interior_point(mask[::shrink, ::shrink]))
    return (
        f'<g class="number" aria-hidden="true" data-row="{row}" style="translate: {x:.1f}px {y:.1f}px">'
        f'<circle class="dot"/><text class="sign">{int(row.partition(".")[2]) + 1}</text></g>'
    )


def ratio_css(image: np.ndarray) -> str:
    """The style that gives a stage the shape of its image."""
    height, width = image.shape[:2]
    return f"aspect-ratio: {width} / {height}; --ratio: {width / height:.5f}"


def layers_html(mask: np.ndarray, colour: RGB, row: int | str = 0, alt: str = "") -> str:
    """The fill and the outline of a mask, bool (H, W), as two pictures over the stage's; empty for an empty mask."""
    mask = to_view(mask.astype(np.uint8) * 255) > 127
    drawn = layers(mask, colour)
    if drawn is None:
        return ""
    (x, y, width, height), fill, line = drawn
    share = [
        f"{100 * part / whole:.4f}%" for part, whole in zip((x, y, width, height), mask.shape[::-1] * 2, strict=True)
    ]
    place = "left: {}; top: {}; width: {}; height: {}".format(*share)
    rest = f'data-row="{row}" draggable="false" decoding="sync" style="{place}"'
    return (
        f'<img class="layer fill" data-area="{mask.mean():.6f}" alt="{alt}" {rest} src="{_png(fill)}">'
        f'<img class="layer line" alt="" {rest} src="{_png(line)}">'
    )


def rows_html(rows: Sequence[Row]) -> str:
    """The rows alone."""
    return f'<ol class="evf-rows">{"".join(_row(i, row) for i, row in enumerate(rows))}</ol>' if rows else ""


def _row(i: int | str, row: Row) -> str:
    area = float(row.mask.mean())
    told = f"{percent(area)}<small> of the picture</small>" if area else "<small>not found</small>"
    # What was expected of a mask that then was not shown says nothing to anyone.
    score = "" if row.score is None or not row.mask.any() else _score(row.score)
    note = f'<span class="note">{escape(" ".join(row.notes))}</span>' if row.notes else ""
    swatch = f'<i style="background: rgb{row.colour}"></i>'
    chip = (
        f'<button type="button" class="chip" data-row="{i}" aria-pressed="false" '
        f'title="Show only this one">{swatch}<span>{escape(row.label)}</span></button>'
    )
    fold = things = ""
    if row.things:
        opened = str(row.unfolded).lower()
        counted = f"{len(row.things)} {'thing' if len(row.things) == 1 else 'things'}"
        fold = (
            f'<button type="button" class="fold" data-fold="{i}" data-opened="{opened}" '
            f'aria-expanded="{opened}">'
            f"{counted}</button>"
        )
        inside = "".join(_row(f"{i}.{k}", thing) for k, thing in enumerate(row.things))
        things = f'<ol class="evf-things" data-of="{i}">{inside}</ol>'
    return f'<li><span class="head">{chip}{fold}</span>{score}<span class="area">{told}</span>{note}{things}</li>'


def _score(score: float) -> str:
    weak = " weak" if score < 0.5 else ""
    return (
        f'<span class="score{weak}" title="How well the model expects its mask to fit, 0 to 1">'
        f'<span class="bar" style="--score: {score:.3f}"></span><span><small>score </small>{score:.2f}</span></span>'
    )


def percent(fraction: float) -> str:
    """A share of the picture as people write it: "12 %", "0.4 %", "0 %"."""
    if 0 < fraction < 0.001:
        return "< 0.1 %"
    return f"{fraction * 100:.1f} %" if fraction < 0.0995 and fraction else f"{fraction * 100:.0f} %"


def seconds(value: float) -> str:
    """A duration as people write it: "40 ms", "1.2 s", "40 s", "5 min"."""
    if value >= 90:
        return f"{value / 60:.0f} min"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def _marks(clicks: SpatialPrompt, row: int) -> str:
    """A button per point and one for the box; ``data-mark`` is the point's index, or "box"."""
    drawn = []
    if clicks.box is not None:
        x0, y0, x1, y1 = clicks.box
        drawn.append(f'<rect data-row="{row}" x="{x0}" y="{y0}" width="{x1 - x0}" height="{y1 - y0}"/>')
        drawn.append(_mark(row, "box", "close", x1, y0, "×", "Remove this box"))
    if clicks.points is not None:
        for i, ((x, y), label) in enumerate(zip(clicks.points.coords, clicks.points.labels, strict=True)):
            kind, sign = ("plus", "+") if label else ("minus", "−")
            drawn.append(_mark(row, str(i), kind, x, y, sign, "Remove this point"))
    return "".join(drawn)


def _mark(row: int, mark: str, kind: str, x: float, y: float, sign: str, title: str) -> str:
    return (
        f'<g data-row="{row}" data-mark="{mark}" class="{kind}" role="button" tabindex="0" aria-label="{title}" '
        f'style="translate: {x:.1f}px {y:.1f}px"><title>{title}</title><circle class="reach"/>'
        f'<circle class="dot"/><text class="sign">{sign}</text><text class="x">×</text></g>'
    )


def to_view(array: np.ndarray) -> np.ndarray:
    """A picture or map (H, W, ...) made small enough for a screen; smaller ones stay as they are."""
    height, width = array.shape[:2]
    shrink = VIEW_PIXELS / max(height, width)
    if shrink >= 1:
        return array
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA)


def _uri(image: np.ndarray, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


picture_uri = functools.partial(_uri, kind="webp", quality=90, method=2)  # of a picture for the screen
_png = functools.partial(_uri, kind="png", compress_level=1)
