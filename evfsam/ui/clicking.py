"""Clicks and drags on an image -> a spatial prompt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evfsam import values
from evfsam.errors import InputError
from evfsam.types import PointPrompt, SpatialPrompt

BOX_SHARE = 0.01  # of the longest side: a shorter drag is a click


def with_drag(
    clicks: SpatialPrompt | None, inside: bool, drag: Sequence[float], size_hw: tuple[int, int]
) -> SpatialPrompt:
    """The clicks so far and one more: a point, or the box where the pointer was dragged.

    Args:
        inside: whether a point belongs to the thing.
        drag: x, y where the pointer went down and x, y where it came up, in pixels of the image.
        size_hw: (height, width) of the image; a drag that ends outside ends at its edge.

    Raises InputError for a drag that is not four finite numbers.
    """
    clicks = clicks or SpatialPrompt()
    ends, _ = values.points(_pairs(drag), (1, 1))
    (x0, y0), (x1, y1) = ends.clip(0, size_hw[::-1]).tolist()
    if min(abs(x1 - x0), abs(y1 - y0)) > BOX_SHARE * max(size_hw):
        return replace(clicks, box=(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))
    points, labels = np.array([[x1, y1]], np.float32), np.array([int(inside)], np.int64)
    if clicks.points is not None:
        points = np.concatenate([clicks.points.coords, points])
        labels = np.concatenate([clicks.points.labels, labels])
    return replace(clicks, points=PointPrompt(points, labels))


def without(clicks: SpatialPrompt | None, mark: object) -> SpatialPrompt | None:
    """The clicks without one of them: the index of a point, or "box". None if nothing is left.

    Raises InputError for a mark that is not there.
    """
    clicks = clicks or SpatialPrompt()
    labels = [] if clicks.points is None else clicks.points.labels
    marks = {str(i): i for i in range(len(labels))} | ({"box": None} if clicks.box else {})
    if str(mark) not in marks:
        raise InputError("This answer has no such mark: look at the marks that are there now.")
    place = marks[str(mark)]
    if place is None:
        return replace(clicks, box=None) if len(labels) else None
    if len(labels) == 1:
        return replace(clicks, points=None) if clicks.box else None
    points = PointPrompt(np.delete(clicks.points.coords, place, 0), np.delete(labels, place))
    return replace(clicks, points=points)


def _pairs(drag: Sequence[float]) -> list:
    if not isinstance(drag, Sequence) or len(drag) != 4:
        raise InputError("A click must be four numbers: x and y of its start, x and y of its end.")
    return [list(drag[:2]), list(drag[2:])]


def clicks_to_text(clicks: Sequence[SpatialPrompt | None]) -> str:
    """Spatial prompts, one entry per phrase, as text for a link."""
    rows = []
    for by_hand in clicks:
        given = by_hand.points if by_hand else None
        points = given.coords.round(1).tolist() if given else []
        signs = [int(label) for label in given.labels] if given else []
        box = by_hand.box if by_hand else None
        rows.append([points, signs, [round(float(edge), 1) for edge in box] if box else None])
    return json.dumps(rows, separators=(",", ":"))


def clicks_from_text(text: str, count: int) -> list[SpatialPrompt | None]:
    """The inverse of :func:`clicks_to_text` for ``count`` phrases, and then things that were clicked without words.

    Raises InputError for any other text.
    """
    try:
        found = [_clicks(points, signs, box) for points, signs, box in json.loads(text)]
    except (ValueError, TypeError):
        found = [None] * (count + 1)
    if not found or len(found) < count or None in found[count:]:
        raise InputError("The clicks of this link cannot be read: open it without them.")
    return found


def _clicks(points: list, signs: list, box: list | None) -> SpatialPrompt | None:
    if not points and box is None:
        return None
    xy, labels = np.array(points, np.float32).reshape(-1, 2), np.array(signs, np.int64)
    if len(xy) != len(labels) or (box is not None and len(box) != 4):
        raise ValueError("points and signs, or a box, are incomplete")
    corners = None if box is None else tuple(map(float, box))
    return SpatialPrompt(PointPrompt(xy, labels) if points else None, corners)
