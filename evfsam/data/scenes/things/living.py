"""Living things: tree, flower, person, dog, bird. Each is drawn with height 1, standing on y = 0."""

from __future__ import annotations

import math

import numpy as np

from evfsam.data.scenes.model import Sketch, Style
from evfsam.data.scenes.palette import SKIN, Paint, Rgb, mix, paint, plain
from evfsam.data.scenes.rng import Rng
from evfsam.data.scenes.shapes import arc, box, ellipse, polygon, ribbon, smooth
from evfsam.data.scenes.things.built import other_colour

INK = (40, 34, 44)
LEAFY = Style(gradient=0.14, grain=0.05)
FLAT = Style(gradient=0.0)


def tree(crown: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("tree", crown.word)
    bark = plain((120, 82, 56), rng)
    trunk = smooth((-0.05, -0.55), (0.05, -0.55), (0.055, -0.15), (0.1, 0.0), (-0.1, 0.0), (-0.055, -0.15))
    sketch.part("trunk", trunk, bark.rgb, style=Style(gradient=0.2))
    rng.pick((_round_crown, _round_crown, _fir_crown, _oval_crown))(sketch, crown, rng)
    return sketch


def _round_crown(sketch: Sketch, crown: Paint, rng: Rng) -> None:
    blobs = [(0.0, -0.66, 0.27)]
    start, count = rng.uniform(0, 360), rng.integer(5, 6)
    for i in range(count):
        angle = math.radians(start + 360 * i / count)
        blobs.append((0.23 * math.cos(angle), -0.64 + 0.17 * math.sin(angle), rng.uniform(0.15, 0.19)))
    sketch.part("crown", ellipse(*blobs[0]), crown.darker(0.06), crown.word, LEAFY)
    for blob in blobs[1:]:
        sketch.detail(ellipse(*blob), crown.darker(0.06), style=LEAFY)
    for x, y, r in blobs:
        sketch.detail(ellipse(x * 0.8, y - 0.035, r * 0.66), crown.lighter(0.07), style=LEAFY)


def _fir_crown(sketch: Sketch, crown: Paint, rng: Rng) -> None:
    wide = rng.uniform(0.27, 0.34)
    for i, (top, bottom, reach) in enumerate(((-0.56, -0.14, 1.0), (-0.78, -0.38, 0.8), (-1.0, -0.62, 0.58))):
        half = wide * reach
        hem = [(half, 0), (half * 0.5, 0.03), (0, 0.045), (-half * 0.5, 0.03), (-half, 0)]
        tier = polygon((0, top), *((x, bottom + drop) for x, drop in hem))
        shade = mix(crown.darker(0.14), crown.lighter(0.08), i / 2)
        if i == 0:
            sketch.part("crown", tier, shade, crown.word, LEAFY)
        else:
            sketch.detail(tier, shade, style=LEAFY)


def _oval_crown(sketch: Sketch, crown: Paint, rng: Rng) -> None:
    wide = rng.uniform(0.2, 0.27)
    side = [(0.75, -0.82), (1.0, -0.5), (0.7, -0.26)]
    right, left = [(wide * x, y) for x, y in side], [(-wide * x, y) for x, y in reversed(side)]
    outline = smooth((0, -1.0), *right, (0, -0.2), *left)
    sketch.part("crown", outline, crown.rgb, crown.word, Style(gradient=0.16, grain=0.05))
    for _ in range(7):
        x, y = rng.uniform(-0.6, 0.6) * wide, rng.uniform(-0.82, -0.36)
        sketch.detail(arc(x, y, 0.05, 0.04, 0, 180, 8), crown.darker(0.12), style=FLAT)


def flower(petals: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("flower", petals.word)
    green = plain((72, 142, 66), rng)
    bend = rng.uniform(-0.06, 0.06)
    sketch.part("stem", ribbon([(0, 0), (bend, -0.35), (0, -0.68)], 0.05), green.rgb)
    for side, y in ((-1, -0.14), (1, -0.24)):
        blade = [(side * 0.13, y - 0.1), (side * 0.27, y - 0.13), (side * 0.17, y - 0.01)]
        sketch.part("leaf", smooth((bend * 0.6, y), *blade), green.lighter(0.08), style=Style(gradient=0.18))
    count = rng.integer(5, 8)
    start, reach = rng.uniform(0, 360), 0.19
    whorls = [(petals.darker(0.12), 0.125, 0.012), (petals.rgb, 0.115, -0.006)]
    spots = []
    for tint, length, extra in whorls:
        for i in range(count):
            turn = start + 360 * i / count
            x, y = reach * math.cos(math.radians(turn)), -0.70 + reach * math.sin(math.radians(turn))
            spots.append((ellipse(x, y, length, 0.72 / count + extra, turn), tint))
    sketch.part("petals", *spots[0], petals.word)
    for outline, tint in spots[1:]:
        sketch.detail(outline, tint)
    heart = "brown" if petals.word in ("yellow", "orange") else "yellow"
    centre = paint(heart, rng)
    sketch.part("centre", ellipse(0, -0.70, 0.115), centre.rgb, heart, Style(gradient=0.1, roundness=0.15))
    return sketch


def person(shirt: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("person", shirt.word)
    skin = rng.pick(SKIN)
    trousers = other_colour(shirt.word, ("blue", "black", "brown", "green", "red", "white"), rng)
    hair = paint(rng.weighted({"black": 3, "brown": 3, "yellow": 2, "orange": 1.2, "white": 0.8}), rng)
    long_hair, stride = rng.chance(0.4), rng.uniform(0.03, 0.11)
    if long_hair:
        right = [(0.125, -0.93), (0.14, -0.8), (0.12, -0.66)]
        left = [(-x, y) for x, y in reversed(right)]
        sketch.part("hair", smooth((0, -1.0), *right, (0, -0.64), *left), hair.rgb, hair.word)
    for side in (-1, 1):
        foot = side * (0.05 + stride)
        sketch.part("shoe", ellipse(foot + 0.025, -0.022, 0.062, 0.028), (66, 52, 52))
    left, right = (ribbon([(s * 0.055, -0.42), (s * (0.05 + stride), -0.04)], 0.105, 0.085) for s in (-1, 1))
    legs = sketch.part("trousers", left, trousers.rgb, trousers.word)
    sketch.detail(right, trousers.rgb, legs)
    sketch.detail(box(-0.11, -0.47, 0.11, -0.36, 0.03), trousers.rgb, legs, FLAT)
    _arm(sketch, -1, skin, shirt, rng)
    _arm(sketch, 1, skin, shirt, rng)
    right = [(0.07, -0.735), (0.135, -0.69), (0.12, -0.55), (0.118, -0.41)]
    left = [(-x, y) for x, y in reversed(right)]
    sketch.part("shirt", smooth(*right, (0, -0.4), *left), shirt.rgb, shirt.word, Style(gradient=0.12))
    for side in (-1, 1):
        sketch.detail(_sleeve(side), shirt.darker(0.07))
    sketch.detail(box(-0.118, -0.435, 0.118, -0.405, 0.01), shirt.darker(0.22), style=FLAT)
    face = sketch.part("face", box(-0.035, -0.78, 0.035, -0.71, 0.02), mix(skin, (60, 20, 20), 0.16))
    sketch.detail(ellipse(0, -0.855, 0.098, 0.112), skin, face, Style(gradient=0.08))
    for side in (-1, 1):
        sketch.detail(ellipse(side * 0.038 + 0.012, -0.86, 0.0125, 0.018), INK, face, FLAT)
    smile = ribbon([(-0.025, -0.808), (0.01, -0.796), (0.045, -0.808)], 0.012)
    sketch.detail(smile, mix(skin, (120, 20, 30), 0.55), face, FLAT)
    top = [(-0.112, -0.85), (-0.108, -0.95), (0, -1.0), (0.108, -0.95), (0.112, -0.87)]
    fringe = smooth(*top, (0.07, -0.915), (-0.04, -0.925))
    if long_hair:
        sketch.detail(fringe, hair.lighter(0.06), 0)
    else:
        sketch.part("hair", fringe, hair.rgb, hair.word)
    return sketch


def _sleeve(side: int) -> np.ndarray:
    """The short sleeve at one shoulder."""
    return ribbon([(side * 0.105, -0.685), (side * 0.15, -0.6)], 0.085, 0.09)


def _arm(sketch: Sketch, side: int, skin: Rgb, shirt: Paint, rng: Rng) -> None:
    pose = rng.weighted({"down": 3, "up": 1, "out": 1})
    ways = {
        "down": [(0.18, -0.53), (0.17, -0.4)],
        "up": [(0.22, -0.62), (0.27, -0.82)],
        "out": [(0.2, -0.57), (0.3, -0.56)],
    }
    sketch.part("arm", ribbon([(side * x, y) for x, y in [(0.12, -0.66), *ways[pose]]], 0.066, 0.058), skin)


def dog(coat: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("dog", coat.word)
    dark, light = coat.darker(0.24), coat.lighter(0.12)
    tail = ribbon([(-0.5, -0.56), (-0.68, -0.68), (-0.7, -0.9)], 0.13, 0.07)
    sketch.part("tail", tail, coat.rgb, coat.word)
    for x in (-0.36, 0.3):
        sketch.part("leg", ribbon([(x, -0.36), (x + 0.02, -0.06)], 0.15, 0.12), dark, coat.word)
    back = [(-0.55, -0.52), (-0.36, -0.66), (0.2, -0.66), (0.46, -0.74), (0.56, -0.5)]
    trunk = smooth(*back, (0.42, -0.3), (0.0, -0.25), (-0.42, -0.27))
    body = sketch.part("body", trunk, coat.rgb, coat.word, Style(gradient=0.14))
    for x in (-0.46, 0.4):
        sketch.part("leg", ribbon([(x, -0.38), (x, -0.06)], 0.16, 0.13), coat.rgb, coat.word)
        sketch.detail(ellipse(x + 0.03, -0.04, 0.095, 0.042), light)
    if rng.chance(0.5) and coat.word in ("white", "brown", "orange"):
        spot = (112, 74, 50) if coat.word == "white" else (250, 240, 226)
        sketch.detail(ellipse(-0.14, -0.52, 0.17, 0.1, -10), spot, body)
    collar = paint(rng.pick(("red", "blue", "green", "yellow", "purple")), rng)
    brow = [(0.38, -0.86), (0.46, -1.0), (0.64, -1.0), (0.74, -0.88), (0.93, -0.82)]
    head = smooth(*brow, (0.94, -0.7), (0.72, -0.66), (0.52, -0.66))
    sketch.part("head", head, coat.rgb, coat.word, Style(gradient=0.12))
    sketch.detail(ellipse(0.86, -0.74, 0.1, 0.07), light)
    sketch.detail(ellipse(0.935, -0.8, 0.045, 0.036), INK, style=FLAT)
    eye = INK if coat.word != "black" else (240, 236, 220)
    sketch.detail(ellipse(0.66, -0.87, 0.033), eye, style=FLAT)
    ear = smooth((0.44, -0.98), (0.54, -0.93), (0.53, -0.74), (0.44, -0.66), (0.37, -0.8))
    sketch.part("ear", ear, dark, coat.word)
    band = ribbon([(0.43, -0.7), (0.5, -0.63), (0.6, -0.62)], 0.085)
    sketch.part("collar", band, collar.rgb, collar.word)
    return sketch


def bird(body: Paint, rng: Rng) -> Sketch:
    """Standing, its wing folded."""
    sketch = Sketch("bird", body.word)
    for x in (-0.06, 0.1):
        sketch.part("leg", ribbon([(x, -0.2), (x + 0.02, 0.07)], 0.045), (214, 130, 50))
    folded = [(0.22, -0.42), (0.0, -0.48), (-0.42, -0.36), (-0.7, -0.24), (-0.3, -0.16), (0.08, -0.2)]
    return _bird(sketch, body, smooth(*folded))


def flying_bird(body: Paint, rng: Rng) -> Sketch:
    """Both wings up."""
    sketch = Sketch("bird", body.word)
    far_wing = smooth((-0.2, -0.45), (-0.34, -0.95), (-0.5, -1.04), (0.0, -0.94), (0.2, -0.5))
    sketch.part("wing", far_wing, body.darker(0.2), body.word)
    reach = rng.uniform(-0.06, 0.06)
    tip = [(-0.4 + reach, -1.06), (-0.62 + reach, -1.14)]
    raised = smooth((0.22, -0.42), (-0.02, -0.46), *tip, (-0.5, -0.8), (-0.3, -0.34), (0.04, -0.24))
    return _bird(sketch, body, raised)


def _bird(sketch: Sketch, body: Paint, near_wing: np.ndarray) -> Sketch:
    tail = smooth((-0.42, -0.4), (-0.98, -0.56), (-0.96, -0.36), (-0.86, -0.2), (-0.42, -0.24))
    sketch.part("tail", tail, body.darker(0.2), body.word)
    back = [(-0.56, -0.36), (-0.2, -0.53), (0.2, -0.56), (0.36, -0.82), (0.6, -0.86), (0.75, -0.68)]
    belly = [(0.66, -0.44), (0.4, -0.2), (0.0, -0.1), (-0.34, -0.18)]
    sketch.part("body", smooth(*back, *belly), body.rgb, body.word, Style(gradient=0.14))
    breast = smooth((0.58, -0.42), (0.36, -0.22), (0.02, -0.13), (-0.2, -0.18), (0.1, -0.28))
    sketch.detail(breast, body.lighter(0.3))
    sketch.detail(ellipse(0.56, -0.69, 0.055), (250, 250, 250), style=FLAT)
    sketch.detail(ellipse(0.57, -0.69, 0.034), INK, style=FLAT)
    bill = (240, 150, 40) if body.word not in ("orange", "yellow") else (210, 70, 40)
    sketch.part("beak", polygon((0.71, -0.75), (0.99, -0.62), (0.7, -0.56)), bill)
    sketch.part("wing", near_wing, body.darker(0.1), body.word, Style(gradient=0.16))
    return sketch
