"""What a scene is: frozen descriptions without any resolution.

Two spaces. *Frame* coordinates: (0, 0) is the top left corner and (1, 1) the bottom right one. *Body*
coordinates: x to the right, y down, (0, 0) where the body stands, and 1 = the body's own unit, usually its
height. A pose puts a body's origin at a point of the frame and scales it by a fraction of the picture's
short side, so that things keep their proportions in a picture of any shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evfsam.data.scenes.palette import Rgb


@dataclass(frozen=True)
class Style:
    """How a patch takes light. All values are fractions, 0 = none."""

    gradient: float = 0.10  # lighter towards the light, darker away from it
    roundness: float = 0.0  # darker towards the rim, as on a ball
    grain: float = 0.0  # fine even texture
    streak: float = 0.0  # horizontal texture, as on water
    shadow: float = 0.0  # how much cast shadows darken it
    glow: float = 0.0  # how much the sun's halo brightens it

    def as_tuple(self) -> tuple[float, ...]:
        return (self.gradient, self.roundness, self.grain, self.streak, self.shadow, self.glow)


@dataclass(frozen=True, eq=False)
class Patch:
    """One filled outline, (n, 2) float64; ``part`` counts within its body.

    The colour runs from ``rgb`` at the top of the outline's box to ``rgb_below`` at its bottom, where that
    is given.
    """

    part: int
    outline: np.ndarray
    rgb: Rgb
    style: Style
    rgb_below: Rgb | None = None


@dataclass(frozen=True)
class Pose:
    """Where a body stands: frame position, size in short sides per unit, turn in degrees, mirrored or not."""

    u: float
    v: float
    scale: float
    turn: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class Body:
    """A piece of stuff or a thing: named parts and the patches that draw them, back to front.

    ``pose`` is None for stuff whose outlines are in frame coordinates. ``depth`` is 0 at the horizon and 1
    at the viewer's feet; ``support`` is the stuff it stands on, empty for what flies. ``parallax`` is how
    much of the camera's way it follows.
    """

    kind: str
    colour: str
    parts: tuple[tuple[str, str], ...]
    patches: tuple[Patch, ...]
    pose: Pose | None = None
    depth: float = 0.0
    support: str = ""
    parallax: float = 1.0


@dataclass(frozen=True)
class Part:
    """A row of the part table: ``thing`` counts ``Scene.things``, None for stuff; ``colour`` may be empty."""

    index: int
    thing: int | None
    kind: str
    name: str
    colour: str


@dataclass(frozen=True)
class Light:
    """Where the light comes from, a unit vector on screen (y down), and the sun's halo in the frame."""

    direction: tuple[float, float]
    sun_uv: tuple[float, float]
    halo_rgb: Rgb
    halo: float
    shadow_rgb: Rgb = (40.0, 44.0, 88.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture before it has pixels, laid out for width / height = ``aspect``; sky ends at ``horizon_v``."""

    seed: int
    aspect: float
    stuff: tuple[Body, ...]
    things: tuple[Body, ...]
    light: Light
    horizon_v: float
    camera_uv: tuple[float, float] = (0.0, 0.0)
    parts: tuple[Part, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _part_table(self.stuff, self.things))

    def bodies(self) -> tuple[Body, ...]:
        """Stuff, then things: the order in which the part table numbers them."""
        return self.stuff + self.things


def _part_table(stuff: tuple[Body, ...], things: tuple[Body, ...]) -> tuple[Part, ...]:
    rows: list[Part] = []
    for number, body in enumerate(stuff + things):
        thing = number - len(stuff) if number >= len(stuff) else None
        rows += [Part(len(rows) + i, thing, body.kind, name, colour) for i, (name, colour) in enumerate(body.parts)]
    return tuple(rows)


class Sketch:
    """Collects the patches of one body while it is drawn."""

    def __init__(self, kind: str, colour: str = "") -> None:
        self.kind, self.colour = kind, colour
        self._parts: list[tuple[str, str]] = []
        self._patches: list[Patch] = []

    def part(
        self,
        name: str,
        outline: np.ndarray,
        rgb: Rgb,
        colour: str = "",
        style: Style = Style(),
        rgb_below: Rgb | None = None,
    ) -> int:
        """Begins a new part-instance and returns its number, for details added later."""
        self._parts.append((name, colour))
        return self.detail(outline, rgb, len(self._parts) - 1, style, rgb_below)

    def detail(
        self,
        outline: np.ndarray,
        rgb: Rgb,
        part: int | None = None,
        style: Style = Style(),
        rgb_below: Rgb | None = None,
    ) -> int:
        """More paint on a part (the last one begun, unless told): same label, another colour or outline."""
        part = len(self._parts) - 1 if part is None else part
        self._patches.append(Patch(part, outline, rgb, style, rgb_below))
        return part

    def body(self, pose: Pose | None = None, depth: float = 0.0, support: str = "", parallax: float = 1.0) -> Body:
        return Body(self.kind, self.colour, tuple(self._parts), tuple(self._patches), pose, depth, support, parallax)
