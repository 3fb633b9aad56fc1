"""Wordings of expressions: ``{n}`` is the noun phrase, ``{N}`` its plural, ``{l}`` and ``{m}`` are landmarks."""

from __future__ import annotations

import re

from evfsam.data.scenes.backdrop import STUFF
from evfsam.data.scenes.palette import SHADES
from evfsam.data.scenes.things import KINDS

SEMANTIC = "[semantic] "

PLACES: dict[str, tuple[str, ...]] = {
    "leftmost": ("leftmost {n}", "{n} farthest to the left", "{n} furthest left"),
    "rightmost": ("rightmost {n}", "{n} farthest to the right", "{n} furthest right"),
    "highest": ("highest {n}", "topmost {n}", "upper {n}"),
    "lowest": ("lowest {n}", "bottom {n}", "lower {n}"),
    "left": ("{n} on the left", "left {n}", "left-hand {n}", "{n} on the left side", "{n} at left"),
    "right": ("{n} on the right", "right {n}", "right-hand {n}", "{n} on the right side", "{n} at right"),
    "top": ("{n} at the top", "top {n}", "{n} in the upper half"),
    "bottom": ("{n} at the bottom", "{n} in the lower half"),
    "top left": ("{n} at the top left", "top left {n}", "{n} in the upper left"),
    "top right": ("{n} at the top right", "top right {n}", "{n} in the upper right"),
    "bottom left": ("{n} at the bottom left", "bottom left {n}", "{n} in the lower left"),
    "bottom right": ("{n} at the bottom right", "bottom right {n}", "{n} in the lower right"),
    "middle": ("middle {n}", "{n} in the middle", "centre {n}", "{n} in the centre"),
    "second left": ("second {n} from the left", "{n} second from the left"),
    "second right": ("second {n} from the right", "{n} second from the right"),
    "nearest": ("nearest {n}", "closest {n}", "{n} closest to us", "{n} in the foreground"),
    "farthest": ("farthest {n}", "{n} farthest away", "{n} at the back", "{n} in the background"),
}
SIZES: dict[str, tuple[str, ...]] = {
    "largest": ("largest {n}", "biggest {n}", "{n} that is the largest"),
    "smallest": ("smallest {n}", "{n} that is the smallest", "tiniest {n}"),
    "larger": ("larger {n}", "bigger {n}", "larger of the two {N}"),
    "smaller": ("smaller {n}", "smaller of the two {N}"),
    "large": ("large {n}", "big {n}"),
    "small": ("small {n}", "little {n}"),
}
RELATIONS: dict[str, tuple[str, ...]] = {
    "left": ("{n} left of {l}", "{n} to the left of {l}", "{n} on the left of {l}"),
    "right": ("{n} right of {l}", "{n} to the right of {l}", "{n} on the right of {l}"),
    "above": ("{n} above {l}", "{n} over {l}"),
    "below": ("{n} below {l}", "{n} under {l}"),
    "next to": ("{n} next to {l}", "{n} beside {l}", "{n} close to {l}", "{n} by {l}"),
    "front": ("{n} in front of {l}",),
    "behind": ("{n} behind {l}",),
    "between": ("{n} between {l} and {m}",),
    "on": ("{n} on {l}", "{n} that is on {l}"),
    "in": ("{n} in {l}", "{n} that is in {l}"),
    "sky": ("{n} in the sky", "{n} up in the air", "flying {n}"),
}
COLOUR_ADJECTIVE = ("{c} {k}", "{c} {k}", "{c} {k}", "{k} that is {c}")
PERSON_IN = ("{k} in {c}", "{k} wearing {c}", "{k} dressed in {c}")
PERSON_SHIRT = ("{k} in the {c} shirt", "{k} with the {c} shirt", "{k} wearing {a} {c} shirt")
WITH_PART = ("{k} with the {c} {p}", "{k} with {c} {p}", "{k} that has {a} {c} {p}")
WITH_MASS = ("{k} with {c} {p}", "{k} with the {c} {p}")  # hair and trousers take no article "a"
MASS = ("hair", "trousers")

SUPPORTS = {"sea": "in", "road": "on", "grass": "on", "sand": "on"}
BARE_PARTS_EXCLUDED = ("body", "ball")  # unclear without the kind


def categories() -> tuple[str, ...]:
    """All kinds of things."""
    return tuple(KINDS)


def part_names(kind: str) -> tuple[str, ...]:
    """The parts that a kind may have; none for a kind of one piece."""
    parts = KINDS[kind].parts
    return parts if len(parts) > 1 else ()


def stuff_names() -> tuple[str, ...]:
    """All kinds of stuff."""
    return STUFF


def colours() -> tuple[str, ...]:
    """All colour words."""
    return tuple(SHADES)


def colours_of(kind: str) -> tuple[str, ...]:
    """The colour words of a kind's main part."""
    return tuple(dict.fromkeys(KINDS[kind].colours))


def vocabulary() -> list[str]:
    """Every word of the expressions, sorted; "[semantic]" counts as one word."""
    templates = [text for table in (PLACES, SIZES, RELATIONS) for texts in table.values() for text in texts]
    templates += [*COLOUR_ADJECTIVE, *PERSON_IN, *PERSON_SHIRT, *WITH_PART, *WITH_MASS]
    words = {word for text in templates for word in re.sub(r"\{\w\}", " ", text).split()}
    words |= {part for kind in KINDS.values() for part in kind.parts}
    words |= {*KINDS, *STUFF, *SHADES, *(plural(kind) for kind in KINDS), "a", "an", "the", "[semantic]"}
    return sorted(words)


def plural(kind: str) -> str:
    """ "car" -> "cars"."""
    return {"person": "people", "bus": "buses"}.get(kind, kind + "s")
