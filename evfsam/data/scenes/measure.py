"""What can be seen of each thing, measured on one fixed rendering, whatever size is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evfsam.data.scenes.layout import frame_box
from evfsam.data.scenes.model import Scene
from evfsam.data.scenes.render import render_parts

CANONICAL_LONG_SIDE = 256


@dataclass(frozen=True)
class Seen:
    """A thing of which something is visible. Positions are fractions of the picture's width and height.

    ``area`` is the visible share of the picture; ``box`` (u0, v0, u1, v1) and ``centroid`` (u, v) are those
    of the visible pixels; ``extent`` is the box of all of it, hidden or not, within the picture; ``shown``
    is the share of its whole box that the visible box covers; ``foot`` is the v where it stands or hangs,
    ``size`` its pose's scale. ``looks`` maps a part name to (colour word, visible area).
    """

    thing: int
    kind: str
    colour: str
    area: float
    box: tuple[float, float, float, float]
    extent: tuple[float, float, float, float]
    centroid: tuple[float, float]
    shown: float
    foot: float
    size: float
    support: str
    looks: dict[str, tuple[str, float]]
    part_ids: tuple[int, ...]


@dataclass(frozen=True)
class View:
    """All that is visible in a scene: its things, and the area of each part-instance (by its index)."""

    things: tuple[Seen, ...]
    part_areas: tuple[float, ...]
    horizon_v: float


def canonical_size_hw(aspect: float) -> tuple[int, int]:
    """Pixels of the fixed rendering of a scene of that aspect."""
    if aspect >= 1:
        return max(1, round(CANONICAL_LONG_SIDE / aspect)), CANONICAL_LONG_SIDE
    return CANONICAL_LONG_SIDE, max(1, round(CANONICAL_LONG_SIDE * aspect))


def measure(scene: Scene) -> View:
    """Renders the part map at the fixed size and measures it."""
    part_map = render_parts(scene, canonical_size_hw(scene.aspect))
    height, width = part_map.shape
    areas = np.bincount(part_map.ravel(), minlength=len(scene.parts)) / part_map.size
    thing_of_part = np.array([-1 if part.thing is None else part.thing for part in scene.parts])
    thing_map = thing_of_part[part_map]
    seen = []
    for number in np.unique(thing_map[thing_map >= 0]):
        rows, columns = np.nonzero(thing_map == number)
        box = (
            columns.min() / width,
            rows.min() / height,
            (columns.max() + 1) / width,
            (rows.max() + 1) / height,
        )
        centroid = ((columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height)
        seen.append(_seen(scene, int(number), tuple(map(float, box)), tuple(map(float, centroid)), areas))
    return View(tuple(seen), tuple(areas.tolist()), scene.horizon_v)


def _seen(scene: Scene, number: int, box: tuple, centroid: tuple, areas: np.ndarray) -> Seen:
    body = scene.things[number]
    parts = [part for part in scene.parts if part.thing == number]
    looks: dict[str, tuple[str, float]] = {}
    for part in parts:
        looks[part.name] = (part.colour, looks.get(part.name, ("", 0.0))[1] + float(areas[part.index]))
    ids = tuple(part.index for part in parts)
    whole = frame_box(body, scene.aspect)
    shown = _box_area(box) / _box_area(whole)
    camera = [shift * body.parallax for shift in scene.camera_uv]
    extent = tuple(min(1.0, max(0.0, edge - camera[i % 2])) for i, edge in enumerate(whole))
    return Seen(
        thing=number,
        kind=body.kind,
        colour=body.colour,
        area=float(areas[list(ids)].sum()),
        box=box,
        extent=extent,
        centroid=centroid,
        shown=min(1.0, shown),
        foot=body.pose.v - camera[1],
        size=body.pose.scale,
        support=body.support,
        looks=looks,
        part_ids=ids,
    )


def _box_area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
