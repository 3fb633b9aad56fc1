"""Things people build: house, car, bus, boat. Each function draws one body of height 1 standing on y = 0."""

from __future__ import annotations

from evfsam.data.scenes.model import Sketch, Style
from evfsam.data.scenes.palette import HUES, Paint, Rgb, paint
from evfsam.data.scenes.rng import Rng
from evfsam.data.scenes.shapes import arc, box, ellipse, polygon, ribbon, smooth

GLASS, GLINT = (150, 202, 232), (196, 228, 244)
RUBBER = (48, 48, 56)
FLAT, SHINY = Style(gradient=0.0), Style(gradient=0.2)
ROOF_COLOURS = ("red", "brown", "blue", "green", "purple", "orange", "black")


def other_colour(word: str, options: tuple[str, ...], rng: Rng) -> Paint:
    """A paint of one of the colour words, but not of ``word``."""
    return paint(rng.pick([option for option in options if option != word]), rng)


def pane(sketch: Sketch, x0: float, y0: float, x1: float, y1: float, frame: Rgb) -> None:
    """A window with its frame, a glint and glazing bars."""
    width, rim = x1 - x0, 0.09 * min(x1 - x0, y1 - y0)
    sketch.part("window", box(x0, y0, x1, y1, rim), frame)
    sketch.detail(box(x0 + rim, y0 + rim, x1 - rim, y1 - rim), GLASS, style=Style(gradient=0.16))
    top, bottom = y0 + rim, y1 - rim
    corners = ((0.25, bottom), (0.55, top), (0.75, top), (0.45, bottom))
    sketch.detail(polygon(*((x0 + along * width, y) for along, y in corners)), GLINT, style=FLAT)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    sketch.detail(box(cx - rim / 2, y0, cx + rim / 2, y1), frame)
    sketch.detail(box(x0, cy - rim / 2, x1, cy + rim / 2), frame)


