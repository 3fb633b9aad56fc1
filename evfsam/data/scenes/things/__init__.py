"""The kinds of things, and where each may be placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evfsam.data.scenes.model import Sketch
from evfsam.data.scenes.palette import HUES, Paint
from evfsam.data.scenes.rng import Rng
from evfsam.data.scenes.things import built, living, toys


@dataclass(frozen=True)
class Kind:
    """A kind of thing.

    Attributes:
        draw: draws one in body coordinates.
        main: the part whose colour is the thing's colour word.
        parts: all parts that it may have.
        colours: colour words of the main part; repeated words are likelier.
        height: in short sides of the image.
        places: odds of "road", "ground", "sea" and "air". Most kinds have several, so that a place does not give
            away the kind.
        tilt: the largest turn, in degrees.
        draw_aloft: draws one in the air, where it looks different.
    """

    name: str
    draw: Callable[[Paint, Rng], Sketch]
    main: str
    parts: tuple[str, ...]
    colours: tuple[str, ...]
    height: float
    places: dict[str, float]
    tilt: float = 4.0
    draw_aloft: Callable[[Paint, Rng], Sketch] | None = None


_EARTH = {"ground": 0.9, "road": 0.1}
_WHEELS = {"road": 0.65, "ground": 0.35}
_AIR = {"air": 0.75, "ground": 0.25}
_BIRDS = {"air": 0.65, "ground": 0.35}
_PARASOL = {"ground": 0.75, "air": 0.25}
_CROWNS = ("green", "green", "green", "green", "yellow", "orange", "red", "pink")

_PAINTED = HUES + ("black",)
_PLASTER = ("red", "yellow", "green", "blue", "purple", "pink", "white", "orange")
_PETALS = ("red", "orange", "yellow", "blue", "purple", "pink", "white")
_COATS = ("brown", "brown", "white", "black", "orange")
_WATER = {"sea": 0.85, "ground": 0.15}
_ANYWHERE = {"ground": 0.6, "air": 0.2, "road": 0.1, "sea": 0.1}

_HOUSE = ("wall", "roof", "door", "window", "chimney")
_CAR = ("body", "wheel", "window", "light")
_BUS = ("body", "wheel", "window", "door", "light")
_FLOWER = ("petals", "centre", "stem", "leaf")
_PERSON = ("shirt", "trousers", "hair", "face", "arm", "shoe")
_DOG = ("body", "head", "leg", "tail", "ear", "collar")
_BIRD = ("body", "wing", "tail", "beak", "leg")
_BALLOON = ("envelope", "basket", "rope")

_ROWS = (
    Kind("house", built.house, "wall", _HOUSE, _PLASTER, 0.40, {"ground": 1.0}, 0.0),
    Kind("car", built.car, "body", _CAR, _PAINTED, 0.185, _WHEELS),
    Kind("bus", built.bus, "body", _BUS, HUES, 0.25, _WHEELS, 2.0),
    Kind("boat", built.boat, "hull", ("hull", "sail", "mast"), HUES + ("brown",), 0.32, _WATER, 7.0),
    Kind("tree", living.tree, "crown", ("crown", "trunk"), _CROWNS, 0.42, _EARTH, 3.0),
    Kind("flower", living.flower, "petals", _FLOWER, _PETALS, 0.26, _EARTH, 12.0),
    Kind("person", living.person, "shirt", _PERSON, HUES, 0.36, {"ground": 0.85, "road": 0.15}),
    Kind("dog", living.dog, "body", _DOG, _COATS, 0.21, {"ground": 0.8, "road": 0.2}),
    Kind("bird", living.bird, "body", _BIRD, _PAINTED, 0.16, _BIRDS, 9.0, living.flying_bird),
    Kind("ball", toys.ball, "ball", ("ball",), HUES, 0.16, _ANYWHERE, 40.0),
    Kind("kite", toys.kite, "body", ("body", "tail"), HUES, 0.30, _AIR, 30.0),
    Kind("balloon", toys.balloon, "envelope", _BALLOON, HUES, 0.36, _AIR, 6.0),
    Kind("umbrella", toys.umbrella, "canopy", ("canopy", "handle"), _PAINTED, 0.26, _PARASOL, 22.0),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ROWS}
