"""Makes a scene from a seed: chooses its things, their colours and their places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evfsam.data.scenes.backdrop import Backdrop, make_backdrop
from evfsam.data.scenes.model import Body, Patch, Pose, Scene
from evfsam.data.scenes.palette import Rgb, mix, paint
from evfsam.data.scenes.rng import Rng
from evfsam.data.scenes.shapes import rotated
from evfsam.data.scenes.things import KINDS, Kind

LAYOUT_STREAM = 0
Box = tuple[float, float, float, float]
BIG = ("house", "bus", "tree")


def make_scene(seed: int, aspect: float = 1.0) -> Scene:
    """The scene of a seed, laid out for images of width / height = ``aspect``.

    The same seed and aspect give the same scene, bit for bit. The colour word of a thing is that of its main part
    (``Kind.main``): the wall of a house, the shirt of a person.
    """
    rng = Rng(seed, LAYOUT_STREAM)
    backdrop = make_backdrop(rng)
    cast = _cast(backdrop, rng)
    crowd = {4: 1.15, 5: 1.1, 6: 1.0, 7: 0.95, 8: 0.9, 9: 0.86}[len(cast)]
    placed: list[Body] = []
    boxes: list[Box] = []
    for kind, colour in sorted(cast, key=lambda entry: -entry[0].height):
        placed.append(_place(kind, colour, boxes, backdrop, aspect, crowd, rng))
        boxes.append(frame_box(placed[-1], aspect))
    placed.sort(key=lambda body: body.depth)
    return Scene(seed, aspect, backdrop.stuff, tuple(placed), backdrop.light, backdrop.horizon)


def _cast(backdrop: Backdrop, rng: Rng) -> list[tuple[Kind, str]]:
    """Kinds and colours: up to three groups of one kind each, then single things that serve as landmarks."""
    total = rng.weighted({4: 1, 5: 2, 6: 3, 7: 3, 8: 2, 9: 1})
    odds = {name: 1.0 for name in KINDS} | {"boat": 2.2 if "sea" in backdrop.zones else 0.5}
    if "road" in backdrop.zones:
        odds |= {"car": 2.2, "bus": 1.4}
    names: list[str] = []
    while len(names) < 7:
        names.append(rng.weighted({name: weight for name, weight in odds.items() if name not in names}))
    counts = [
        rng.integer(2, 3 if names[0] in BIG else 4),
        rng.weighted({1: 1, 2: 3, 3: 1.5}),
        rng.weighted({1: 2.5, 2: 1}),
    ]
    kinds = [name for name, count in zip(names, counts + [1, 1, 1, 1], strict=True) for _ in range(count)]
    palette = rng.shuffled(("red", "orange", "yellow", "green", "blue", "purple", "pink", "white"))[: rng.integer(3, 5)]
    return [(KINDS[name], _colour(KINDS[name], palette, rng)) for name in kinds[:total]]


def _colour(kind: Kind, palette: list[str], rng: Rng) -> str:
    """Mostly one of the scene's own few colours, so that several kinds share a colour."""
    shared = [colour for colour in kind.colours if colour in palette]
    return rng.pick(shared if shared and rng.chance(0.8) else kind.colours)


def _place(
    kind: Kind, colour: str, boxes: list[Box], backdrop: Backdrop, aspect: float, crowd: float, rng: Rng
) -> Body:
    """The pose, of several random ones, that overlaps the boxes already taken the least."""
    places = {place: odds for place, odds in kind.places.items() if place in backdrop.zones or place == "air"}
    place = rng.weighted(places)
    draw = kind.draw_aloft if place == "air" and kind.draw_aloft else kind.draw
    drawn = draw(paint(colour, rng), rng).body()
    points = _all_points(drawn)
    size = kind.height * crowd * rng.uniform(0.72, 1.3)
    tolerance = 0.03 if rng.chance(0.6) else 0.3
    best: tuple[float, Body] | None = None
    for _ in range(14):
        pose, depth, support = _pose(kind, place, size, backdrop, rng)
        box = _box_of(to_frame(pose, points, aspect))
        crowding = max((overlap(box, other) for other in boxes), default=0.0)
        if best is None or crowding < best[0]:
            best = (crowding, replace(drawn, pose=pose, depth=depth, support=support))
        if crowding <= tolerance:
            break
    return _hazed(best[1], backdrop.haze_rgb)


def _pose(kind: Kind, place: str, size: float, backdrop: Backdrop, rng: Rng) -> tuple[Pose, float, str]:
    horizon = backdrop.horizon
    if place == "air":
        depth = rng.uniform(0.15, 1.0)
        scale = size * (0.62 + 0.45 * depth)
        v = rng.uniform(scale + 0.02, max(scale + 0.04, horizon + 0.12))
    else:
        far, near = backdrop.zones[place]
        v = far + (near - far) * rng.uniform() ** 0.85
        if place == "ground" and "road" in backdrop.zones:
            v = _off_road(v, backdrop.zones["road"])
        depth = (v - horizon) / (1.0 - horizon)
        scale = size * (0.62 + 0.45 * depth)
    margin = 0.02 if rng.chance(0.12) else 0.10
    tilt = kind.tilt * rng.uniform(-1, 1)
    pose = Pose(rng.uniform(margin, 1 - margin), v, scale, tilt, rng.chance(0.5))
    return pose, depth, {"air": "", "ground": backdrop.soil}.get(place, place)


def _off_road(v: float, road: tuple[float, float]) -> float:
    """A foot on the road or its edge is moved to the nearer side of the road."""
    far, near = road[0] - 0.08, road[1] + 0.06
    if not far < v < near:
        return v
    return far if v - far < near - v else near


def to_frame(pose: Pose | None, points: np.ndarray, aspect: float) -> np.ndarray:
    """Body coordinates (n, 2) -> frame coordinates (n, 2), for width / height = ``aspect``, without the camera."""
    if pose is None:
        return points
    short = np.array([min(1.0, 1.0 / aspect), min(1.0, aspect)]) * pose.scale
    mirror = np.array([-1.0 if pose.mirrored else 1.0, 1.0])
    return rotated(points * mirror, pose.turn) * short + (pose.u, pose.v)


def frame_box(body: Body, aspect: float) -> Box:
    """The box (u0, v0, u1, v1) around the whole body, with its hidden parts."""
    return _box_of(to_frame(body.pose, _all_points(body), aspect))


def _all_points(body: Body) -> np.ndarray:
    return np.concatenate([patch.outline for patch in body.patches])


def _box_of(points: np.ndarray) -> Box:
    (u0, v0), (u1, v1) = points.min(0).tolist(), points.max(0).tolist()
    return u0, v0, u1, v1


def overlap(a: Box, b: Box) -> float:
    """The shared area of two boxes, divided by the area of the smaller one."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _hazed(body: Body, haze_rgb: Rgb) -> Body:
    """Far things fade a little into the distance."""
    amount = 0.14 * (1.0 - min(1.0, max(0.0, body.depth)))
    patches = tuple(Patch(p.part, p.outline, mix(p.rgb, haze_rgb, amount), p.style, p.rgb_below) for p in body.patches)
    return replace(body, patches=patches)
