"""Closed outlines: float64 (n, 2), x and y with y down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Points = Sequence[tuple[float, float]]


def polygon(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=np.float64)


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> np.ndarray:
    """A rectangle with rounded corners."""
    if radius <= 0:
        return polygon((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    radius = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    corners = (
        (x1 - radius, y0 + radius, -90),
        (x1 - radius, y1 - radius, 0),
        (x0 + radius, y1 - radius, 90),
        (x0 + radius, y0 + radius, 180),
    )
    return np.concatenate([arc(cx, cy, radius, radius, start, start + 90, 8) for cx, cy, start in corners])


def arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, count: int = 24) -> np.ndarray:
    """Points on an ellipse from ``start`` to ``stop`` in degrees, clockwise from the right."""
    return _unit_arc(start, stop, count) * (rx, ry) + (cx, cy)


@lru_cache(maxsize=256)
def _unit_arc(start: float, stop: float, count: int) -> np.ndarray:
    angles = [math.radians(start + (stop - start) * i / count) for i in range(count + 1)]
    return np.array([(math.cos(a), math.sin(a)) for a in angles])


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None, turn: float = 0.0) -> np.ndarray:
    """An ellipse, turned about its centre by ``turn`` degrees; a circle if ``ry`` is None."""
    outline = arc(0.0, 0.0, rx, rx if ry is None else ry, 0, 360 - 7.5, 47)
    return (rotated(outline, turn) if turn else outline) + (cx, cy)


def rotated(outline: np.ndarray, degrees: float) -> np.ndarray:
    """The outline turned about the origin, clockwise on screen."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return outline @ np.array([[c, s], [-s, c]])


def smooth(*points: tuple[float, float], steps: int = 8) -> np.ndarray:
    """The closed Catmull-Rom curve through the points."""
    p1 = np.array(points, dtype=np.float64)
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    pieces = [_catmull_rom(p0, p1, p2, p3, i / steps) for i in range(steps)]
    return np.stack(pieces, 1).reshape(-1, 2)


def curve(points: Points, steps: int = 8) -> np.ndarray:
    """The open Catmull-Rom curve through the points."""
    p = np.array([points[0], *points, points[-1]], dtype=np.float64)
    t = (np.arange(steps) / steps)[:, None, None]
    pieces = _catmull_rom(p[:-3], p[1:-2], p[2:-1], p[3:], t)
    return np.concatenate([pieces.transpose(1, 0, 2).reshape(-1, 2), p[-1:]])


def ribbon(points: Points, width: float, end_width: float | None = None) -> np.ndarray:
    """A band along the open curve through the points, with round ends."""
    line = curve(points)
    along = np.concatenate([line[1:2] - line[:1], line[2:] - line[:-2], line[-1:] - line[-2:-1]])
    along /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
    half = np.linspace(width, width if end_width is None else end_width, len(line))[:, None] / 2
    across = np.stack([-along[:, 1], along[:, 0]], 1) * half
    tip = _cap(line[-1], along[-1], half[-1, 0])
    foot = _cap(line[0], -along[0], half[0, 0])
    return np.concatenate([line - across, tip, (line + across)[::-1], foot])


def _cap(centre: np.ndarray, direction: np.ndarray, radius: float) -> np.ndarray:
    """Half a circle around an end of a ribbon, on the side of the unit vector ``direction``."""
    ahead = np.array([direction, (-direction[1], direction[0])])
    return _unit_arc(-90, 90, 8) @ ahead * radius + centre


def _catmull_rom(p0, p1, p2, p3, t):
    return 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