def house(wall: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("house", wall.word)
    half, eaves = rng.uniform(0.48, 0.66), -rng.uniform(0.50, 0.58)
    roof = other_colour(wall.word, ROOF_COLOURS, rng)
    trim = (246, 243, 234) if wall.word != "white" else (206, 204, 200)
    if rng.chance(0.6):
        x = rng.sign() * half * 0.55
        sketch.part("chimney", box(x - 0.055, -0.97, x + 0.055, eaves), (150, 96, 84))
        sketch.detail(box(x - 0.07, -1.0, x + 0.07, -0.95), (120, 76, 70))
    plaster = Style(gradient=0.08, grain=0.02)
    sketch.part("wall", box(-half, eaves - 0.02, half, 0), wall.rgb, wall.word, plaster)
    sketch.detail(box(-half, -0.05, half, 0), wall.darker(0.25))
    sketch.detail(box(-half, eaves - 0.02, half, eaves + 0.045), wall.darker(0.22), style=FLAT)
    ridge = 0.0 if rng.chance(0.5) else half * 0.5
    low, wide = eaves + 0.02, half + 0.09
    slopes = polygon((-wide, low), (-ridge - 0.02, -0.94), (ridge + 0.02, -0.94), (wide, low))
    sketch.part("roof", slopes, roof.rgb, roof.word, Style(gradient=0.12))
    for row in (0.33, 0.66):
        y, reach = low - (0.94 + low) * row, wide - (wide - 0.02 - ridge) * row - 0.016
        sketch.detail(box(-reach, y - 0.008, reach, y + 0.008), roof.darker(0.18), style=FLAT)
    gutter = polygon((-wide, low), (-wide + 0.015, low - 0.035), (wide - 0.015, low - 0.035), (wide, low))
    sketch.detail(gutter, roof.darker(0.3))
    _house_front(sketch, wall, half, eaves, trim, rng)
    return sketch


def _house_front(sketch: Sketch, wall: Paint, half: float, eaves: float, trim: Rgb, rng: Rng) -> None:
    door = other_colour(wall.word, ("brown", "red", "blue", "green", "white"), rng)
    side = rng.pick((-1, 0, 1))
    x, top = side * half * 0.52, eaves * 0.66
    sketch.part("door", box(x - 0.115, top - 0.02, x + 0.115, 0, 0.02), trim)
    sketch.detail(box(x - 0.092, top, x + 0.092, 0), door.rgb, style=Style(gradient=0.14))
    sketch.detail(box(x - 0.06, top + 0.04, x + 0.06, top + 0.14, 0.01), door.lighter(0.18))
    sketch.detail(ellipse(x + 0.062, top * 0.42, 0.016), (248, 214, 110))
    centres = (-half * 0.58, half * 0.58) if side == 0 else (-side * half * 0.08, -side * half * 0.62)
    for wx in centres:
        pane(sketch, wx - 0.105, eaves + 0.11, wx + 0.105, eaves + 0.33, trim)


def wheel(sketch: Sketch, x: float, radius: float) -> None:
    sketch.part("wheel", ellipse(x, -radius, radius), RUBBER, style=Style(gradient=0.15))
    sketch.detail(ellipse(x, -radius, radius * 0.56), (202, 204, 212), style=Style(gradient=0.18))
    sketch.detail(ellipse(x, -radius, radius * 0.2), (120, 122, 132))


def car(body: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("car", body.word)
    long_roof = rng.uniform(0.0, 0.16)
    rear = [(-1.0, -0.20), (-1.02, -0.30), (-1.0, -0.56), (-0.62, -0.64), (-0.42 - long_roof, -0.93)]
    front = [(0.30, -0.94), (0.58, -0.66), (0.95, -0.56), (1.06, -0.36), (1.02, -0.20)]
    outline = smooth(*rear, (-0.05, -1.0), *front, (0.0, -0.17))
    number = sketch.part("body", outline, body.rgb, body.word, Style(gradient=0.16))
    sill = polygon((-1.0, -0.27), (1.03, -0.27), (1.0, -0.205), (0.0, -0.175), (-0.98, -0.205))
    sketch.detail(sill, body.darker(0.28))
    sketch.detail(box(-0.97, -0.545, 0.9, -0.52, 0.01), body.lighter(0.4), style=FLAT)
    back = polygon((-0.52 - long_roof * 0.6, -0.62), (-0.37 - long_roof, -0.87), (-0.08, -0.92), (-0.08, -0.62))
    sketch.part("window", back, GLASS, style=SHINY)
    sketch.part("window", polygon((0.0, -0.62), (0.0, -0.92), (0.25, -0.88), (0.45, -0.62)), GLASS, style=SHINY)
    sketch.detail(polygon((0.08, -0.62), (0.17, -0.90), (0.25, -0.88), (0.2, -0.62)), GLINT, style=FLAT)
    sketch.detail(box(-0.05, -0.6, -0.035, -0.24), body.darker(0.4), number, FLAT)
    sketch.detail(box(-0.26, -0.49, -0.14, -0.46, 0.01), body.darker(0.45), number, FLAT)
    for x in (-0.6, 0.6):
        sketch.detail(arc(x, -0.2, 0.29, 0.29, 180, 360), body.darker(0.6), number, FLAT)
    sketch.part("light", ellipse(0.95, -0.43, 0.09, 0.075), (255, 236, 150))
    for x in (-0.6, 0.6):
        wheel(sketch, x, 0.225)
    return sketch


def bus(body: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("bus", body.word)
    half = rng.uniform(1.0, 1.2)
    coach = box(-half, -1.0, half, -0.12, 0.1)
    number = sketch.part("body", coach, body.rgb, body.word, Style(gradient=0.12))
    sketch.detail(box(-half + 0.05, -1.0, half - 0.05, -0.94, 0.03), body.lighter(0.35), style=FLAT)
    stripe = body.lighter(0.55) if body.word != "white" else (88, 130, 196)
    sketch.detail(box(-half, -0.43, half, -0.37), stripe, style=FLAT)
    sketch.detail(box(-half, -0.2, half, -0.12, 0.04), body.darker(0.35))
    count, left, right = 4, -half + 0.1, half - 0.46
    step = (right - left) / count
    for i in range(count):
        x = left + i * step
        sketch.part("window", box(x, -0.84, x + step - 0.06, -0.5, 0.03), GLASS, style=SHINY)
        glint = polygon((x + 0.08, -0.5), (x + 0.2, -0.84), (x + 0.28, -0.84), (x + 0.16, -0.5))
        sketch.detail(glint, GLINT, style=FLAT)
    sketch.part("door", box(half - 0.42, -0.86, half - 0.14, -0.15, 0.02), body.darker(0.35))
    for x in (half - 0.395, half - 0.27):
        sketch.detail(box(x, -0.82, x + 0.105, -0.2, 0.01), (176, 216, 238), style=SHINY)
    sketch.part("light", ellipse(half - 0.03, -0.29, 0.05), (255, 236, 150))
    for x in (-half * 0.58, half * 0.42):
        sketch.detail(arc(x, -0.16, 0.23, 0.23, 180, 360), body.darker(0.6), number, FLAT)
        wheel(sketch, x, 0.185)
    return sketch


def boat(hull: Paint, rng: Rng) -> Sketch:
    sketch = Sketch("boat", hull.word)
    sail = other_colour(hull.word, HUES + ("white", "white"), rng)
    sketch.part("mast", box(-0.022, -1.0, 0.022, -0.2), (136, 98, 66))
    canvas = Style(gradient=0.14)
    main = smooth((0.04, -0.95), (0.30, -0.66), (0.46, -0.30), (0.24, -0.285), (0.04, -0.29))
    sketch.part("sail", main, sail.rgb, sail.word, canvas)
    for y, reach in ((-0.74, 0.22), (-0.5, 0.36)):
        seam = ribbon([(0.04, y), (reach * 0.6, y + 0.02), (reach, y + 0.01)], 0.014)
        sketch.detail(seam, sail.darker(0.14), style=FLAT)
    if rng.chance(0.75):
        jib = smooth((-0.05, -0.88), (-0.05, -0.3), (-0.22, -0.3), (-0.38, -0.31), (-0.2, -0.62))
        sketch.part("sail", jib, sail.lighter(0.12), sail.word, canvas)
    depth = rng.uniform(0.0, 0.03)
    deck, keel = (
        [(-0.56, -0.25), (0.0, -0.225), (0.64, -0.27)],
        [(0.42, depth), (0.0, 0.015 + depth), (-0.38, depth)],
    )
    outline = smooth(*deck, (0.58, -0.15), *keel, (-0.52, -0.13))
    sketch.part("hull", outline, hull.rgb, hull.word, Style(gradient=0.16))
    stripe = polygon((-0.53, -0.16), (0.0, -0.135), (0.58, -0.175), (0.56, -0.135), (0.0, -0.095), (-0.52, -0.12))
    sketch.detail(stripe, hull.lighter(0.6) if hull.word != "white" else (70, 110, 180), style=FLAT)
    return sketch
