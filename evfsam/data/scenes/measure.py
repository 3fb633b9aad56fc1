"""Measures the visible part of each thing on one rendering of fixed size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evfsam.data.scenes.layout import frame_box
from evfsam.data.scenes.model import Scene
from evfsam.data.scenes.render import render_parts

CANONICAL_LONG_SIDE = 256


@dataclass(frozen=True)
class Seen:
    """A thing that is at least partly visible. Positions are fractions of the image's width and height.

    Attributes:
        thing: its number in ``Scene.things``.
        area: visible share of the image.
        box, centroid: (u0, v0, u1, v1) and (u, v) of the visible pixels.
        extent: box of the whole thing with its hidden parts, cut at the image's border.
        shown: area of the visible box divided by that of the whole box.
        foot: v of the place where it stands or hangs.
        size: scale of its pose.
        support: the stuff that it stands on; empty for flying things.
        looks: part name -> (colour word, visible area).
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
    """Everything visible in a scene: its things, and the area of each part by its index."""

    things: tuple[Seen, ...]
    part_areas: tuple[float, ...]
    horizon_v: float


def canonical_size_hw(aspect: float) -> tuple[int, int]:
    """(height, width) in pixels of the fixed rendering of a scene of width / height = ``aspect``."""
    if aspect >= 1:
        return max(1, round(CANONICAL_LONG_SIDE / aspect)), CANONICAL_LONG_SIDE
    return CANONICAL_LONG_SIDE, max(1, round(CANONICAL_LONG_SIDE * aspect))


def measure(scene: Scene) -> View:
    """Render the part map at the fixed size and measure it."""
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
