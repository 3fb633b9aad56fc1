"""Clicks and drags on a picture -> what the model takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evfsam.types import Clicks

ADD, REMOVE = "belongs to it", "does not"
BOX_SHARE = 0.01  # of the longest side: a shorter drag is a click


def with_drag(clicks: Clicks | None, inside: bool, drag: tuple[float, ...], longest_side: int) -> Clicks:
    """The clicks so far and one more: a point, or the box where the pointer was dragged.

    Args:
        inside: whether a point belongs to the thing.
        drag: x, y where the pointer went down and x, y where it came up, in pixels of the picture.
        longest_side: of the picture, in pixels.
    """
    clicks = clicks or Clicks()
    x0, y0, x1, y1 = drag
    if min(abs(x1 - x0), abs(y1 - y0)) > BOX_SHARE * longest_side:
        return replace(clicks, box_xyxy=(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))
    points, labels = np.array([[x1, y1]], np.float32), np.array([int(inside)], np.int64)
    if clicks.points_xy is not None:
        points, labels = np.concatenate([clicks.points_xy, points]), np.concatenate([clicks.labels, labels])
    return replace(clicks, points_xy=points, labels=labels)
