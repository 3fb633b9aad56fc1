"""Words for categories: plurals, and short names of stuff."""

from __future__ import annotations

_PLURALS = {
    "person": "people",
    "bus": "buses",
    "bench": "benches",
    "couch": "couches",
    "toothbrush": "toothbrushes",
    "sandwich": "sandwiches",
    "knife": "knives",
    "mouse": "mice",
    "wine glass": "wine glasses",
    "sheep": "sheep",
    "skis": "skis",
    "scissors": "scissors",
    "broccoli": "broccoli",
}
_STUFF_WORDS = {
    "floor-wood": "floor",
    "wall-brick": "wall",
    "wall-stone": "wall",
    "wall-tile": "wall",
    "wall-wood": "wall",
    "window-blind": "window",
    "playingfield": "field",
}
# Too vague to be asked for, or the name of a thing as well.
_NEVER_ASKED = {"banner", "cardboard", "net", "light", "paper", "food", "tent", "table"}


def plural(category: str) -> str:
    """ "dog" -> "dogs"."""
    return _PLURALS.get(category, f"{category}s")


def stuff_word(name: str) -> str | None:
    """COCO's name of stuff as people say it ("sky-other-merged" -> "sky"); None for what is not asked for."""
    for ending in ("-merged", "-other", "-stuff"):
        name = name.replace(ending, "")
    word = _STUFF_WORDS.get(name, name)
    return None if word in _NEVER_ASKED else word
