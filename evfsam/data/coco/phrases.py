"""Phrases that follow from annotated masks: "the dog on the left", "the larger cup", "every book"."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

LEFT = ("{n} on the left", "the {n} on the left", "left {n}", "the left {n}", "the leftmost {n}")
RIGHT = tuple(phrase.replace("left", "right") for phrase in LEFT)
TOP = ("the {n} at the top", "the top {n}", "the upper {n}", "{n} at the top")
BOTTOM = ("the {n} at the bottom", "the bottom {n}", "the lower {n}", "{n} at the bottom")
MIDDLE = ("the {n} in the middle", "the middle {n}", "{n} in the middle", "the {n} in the centre")
LARGEST = ("largest {n}", "the largest {n}", "the biggest {n}", "the big {n}")
LARGER = ("the larger {n}", "the bigger {n}", "larger {n}")
SMALLEST = ("smallest {n}", "the smallest {n}", "the small {n}")
SMALLER = ("the smaller {n}", "smaller {n}")
NAME = ("{n}", "the {n}")
EVERY = ("every {n}", "all {p}", "all the {p}", "the {p}")
BEHIND = ("the {n} behind the {m}", "{n} behind the {m}")
IN_FRONT = ("the {n} in front of the {m}", "{n} in front of the {m}")
LEFT_OF = ("the {n} left of the {m}", "the {n} to the left of the {m}")
RIGHT_OF = ("the {n} right of the {m}", "the {n} to the right of the {m}")
TEMPLATES = (
    *(LEFT + RIGHT + TOP + BOTTOM + MIDDLE + LARGEST + LARGER + SMALLEST + SMALLER),
    *(NAME + EVERY + BEHIND + IN_FRONT + LEFT_OF + RIGHT_OF),
)

# As shares of the image's side: nearer centres are not told apart by their place.
APART_X, APART_Y, APART_RELATED = 0.07, 0.12, 0.2
CLEARLY_LARGER = 1.5  # times the area


@dataclass(eq=False)
class Thing:
    """One visible thing.

    Attributes:
        category: its name.
        mask: bool (H, W), what is seen of it.
        whole_area: pixels it had before others were put in front of it.
        behind: things that hide a part of it.
    """

    category: str
    mask: np.ndarray
    whole_area: int
    behind: list[Thing] = field(default_factory=list)

    def centre(self) -> tuple[float, float]:
        """x and y as shares of the image's sides."""
        rows, columns = np.nonzero(self.mask)
        return columns.mean() / self.mask.shape[1], rows.mean() / self.mask.shape[0]


def referring_phrases(
    things: Sequence[Thing], categories: Sequence[str], rng: random.Random
) -> list[tuple[str, Thing]]:
    """Phrases that name one thing, each true by construction.

    Args:
        things: all things of the image, for a phrase must fit only one of them.
        categories: of which phrases are wanted; every thing of these is among ``things``.
        rng: chooses wordings.
    """
    by_category = defaultdict(list)
    for thing in things:
        by_category[thing.category].append(thing)
    phrases = []
    for category in categories:
        same = by_category[category]
        if len(same) == 1:
            alone = [c for c in categories if c != category and len(by_category[c]) == 1]
            other = by_category[rng.choice(alone)][0] if alone else None
            chosen = _of_one(same[0], other)
        else:
            chosen = _of_several(same)
        rng.shuffle(chosen)
        for templates, thing, other in chosen[:3]:
            phrases.append((rng.choice(templates).format(n=category, m=other and other.category), thing))
    return phrases


def _of_one(thing: Thing, other: Thing | None) -> list[tuple[Sequence[str], Thing, Thing | None]]:
    """Templates for the only thing of its category, alone or beside the only one of another."""
    chosen: list[tuple[Sequence[str], Thing, Thing | None]] = [(NAME, thing, None)]
    if other is not None:
        distance = thing.centre()[0] - other.centre()[0]
        if other in thing.behind:
            chosen.append((BEHIND, thing, other))
        elif thing in other.behind:
            chosen.append((IN_FRONT, thing, other))
        elif abs(distance) > APART_RELATED:
            chosen.append((LEFT_OF if distance < 0 else RIGHT_OF, thing, other))
    return chosen


def _of_several(same: list[Thing]) -> list[tuple[Sequence[str], Thing, None]]:
    """Templates for those things of one category that place or size tell from the others."""
    centres = {id(thing): thing.centre() for thing in same}
    chosen: list[tuple[Sequence[str], Thing, None]] = []
    for axis, apart, first, last in ((0, APART_X, LEFT, RIGHT), (1, APART_Y, TOP, BOTTOM)):
        ordered = sorted(same, key=lambda thing: centres[id(thing)][axis])
        places = [centres[id(thing)][axis] for thing in ordered]
        if places[1] - places[0] > apart:
            chosen.append((first, ordered[0], None))
        if places[-1] - places[-2] > apart:
            chosen.append((last, ordered[-1], None))
        if axis == 0 and len(same) == 3 and min(np.diff(places)) > apart:
            chosen.append((MIDDLE, ordered[1], None))
    by_area = sorted(same, key=lambda thing: thing.mask.sum())
    areas = [thing.mask.sum() for thing in by_area]
    if areas[-1] > CLEARLY_LARGER * areas[-2]:
        chosen.append((LARGEST + LARGER if len(same) == 2 else LARGEST, by_area[-1], None))
    if areas[1] > CLEARLY_LARGER * areas[0]:
        chosen.append((SMALLEST + SMALLER if len(same) == 2 else SMALLEST, by_area[0], None))
    return chosen
