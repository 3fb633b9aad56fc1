"""Reads an expression and finds the things that it names, from the part map and the part table alone.

It does not use the generator's selectors or margins. If the generator makes an expression, this plain reading of the
words must find the same target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from evfsam.data.scenes import Scene, categories, colours, render_parts

SINGULAR = {f"{kind}s": kind for kind in categories()} | {"people": "person", "buses": "bus"}
KIND = "|".join((*SINGULAR, *categories()))
HUE = "|".join(colours())
NOUN = rf"(?:(?P<size>small|large) )?(?:(?P<hue>{HUE}) )?(?P<kind>{KIND})(?: in (?P<worn>{HUE}))?"


@dataclass
class Look:
    """The visible part of one thing: share of the image, box and centroid in fractions."""

    number: int
    kind: str
    colour: str
    area: float
    box: tuple[float, float, float, float]
    u: float
    v: float
    foot: float
    parts: dict[str, str]


class Oracle:
    def __init__(self, scene: Scene, size_hw: tuple[int, int]) -> None:
        self.scene = scene
        self.part_map = render_parts(scene, size_hw)
        self.bare = render_parts(replace(scene, things=()), size_hw)
        self.looks = [self._look(i) for i in range(len(scene.things)) if self._mask(i).any()]

    def _mask(self, thing: int) -> np.ndarray:
        return np.isin(self.part_map, [part.index for part in self.scene.parts if part.thing == thing])

    def _look(self, thing: int) -> Look:
        mask = self._mask(thing)
        height, width = mask.shape
        rows, columns = np.nonzero(mask)
        body = self.scene.things[thing]
        box = (
            columns.min() / width,
            rows.min() / height,
            (columns.max() + 1) / width,
            (rows.max() + 1) / height,
        )
        parts = {part.name: part.colour for part in self.scene.parts if part.thing == thing}
        return Look(
            thing,
            body.kind,
            body.colour,
            mask.mean(),
            box,
            columns.mean() / width,
            rows.mean() / height,
            body.pose.v,
            parts,
        )

    def stuff_under(self, look: Look) -> str:
        """The stuff where the thing's foot is, with all things taken away."""
        pose = self.scene.things[look.number].pose
        height, width = self.bare.shape
        row, column = (min(n - 1, max(0, int(x * n))) for x, n in ((pose.v - 0.005, height), (pose.u, width)))
        return self.scene.parts[self.bare[row, column]].name

    def covered(self, text: str) -> list[Look]:
        """The things that a referring expression names."""
        text = text.removeprefix("the ")
        for reading in (self._noun, self._colour, self._place, self._size, self._relation):
            found = reading(text)
            if found is not None:
                return found
        raise ValueError(f"cannot read {text!r}")

    def _noun(self, text: str) -> list[Look] | None:
        match = re.fullmatch(NOUN, text)
        if not match:
            return None
        kind = SINGULAR.get(match["kind"], match["kind"])
        same = [look for look in self.looks if look.kind == kind]
        hue = match["hue"] or match["worn"]
        chosen = [look for look in same if hue in (None, look.colour)]
        if match["size"]:
            halfway = (min(look.area for look in same) * max(look.area for look in same)) ** 0.5
            chosen = [look for look in chosen if (look.area > halfway) == (match["size"] == "large")]
        return chosen

    def _colour(self, text: str) -> list[Look] | None:
        match = re.fullmatch(rf"(?P<kind>{KIND}) (?:that is|wearing|dressed in) (?P<hue>{HUE})", text)
        if match:
            return [look for look in self.looks if look.kind == match["kind"] and look.colour == match["hue"]]
        match = re.fullmatch(
            rf"(?P<kind>{KIND}) (?:with|in|wearing|that has) (?:the |an? )?(?P<hue>{HUE}) (?P<part>\w+)", text
        )
        if match:
            return [
                look
                for look in self.looks
                if look.kind == match["kind"] and look.parts.get(match["part"]) == match["hue"]
            ]
        return None

    def _split(self, text: str, before: str, after: str) -> list[Look] | None:
        """The noun phrase between optional words before and after it; one of them must be there."""
        for pattern in (
            rf"(?:{before}) (?P<noun>.+)" if before else None,
            rf"(?P<noun>.+?) (?:{after})" if after else None,
        ):
            match = pattern and re.fullmatch(pattern, text)
            if match and self._noun(match["noun"]) is not None:
                return self._noun(match["noun"])
        return None

    def _place(self, text: str) -> list[Look] | None:
        sides = {"left": lambda k: k.u < 0.5, "right": lambda k: k.u > 0.5}
        levels = {"top": lambda k: k.v < 0.5, "bottom": lambda k: k.v > 0.5}
        other_word = {"top": "upper", "bottom": "lower"}
        for level, is_level in levels.items():
            for side, is_side in sides.items():
                group = self._split(text, f"{level} {side}", f"(?:at the {level}|in the {other_word[level]}) {side}")
                if group is not None:
                    return [look for look in group if is_level(look) and is_side(look)]
        for side, is_side in sides.items():
            group = self._split(text, f"{side}(?:-hand)?", f"(?:on the|at) {side}(?: side)?")
            if group is not None:
                return [look for look in group if is_side(look)]
        for level, is_level in levels.items():
            group = self._split(
                text, "top" if level == "top" else "", f"at the {level}|in the {other_word[level]} half"
            )
            if group is not None:
                return [look for look in group if is_level(look)]
        return self._ordered(text)

    def _ordered(self, text: str) -> list[Look] | None:
        firsts = (
            ("leftmost", "(?:farthest to the|furthest) left", lambda k: k.u),
            ("rightmost", "(?:farthest to the|furthest) right", lambda k: -k.u),
            ("highest|topmost|upper", "", lambda k: k.v),
            ("lowest|bottom|lower", "", lambda k: -k.v),
            ("nearest|closest", "closest to us|in the foreground", lambda k: -k.foot),
            ("farthest", "farthest away|at the back|in the background", lambda k: k.foot),
        )
        for before, after, key in firsts:
            group = self._split(text, before, after)
            if group is not None:
                return sorted(group, key=key)[:1]
        match = re.fullmatch(r"(?:second (.+) from the|(.+) second from the) (left|right)", text)
        if match:
            group = sorted(self._noun(match[1] or match[2]), key=lambda k: k.u, reverse=match[3] == "right")
            return group[1:2]
        group = self._split(text, "middle|centre", "in the (?:middle|centre)")
        return None if group is None else [sorted(group, key=lambda k: k.u)[1]] if len(group) == 3 else []

    def _size(self, text: str) -> list[Look] | None:
        words = (
            ("largest|biggest|larger|bigger", "that is the largest", "larger of the two", -1),
            ("smallest|tiniest|smaller", "that is the smallest", "smaller of the two", 1),
        )
        for before, after, two, sign in words:
            if text.startswith(two):
                group = self._noun(text.removeprefix(two).strip())
                return sorted(group, key=lambda k: sign * k.area)[:1] if len(group) == 2 else []
            group = self._split(text, before, after)
            if group is not None:
                return sorted(group, key=lambda k: sign * k.area)[:1]
        match = re.fullmatch(r"(big|little) (.+)", text)
        return self._noun(("large " if match[1] == "big" else "small ") + match[2]) if match else None

    def _relation(self, text: str) -> list[Look] | None:
        group = self._split(text, "flying", "in the sky|up in the air")
        if group is not None:
            return [look for look in group if not self.scene.things[look.number].support]
        match = re.fullmatch(r"(.+?) (?:on|in|that is on|that is in) the (sea|road|grass|sand)", text)
        if match:
            standing = [look for look in self._noun(match[1]) if self.scene.things[look.number].support]
            return [look for look in standing if self.stuff_under(look) == match[2]]
        match = re.fullmatch(r"(.+?) between the (.+) and the (.+)", text)
        if match:
            a, b = self.landmark(match[2]), self.landmark(match[3])
            left, right = sorted((a.u, b.u))
            return [k for k in self._noun(match[1]) if k.number not in (a.number, b.number) and left < k.u < right]
        match = re.fullmatch(
            r"(.+?) (left of|to the left of|on the left of|right of|to the right of|on the right of|above"
            r"|over|below|under|next to|beside|close to|by|in front of|behind) the (.+)",
            text,
        )
        if not match:
            return None
        mark = self.landmark(match[3])
        group = [look for look in self._noun(match[1]) if look.number != mark.number]
        return self._related(group, match[2], mark)

    def landmark(self, text: str) -> Look:
        found = self._noun(text)
        assert len(found) == 1, f"the landmark {text!r} is not one thing"
        return found[0]

    def _related(self, group: list[Look], words: str, mark: Look) -> list[Look]:
        if "left" in words:
            return [k for k in group if k.u < mark.u]
        if "right" in words:
            return [k for k in group if k.u > mark.u]
        if words in ("above", "over"):
            return [k for k in group if k.v < mark.v]
        if words in ("below", "under"):
            return [k for k in group if k.v > mark.v]
        if words in ("in front of", "behind"):
            sign = 1 if words == "behind" else -1
            aligned = [k for k in group if min(k.box[2], mark.box[2]) > max(k.box[0], mark.box[0])]
            return [k for k in aligned if sign * k.foot < sign * mark.foot]
        return [k for k in group if self._gap(k, mark) < 0.1]

    @staticmethod
    def _gap(a: Look, b: Look) -> float:
        across = max(a.box[0] - b.box[2], b.box[0] - a.box[2], 0)
        down = max(a.box[1] - b.box[3], b.box[1] - a.box[3], 0)
        return float(np.hypot(across, down))
