"""Stuff: sky, ground and water behind and under the things, as bodies in frame coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evfsam.data.scenes.model import Body, Light, Pose, Sketch, Style
from evfsam.data.scenes.palette import Rgb, jitter, mix
from evfsam.data.scenes.rng import Rng
from evfsam.data.scenes.shapes import box, curve, ellipse, polygon, ribbon

STUFF = ("sky", "cloud", "sun", "mountain", "grass", "sand", "sea", "road")
LEFT, RIGHT = -1.0, 2.0  # bands reach far out of the frame so that a camera may pan


@dataclass(frozen=True)
class Weather:
    """Sky colours from the zenith to the horizon, and the colour that distance fades into."""

    top: Rgb
    low: Rgb
    cloud: Rgb
    halo: Rgb


WEATHERS = (
    Weather((88, 164, 232), (206, 232, 246), (250, 251, 253), (255, 244, 204)),
    Weather((120, 190, 236), (232, 242, 240), (253, 253, 252), (255, 244, 204)),
    Weather((118, 152, 214), (252, 222, 196), (255, 244, 236), (255, 214, 150)),
    Weather((146, 126, 190), (252, 190, 158), (252, 222, 216), (255, 196, 140)),
    Weather((148, 176, 200), (222, 230, 234), (242, 244, 246), (250, 246, 226)),
)


@dataclass(frozen=True)
class Backdrop:
    """Stuff, light, and where things may stand.

    Attributes:
        stuff: from back to front.
        zones: "ground", "road" and "sea" -> (v of the far end, v of the near end).
        soil: the stuff that the ground is made of.
    """

    stuff: tuple[Body, ...]
    light: Light
    horizon: float
    zones: dict[str, tuple[float, float]]
    haze_rgb: Rgb
    soil: str


def make_backdrop(rng: Rng) -> Backdrop:
    """Draw the weather, the sky, the ground and the light."""
    weather = rng.pick(WEATHERS)
    horizon = rng.uniform(0.34, 0.52)
    sun_uv = (rng.uniform(0.08, 0.92), rng.uniform(0.08, horizon - 0.16))
    sunny = rng.chance(0.6)
    stuff = [_sky(weather, horizon)]
    if sunny:
        stuff.append(_sun(sun_uv, rng))
    stuff += [_cloud(weather, horizon, rng) for _ in range(rng.weighted({0: 2, 1: 3, 2: 3, 3: 1}))]
    if rng.chance(0.5):
        stuff.append(_mountains(weather, horizon, rng))
    ground, zones = _ground(horizon, rng)
    side = sun_uv[0] - 0.5 if sunny else rng.sign() * 0.6
    length = math.hypot(side, 0.7)
    light = Light((side / length, -0.7 / length), sun_uv, weather.halo, 0.55 if sunny else 0.0)
    return Backdrop(
        tuple(stuff + ground),
        light,
        horizon,
        zones,
        weather.low,
        ground[-1 if "road" not in zones else -2].kind,
    )


def _sky(weather: Weather, horizon: float) -> Body:
    sketch = Sketch("sky")
    sketch.part(
        "sky",
        box(LEFT, 0.0, RIGHT, horizon + 0.02),
        weather.top,
        style=Style(0.0, glow=1.0),
        rgb_below=weather.low,
    )
    sketch.detail(box(LEFT, horizon + 0.02, RIGHT, 1.5), weather.low, style=Style(0.0))
    sketch.detail(box(LEFT, -1.0, RIGHT, -0.002), weather.top, style=Style(0.0))
    return sketch.body(parallax=0.0)


def _sun(sun_uv: tuple[float, float], rng: Rng) -> Body:
    sketch = Sketch("sun")
    sketch.part("sun", ellipse(0, 0, 1), (255, 226, 120), style=Style(0.0))
    sketch.detail(ellipse(0, 0, 0.82), (255, 240, 176), style=Style(0.0))
    return sketch.body(Pose(*sun_uv, rng.uniform(0.05, 0.075)), parallax=0.0)


def _cloud(weather: Weather, horizon: float, rng: Rng) -> Body:
    sketch = Sketch("cloud")
    count = rng.integer(4, 5)
    puffs = []
    for i in range(count):
        along = i / (count - 1) * 2 - 1
        radius = (0.44 - 0.2 * abs(along)) * rng.uniform(0.85, 1.15)
        puffs.append((along * 0.85, -radius * 0.55, radius))
    shade, soft = mix(weather.cloud, weather.top, 0.22), Style(0.06, glow=0.3)
    sketch.part("cloud", box(-1.05, -0.26, 1.05, 0.06, 0.16), shade, style=soft)
    for x, y, r in puffs:
        sketch.detail(ellipse(x, y, r), shade, style=soft)
    for x, y, r in puffs:
        sketch.detail(ellipse(x * 0.98, y - 0.05, r * 0.86), weather.cloud, style=soft)
    return sketch.body(
        Pose(rng.uniform(0.0, 1.0), rng.uniform(0.10, max(0.14, horizon - 0.10)), rng.uniform(0.09, 0.16)),
        parallax=0.2,
    )


def _mountains(weather: Weather, horizon: float, rng: Rng) -> Body:
    sketch = Sketch("mountain")
    rock = jitter(rng.pick(((112, 124, 152), (124, 132, 140), (132, 120, 140), (98, 126, 134))), rng)
    for ridge in range(rng.integer(1, 2)):
        colour = mix(rock, weather.low, 0.42 - 0.22 * ridge)
        peaks, points, u = [], [(LEFT, horizon + 0.03)], LEFT + rng.uniform(0, 0.2)
        while u < RIGHT:
            peak = (u, horizon - rng.uniform(0.10, 0.25) * (1 - 0.35 * ridge))
            peaks.append(peak)
            points += [peak, (u + rng.uniform(0.10, 0.14), horizon - rng.uniform(0.02, 0.06))]
            u += rng.uniform(0.22, 0.34)
        outline = polygon(*points, (RIGHT, horizon + 0.03))
        style = Style(0.04, grain=0.03)
        number = (
            sketch.part("mountain", outline, colour, style=style)
            if ridge == 0
            else sketch.detail(outline, colour, 0, style)
        )
        _mountain_faces(sketch, number, points, peaks, horizon, colour)
    return sketch.body(parallax=0.35)


def _mountain_faces(sketch: Sketch, number: int, points: list, peaks: list, horizon: float, colour: Rgb) -> None:
    """Shaded right flanks and snow on the high peaks."""
    for u, v in peaks:
        following = next((p for p in points if p[0] > u), (u + 0.1, horizon))
        foot, half_way = horizon + 0.03, v + (horizon - v) * 0.45
        flank = polygon((u, v), following, (following[0], foot), (u + 0.05, foot), (u + 0.012, half_way))
        sketch.detail(flank, mix(colour, (50, 54, 90), 0.14), number, Style(0.03, grain=0.03))
        if horizon - v > 0.145:
            drop = 0.25
            right = (u + (following[0] - u) * drop, v + (following[1] - v) * drop)
            before = max((p for p in points if p[0] < u), default=(u - 0.1, horizon))
            left = (u + (before[0] - u) * drop, v + (before[1] - v) * drop)
            middle = [
                (u + 0.012, right[1] + 0.012),
                (u - 0.002, right[1] - 0.004),
                (u - 0.014, left[1] + 0.014),
            ]
            sketch.detail(polygon((u, v), right, *middle, left), mix(colour, (255, 255, 255), 0.75), number)


def _ground(horizon: float, rng: Rng) -> tuple[list[Body], dict[str, tuple[float, float]]]:
    plan = rng.weighted(
        {"meadow": 1.2, "meadow road": 1.6, "beach": 1.8, "lake": 1.2, "dunes": 0.6, "desert road": 0.7}
    )
    soil = _sand if plan in ("beach", "dunes", "desert road") else _grass
    bodies, near = [], horizon
    zones: dict[str, tuple[float, float]] = {}
    if plan in ("beach", "lake"):
        near = horizon + rng.uniform(0.16, 0.26)
        bodies.append(_sea(horizon, near + 0.06, rng))
        zones["sea"] = (horizon + 0.035, near - 0.005)
    bodies.append(soil(near, plan == "beach" or plan == "lake", rng))
    zones["ground"] = (near + 0.06, 1.0)
    if plan.endswith("road"):
        top = rng.uniform(horizon + 0.16, 0.74)
        bottom = top + rng.uniform(0.15, 0.20)
        bodies.append(_road(top, bottom, rng))
        zones["road"] = (top + 0.05, bottom - 0.015)
    return bodies, zones


def _shoreline(v: float, wavy: bool, rng: Rng) -> list[tuple[float, float]]:
    if not wavy:
        bumps = [(u, v + rng.uniform(-0.008, 0.008)) for u in np.linspace(LEFT, RIGHT, 9)]
    else:
        bumps = [(u, v + rng.uniform(-0.022, 0.022)) for u in np.linspace(LEFT, RIGHT, 16)]
    return [(float(u), float(w)) for u, w in bumps]


def _soil(name: str, v: float, wavy: bool, far: Rgb, near: Rgb, style: Style, rng: Rng) -> tuple[Sketch, list]:
    sketch = Sketch(name)
    edge = curve(_shoreline(v, wavy, rng))
    outline = np.concatenate([edge, polygon((RIGHT, 1.1), (LEFT, 1.1))])
    sketch.part(name, outline, far, style=style, rgb_below=near)
    sketch.detail(box(LEFT, 1.09, RIGHT, 2.0), near, style=style)
    return sketch, edge


def _grass(v: float, wavy: bool, rng: Rng) -> Body:
    far = jitter(rng.pick(((172, 200, 112), (156, 194, 118), (188, 200, 110))), rng)
    near = mix(far, (84, 146, 62), 0.72)
    sketch, _ = _soil("grass", v, wavy, far, near, Style(0.0, grain=0.075, shadow=1.0), rng)
    for _ in range(46):
        u, along = rng.uniform(-0.5, 1.5), rng.uniform(0.06, 1.0)
        y = v + (1.04 - v) * along
        size = 0.008 + 0.024 * along
        blades = polygon(
            (u - size * 0.55, y),
            (u - size * 0.8, y - size * 0.9),
            (u - size * 0.15, y - size * 0.3),
            (u, y - size * 1.25),
            (u + size * 0.15, y - size * 0.3),
            (u + size * 0.85, y - size * 0.85),
            (u + size * 0.55, y),
        )
        tone = mix(far, near, along)
        sketch.detail(
            blades,
            mix(tone, (54, 112, 50) if rng.chance(0.6) else (226, 232, 150), 0.38),
            style=Style(0.0, shadow=1.0),
        )
    return sketch.body()


def _sand(v: float, wavy: bool, rng: Rng) -> Body:
    far = jitter(rng.pick(((240, 222, 178), (236, 214, 172), (244, 226, 190))), rng)
    near = mix(far, (214, 178, 122), 0.62)
    sketch, edge = _soil("sand", v, wavy, far, near, Style(0.0, grain=0.05, shadow=1.0), rng)
    if wavy:
        wet = np.concatenate([edge - (0, 0.004), (edge + (0, 0.022))[::-1]])
        sketch.detail(wet, mix(far, (150, 128, 96), 0.38), style=Style(0.0, shadow=1.0))
    ripple = ribbon([(-1, 0), (-0.3, -0.1), (0.3, 0.06), (1, 0)], 0.10, 0.02)
    for _ in range(26):
        u, along = rng.uniform(-0.5, 1.5), rng.uniform(0.1, 1.0)
        y, size = v + (1.04 - v) * along, 0.02 + 0.06 * along
        sketch.detail(
            ripple * size + (u, y),
            mix(mix(far, near, along), (168, 128, 84), 0.28),
            style=Style(0.0, shadow=1.0),
        )
    return sketch.body()


def _sea(v: float, bottom: float, rng: Rng) -> Body:
    sketch = Sketch("sea")
    near = jitter(rng.pick(((96, 188, 200), (88, 176, 196), (116, 196, 196))), rng)
    far = mix(near, (40, 96, 150), 0.62)
    sketch.part(
        "sea",
        box(LEFT, v, RIGHT, bottom),
        far,
        style=Style(0.0, streak=0.10, shadow=0.5, glow=0.25),
        rgb_below=near,
    )
    crest = ribbon([(-1, 0), (0, -0.12), (1, 0)], 0.11, 0.02)
    for _ in range(34):
        along = rng.uniform(0.05, 1.0)
        u, y, size = rng.uniform(-0.5, 1.5), v + (bottom - v) * along, 0.02 + 0.05 * along
        sketch.detail(
            crest * size + (u, y),
            mix(mix(far, near, along), (255, 255, 255), rng.uniform(0.25, 0.55)),
            style=Style(0.0),
        )
    return sketch.body()


def _road(top: float, bottom: float, rng: Rng) -> Body:
    sketch = Sketch("road")
    tilt = rng.uniform(-0.02, 0.02)
    grey = jitter(rng.pick(((124, 124, 132), (108, 110, 120), (138, 132, 130))), rng)

    def strip(v0: float, v1: float, u0: float = LEFT, u1: float = RIGHT) -> np.ndarray:
        return polygon((u0, v0 + tilt * u0), (u1, v0 + tilt * u1), (u1, v1 + tilt * u1), (u0, v1 + tilt * u0))

    style = Style(0.0, grain=0.035, shadow=1.0)
    sketch.part("road", strip(top, bottom), mix(grey, (255, 255, 255), 0.1), style=style, rgb_below=grey)
    for v in (top, bottom - 0.007):
        sketch.detail(strip(v, v + 0.007), mix(grey, (250, 248, 236), 0.55), style=style)
    middle, phase = top + (bottom - top) * 0.46, rng.uniform(0, 0.16)
    for i in range(19):
        u = LEFT + phase + i * 0.16
        sketch.detail(strip(middle - 0.005, middle + 0.006, u, u + 0.09), mix(grey, (252, 246, 224), 0.8), style=style)
    return sketch.body()
