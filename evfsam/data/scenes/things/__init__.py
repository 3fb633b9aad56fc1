"""The kinds of things and how each likes to be placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evfsam.data.scenes.dice import Dice
from evfsam.data.scenes.model import Sketch
from evfsam.data.scenes.palette import HUES, Paint
from evfsam.data.scenes.things import built, living, toys


@dataclass(frozen=True)
class Kind:
    """A kind of thing. ``main`` is the part whose colour is the thing's colour word.

    ``height`` is in short sides of the picture at full size; ``places`` are odds for road, ground, sea and air: no
    kind is bound to one place, so that a place never tells the kind.
    """

    name: str
    draw: Callable[[Paint, Dice], Sketch]
    main: str
    parts: tuple[str, ...]
    colours: tuple[str, ...]
    height: float
    places: dict[str, float]
    tilt: float = 4.0
    draw_aloft: Callable[[Paint, Dice], Sketch] | None = None  # where it looks otherwise in the air


_EARTH = {"ground": 0.9, "road": 0.1}
_WHEELS = {"road": 0.65, "ground": 0.35}
_AIR = {"air": 0.75, "ground": 0.25}
_CROWNS = ("green", "green", "green", "green", "yellow", "orange", "red", "pink")

KINDS: dict[str, Kind] = {kind.name: kind for kind in (
    Kind("house", built.house, "wall", ("wall", "roof", "door", "window", "chimney"),
         ("red", "yellow", "green", "blue", "purple", "pink", "white", "orange"), 0.40, {"ground": 1.0}, 0.0),
    Kind("car", built.car, "body", ("body", "wheel", "window", "light"), HUES + ("black",), 0.185, _WHEELS),
    Kind("bus", built.bus, "body", ("body", "wheel", "window", "door", "light"), HUES, 0.25, _WHEELS, 2.0),
    Kind("boat", built.boat, "hull", ("hull", "sail", "mast"), HUES + ("brown",), 0.32, {"sea": 0.85,
                                                                                         "ground": 0.15}, 7.0),
    Kind("tree", living.tree, "crown", ("crown", "trunk"), _CROWNS, 0.42, _EARTH, 3.0),
    Kind("flower", living.flower, "petals", ("petals", "centre", "stem", "leaf"),
         ("red", "orange", "yellow", "blue", "purple", "pink", "white"), 0.26, _EARTH, 12.0),
    Kind("person", living.person, "shirt", ("shirt", "trousers", "hair", "face", "arm", "shoe"), HUES, 0.36,
         {"ground": 0.85, "road": 0.15}, 4.0),
    Kind("dog", living.dog, "body", ("body", "head", "leg", "tail", "ear", "collar"),
         ("brown", "brown", "white", "black", "orange"), 0.21, {"ground": 0.8, "road": 0.2}, 4.0),
    Kind("bird", living.bird, "body", ("body", "wing", "tail", "beak", "leg"), HUES + ("black",), 0.16,
         {"air": 0.65, "ground": 0.35}, 9.0, living.flying_bird),
    Kind("ball", toys.ball, "ball", ("ball",), HUES, 0.16, {"ground": 0.6, "air": 0.2, "road": 0.1,
                                                            "sea": 0.1}, 40.0),
    Kind("kite", toys.kite, "body", ("body", "tail"), HUES, 0.30, _AIR, 30.0),
    Kind("balloon", toys.balloon, "envelope", ("envelope", "basket", "rope"), HUES, 0.36, _AIR, 6.0),
    Kind("umbrella", toys.umbrella, "canopy", ("canopy", "handle"), HUES + ("black",), 0.26,
         {"ground": 0.75, "air": 0.25}, 22.0),
)}
