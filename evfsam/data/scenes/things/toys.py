"""Light things: ball, kite, balloon, umbrella. Each function draws one body of height 1 standing on y = 0."""

from __future__ import annotations

import math

import numpy as np

from evfsam.data.scenes.model import Sketch, Style
from evfsam.data.scenes.palette import HUES, Paint, Rgb
from evfsam.data.scenes.rng import Rng
from evfsam.data.scenes.shapes import arc, box, curve, ellipse, polygon, ribbon, smooth
from evfsam.data.scenes.things.built import other_colour

FLAT = Style(gradient=0.0)
ROUND = Style(gradient=0.16, roundness=0.30)


def contrast(coat: Paint, amount: float) -> Rgb:
    """A second tone of the same colour word: lighter, but darker for white."""
    return coat.lighter(amount) if coat.word != "white" else coat.darker(amount * 0.45)


def ball(skin: Paint, rng: Rng) -> Sketch:
    """Plain, with a band around it, or with three panels."""
    sketch = Sketch("ball", skin.word)
    sketch.part("ball", ellipse(0, -0.5, 0.5), skin.rgb, skin.word, ROUND)
    pattern = rng.pick(("plain", "band", "panels"))
    if pattern == "band":
        sketch.detail(_ball_band(-0.13, 0.13), contrast(skin, 0.5), style=Style(gradient=0.2))
    if pattern == "panels":
        for start in (20, 140, 260):
            rim = arc(0, -0.5, 0.5, 0.5, start - 24, start + 24)
            arm = np.concatenate([arc(0.06, -0.56, 0.05, 0.05, start, start, 1), rim])
            sketch.detail(arm, contrast(skin, 0.45), style=Style(gradient=0.16))
        sketch.detail(ellipse(0.06, -0.56, 0.1), contrast(skin, 0.45), style=FLAT)
    sketch.detail(ellipse(-0.17, -0.7, 0.1, 0.065, -35), contrast(skin, 0.55), style=FLAT)
    return sketch


def _ball_band(top: float, bottom: float) -> np.ndarray:
    """The part of the circle between two heights, with curved edges."""
    low, high = math.degrees(math.asin(bottom / 0.5)), math.degrees(math.asin(top / 0.5))
    right = arc(0, -0.5, 0.5, 0.5, high, low)
    left = arc(0, -0.5, 0.5, 0.5, 180 - low, 180 - high)
    lower = [(x, -0.5 + bottom + 0.09 * (1 - (x / 0.5) ** 2)) for x in np.linspace(0.45, -0.45, 12)]
    upper = [(x, -0.5 + top + 0.09 * (1 - (x / 0.5) ** 2)) for x in np.linspace(-0.45, 0.45, 12)]
    return np.concatenate([right, lower, left, upper])


def kite(sail: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("kite", sail.word)
    bow = other_colour(sail.word, HUES, rng)
    sway = rng.uniform(-0.10, 0.10)
    tail = [(0, -0.28), (0.1 + sway, -0.2), (-0.08 + sway, -0.1), (0.05 + sway, 0.0), (-0.1 + sway, 0.1)]
    sketch.part("tail", ribbon(tail, 0.028), bow.darker(0.15), bow.word, FLAT)
    for x, y in tail[1:]:
        for side in (-1, 1):
            end = x + side * 0.085
            sketch.detail(polygon((x, y), (end, y - 0.04), (end, y + 0.04)), bow.rgb)
    wide, waist = rng.uniform(0.3, 0.38), -0.72
    sketch.part("body", polygon((0, -1.0), (wide, waist), (0, -0.25), (-wide, waist)), sail.rgb, sail.word)
    second = contrast(sail, 0.4)
    sketch.detail(polygon((0, -1.0), (wide, waist), (0, waist)), second)
    sketch.detail(polygon((0, waist), (0, -0.25), (-wide, waist)), second)
    sketch.detail(box(-0.008, -1.0, 0.008, -0.25), sail.darker(0.35), style=FLAT)
    sketch.detail(box(-wide, waist - 0.008, wide, waist + 0.008), sail.darker(0.35), style=FLAT)
    return sketch


def balloon(envelope: Paint, rng: Rng) -> Sketch:
    """A hot-air balloon with its basket."""
    sketch = Sketch("balloon", envelope.word)
    for side in (-1, 1):
        rope = ribbon([(side * 0.11, -0.3), (side * 0.075, -0.12)], 0.012)
        sketch.part("rope", rope, (110, 84, 60), style=FLAT)
    basket = polygon((-0.095, -0.15), (0.095, -0.15), (0.075, 0), (-0.075, 0))
    sketch.part("basket", basket, (160, 108, 62), "brown")
    sketch.detail(box(-0.105, -0.16, 0.105, -0.13, 0.01), (120, 78, 46))
    sketch.detail(box(-0.088, -0.085, 0.088, -0.07), (120, 78, 46), style=FLAT)

    def lune(left: float, right: float) -> np.ndarray:
        """The strip of the envelope between two meridians, given as fractions of the half width."""
        edge = [(0.0, -1.0), (0.3, -0.93), (0.4, -0.72), (0.36, -0.56), (0.2, -0.36), (0.115, -0.27)]
        meridian = curve(edge)
        return np.concatenate([meridian * (right, 1), (meridian * (left, 1))[::-1]])

    sketch.part("envelope", lune(-1, 1), envelope.rgb, envelope.word, Style(gradient=0.14, roundness=0.22))
    second = contrast(envelope, 0.5)
    if rng.chance(0.7):
        for left, right in ((-0.72, -0.32), (0.32, 0.72)):
            sketch.detail(lune(left, right), second, style=Style(gradient=0.12, roundness=0.1))
    else:
        upper, lower = (
            [(-0.395, -0.76), (0, -0.70), (0.395, -0.76)],
            [(0.385, -0.62), (0, -0.55), (-0.385, -0.62)],
        )
        sketch.detail(smooth(*upper, *lower), second)
    return sketch


def umbrella(canopy: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("umbrella", canopy.word)
    stick = ribbon([(0, -0.9), (0, -0.3), (0.0, -0.1), (0.06, -0.02), (0.13, -0.08)], 0.04)
    sketch.part("handle", stick, (110, 76, 56))
    ribs = (-0.62, -0.22, 0.22, 0.62)
    dome = arc(0, -0.42, 0.62, 0.52, 180, 360, 40)
    pairs = reversed(list(zip(ribs, ribs[1:], strict=False)))
    scallops = [arc((a + b) / 2, -0.42, (b - a) / 2, 0.055, 0, -180, 8) for a, b in pairs]
    sketch.part("canopy", np.concatenate([dome, *scallops]), canopy.rgb, canopy.word, Style(gradient=0.16))
    top = arc(0, -0.42, 0.22, 0.52, 180, 360, 40)
    sketch.detail(np.concatenate([top, arc(0, -0.42, 0.22, 0.055, 0, -180, 8)]), contrast(canopy, 0.4))
    sketch.detail(box(-0.015, -1.0, 0.015, -0.92), (110, 76, 56), 0)
    return sketch
