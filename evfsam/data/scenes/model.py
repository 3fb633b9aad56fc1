"""A scene as frozen dataclasses, independent of resolution.

*Frame* coordinates: (0, 0) is the top left corner, (1, 1) the bottom right one. *Body* coordinates: x to the right,
y down, (0, 0) where the body stands; 1 is the body's own unit, usually its height. A pose puts the origin of a body at
a point of the frame. It scales the body by a fraction of the image's short side, so things keep their proportions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from evfsam.data.scenes.palette import Rgb


@dataclass(frozen=True)
class Style:
    """How light changes the colour of a patch. All values are fractions; 0 is none."""

    gradient: float = 0.10  # lighter towards the light, darker away from it
    roundness: float = 0.0  # darker towards the rim, as on a ball
    grain: float = 0.0  # fine even texture
    streak: float = 0.0  # horizontal texture, as on water
    shadow: float = 0.0  # how much cast shadows darken it
    glow: float = 0.0  # how much the sun's halo brightens it

    def as_tuple(self) -> tuple[float, ...]:
        """The values in the order of the fields."""
        return (self.gradient, self.roundness, self.grain, self.streak, self.shadow, self.glow)


@dataclass(frozen=True, eq=False)
class Patch:
    """One filled outline.

    Attributes:
        part: number of the part within its body.
        outline: float64 (n, 2).
        rgb: its colour, or the colour at the top of its box if ``rgb_below`` gives the one at the bottom.
    """

    part: int
    outline: np.ndarray
    rgb: Rgb
    style: Style
    rgb_below: Rgb | None = None


@dataclass(frozen=True)
class Pose:
    """Where a body stands: frame position, scale in short sides of the image per unit, turn in degrees."""

    u: float
    v: float
    scale: float
    turn: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class Body:
    """A piece of stuff or a thing.

    Attributes:
        colour: colour word of the main part; may be empty.
        parts: (name, colour word) of each part.
        patches: draw the parts, from back to front.
        pose: None for stuff whose outlines are in frame coordinates.
        depth: 0 at the horizon, 1 at the viewer's feet.
        support: the stuff that it stands on; empty for flying things.
        parallax: how much of the camera's way it follows, 0..1.
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
    """A row of the part table.

    Attributes:
        index: value of its pixels in the part map.
        thing: number in ``Scene.things``; None for stuff.
        colour: colour word; may be empty.
    """

    index: int
    thing: int | None
    kind: str
    name: str
    colour: str


@dataclass(frozen=True)
class Light:
    """The direction to the light, a unit vector on screen with y down, and the halo of the sun in the frame."""

    direction: tuple[float, float]
    sun_uv: tuple[float, float]
    halo_rgb: Rgb
    halo: float
    shadow_rgb: Rgb = (40.0, 44.0, 88.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """Stuff, things and light, laid out for width / height = ``aspect``. The sky ends at ``horizon_v``."""

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
        """Begin a new part. Returns its number, for details that are added later."""
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
        """Add a patch to a part, by default the last one begun. Returns the number of the part."""
        part = len(self._parts) - 1 if part is None else part
        self._patches.append(Patch(part, outline, rgb, style, rgb_below))
        return part

    def body(self, pose: Pose | None = None, depth: float = 0.0, support: str = "", parallax: float = 1.0) -> Body:
        """The finished body; arguments as the attributes of :class:`Body`."""
        return Body(self.kind, self.colour, tuple(self._parts), tuple(self._patches), pose, depth, support, parallax)
