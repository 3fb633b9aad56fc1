"""Everything true that could be said of a scene: noun phrases, and claims of colour, place, size and relation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from evfsam.data.scenes import meaning, words
from evfsam.data.scenes.measure import Seen, View
from evfsam.data.scenes.model import Scene

TARGET_AREA = 0.003  # of the image, visible
PART_AREA = 0.001
OTHER_LARGE_PARTS = {"house": ("roof",), "boat": ("sail",), "person": ("trousers",)}
TELLING_PARTS = {
    "house": ("roof", "door"),
    "boat": ("sail",),
    "person": ("shirt", "trousers", "hair"),
    "dog": ("collar",),
    "kite": ("tail",),
}


@dataclass(frozen=True)
class Noun:
    """A noun phrase without article, and the things that it covers."""

    text: str
    kind: str
    members: tuple[Seen, ...]


@dataclass(frozen=True)
class Claim:
    """A possible expression.

    Attributes:
        templates: its wordings.
        noun: fills ``{n}`` and ``{N}`` of a template.
        target: the thing that the expression names, or None for nothing.
        landmarks: fill ``{l}`` and ``{m}``.
        hard: the noun alone does not single out the target.
    """

    templates: tuple[str, ...]
    noun: Noun
    target: Seen | None
    landmarks: tuple[str, ...] = ()
    hard: bool = True


def noun_phrases(view: View, scene: Scene) -> list[Noun]:
    """Noun phrases whose members are beyond doubt: kind, colour and kind, size and kind, or all three."""
    nouns = []
    for kind in _clear_kinds(view, scene):
        group = [seen for seen in view.things if seen.kind == kind]
        sizes = {"": tuple(group)}
        split = meaning.split_by_size(group)
        if split:
            sizes |= {"small": tuple(split[0]), "large": tuple(split[1])}
        for size, members in sizes.items():
            nouns.append(Noun(f"{size} {kind}".strip(), kind, members))
            for colour in sorted({seen.colour for seen in members}):
                if _colour_is_clear(scene, kind, colour):
                    worn = tuple(seen for seen in members if seen.colour == colour)
                    nouns.append(Noun(f"{size} {coloured(kind, colour)}".strip(), kind, worn))
    return nouns


def coloured(kind: str, colour: str) -> str:
    """ "red car", but "person in red"."""
    return f"{kind} in {colour}" if kind == "person" else f"{colour} {kind}"


def _clear_kinds(view: View, scene: Scene) -> list[str]:
    """Kinds without a wholly hidden thing. At another size of the image a hidden thing might become visible."""
    visible = {seen.thing for seen in view.things}
    hidden = {body.kind for number, body in enumerate(scene.things) if number not in visible}
    return sorted({seen.kind for seen in view.things} - hidden)


def _colour_is_clear(scene: Scene, kind: str, colour: str) -> bool:
    """False if a thing of this kind, but of another colour, has a second large part of this colour."""
    return not any(
        body.kind == kind and body.colour != colour and (name, colour) in body.parts
        for body in scene.things
        for name in OTHER_LARGE_PARTS.get(kind, ())
    )


def colour_claims(view: View, scene: Scene) -> Iterator[Claim]:
    """Among several things of a kind, the only one that has this colour, or a part of this colour."""
    for kind in _clear_kinds(view, scene):
        group = tuple(seen for seen in view.things if seen.kind == kind)
        if len(group) < 2:
            continue
        for seen in group:
            if sum(other.colour == seen.colour for other in group) == 1 and _colour_is_clear(scene, kind, seen.colour):
                templates = words.PERSON_IN if kind == "person" else words.COLOUR_ADJECTIVE
                yield Claim(_fill(templates, k=kind, c=seen.colour), Noun(kind, kind, group), seen)
            for part in TELLING_PARTS.get(kind, ()):
                yield from _part_colour_claims(group, seen, part)


def _part_colour_claims(group: tuple[Seen, ...], seen: Seen, part: str) -> Iterator[Claim]:
    colour, area = seen.looks.get(part, ("", 0.0))
    if area < PART_AREA or sum(other.looks.get(part, ("", 0))[0] == colour for other in group) != 1:
        return
    templates = words.PERSON_SHIRT if part == "shirt" else words.WITH_MASS if part in words.MASS else words.WITH_PART
    article = "an" if colour == "orange" else "a"
    yield Claim(_fill(templates, k=seen.kind, c=colour, p=part, a=article), Noun(seen.kind, seen.kind, group), seen)


def _fill(templates: tuple[str, ...], **slots: str) -> tuple[str, ...]:
    return tuple(template.format(**slots) for template in templates)


def place_claims(nouns: list[Noun]) -> Iterator[Claim]:
    """Places in the image and orders from side to side: left, at the top, second from the right, nearest."""
    for noun in nouns:
        group = noun.members
        found = {
            "leftmost": meaning.leftmost(group),
            "rightmost": meaning.rightmost(group),
            "highest": meaning.highest(group),
            "lowest": meaning.lowest(group),
            "left": meaning.on_side(group, 0, -1),
            "right": meaning.on_side(group, 0, 1),
            "top": meaning.on_side(group, 1, -1),
            "bottom": meaning.on_side(group, 1, 1),
            "top left": meaning.in_quarter(group, -1, -1),
            "top right": meaning.in_quarter(group, 1, -1),
            "bottom left": meaning.in_quarter(group, -1, 1),
            "bottom right": meaning.in_quarter(group, 1, 1),
            "middle": meaning.middle_of_three(group),
            "second left": meaning.second_from(group, -1),
            "second right": meaning.second_from(group, 1),
            "nearest": meaning.nearest(group),
            "farthest": meaning.farthest(group),
        }
        yield from (Claim(words.PLACES[place], noun, seen) for place, seen in found.items() if seen)


def size_claims(nouns: list[Noun]) -> Iterator[Claim]:
    """Sizes: the only small one, the only large one, the largest, the smaller of two."""
    for noun in nouns:
        if noun.text.startswith(("small ", "large ")):
            if len(noun.members) == 1:
                yield Claim(_both_words(noun.text), noun, noun.members[0])
            continue
        two = len(noun.members) == 2
        for seen, one_of_two, one_of_many in (
            (meaning.largest(noun.members), "larger", "largest"),
            (meaning.smallest(noun.members), "smaller", "smallest"),
        ):
            if seen:
                yield Claim(words.SIZES[one_of_two if two else one_of_many], noun, seen)


def _both_words(text: str) -> tuple[str, ...]:
    """The wordings of "small red car", one per word for the size."""
    size, rest = text.split(" ", 1)
    return tuple(template.format(n=rest) for template in words.SIZES[size])


PAIRWISE = {
    "left": meaning.left_of,
    "right": meaning.right_of,
    "above": meaning.above,
    "below": meaning.below,
    "next to": meaning.next_to,
    "front": meaning.in_front_of,
    "behind": meaning.behind,
}


def _landmarks(nouns: list[Noun]) -> list[Noun]:
    """Things that a noun phrase singles out, each with its shortest noun phrase."""
    shortest: dict[int, Noun] = {}
    for noun in nouns:
        if len(noun.members) == 1 and noun.members[0].area >= TARGET_AREA:
            best = shortest.get(noun.members[0].thing)
            if best is None or len(noun.text) < len(best.text):
                shortest[noun.members[0].thing] = noun
    return list(shortest.values())


def relation_claims(nouns: list[Noun], scene: Scene) -> Iterator[Claim]:
    """Relations to one landmark, to two landmarks, and to the stuff underneath."""
    marks = _landmarks(nouns)
    for noun in nouns:
        for mark in marks:
            group = _without(noun, mark)
            for name, verdict in PAIRWISE.items():
                target = meaning.only(group, verdict, mark.members[0])
                if target:
                    yield Claim(words.RELATIONS[name], noun, target, (f"the {mark.text}",), len(group) > 1)
        for a, b in combinations(marks, 2):
            group = _without(noun, a, b)
            target = meaning.only(group, meaning.between, a.members[0], b.members[0])
            if target and len(group) > 1:
                yield Claim(words.RELATIONS["between"], noun, target, (f"the {a.text}", f"the {b.text}"))
        yield from _support_claims(noun, scene)


def _without(noun: Noun, *marks: Noun) -> list[Seen]:
    return [seen for seen in noun.members if all(seen is not mark.members[0] for mark in marks)]


def _support_claims(noun: Noun, scene: Scene) -> Iterator[Claim]:
    if len(noun.members) < 2:
        return
    for stuff, word in words.SUPPORTS.items():
        target = meaning.only(noun.members, meaning.stands_on, stuff, scene.horizon_v)
        if target:
            yield Claim(words.RELATIONS[word], noun, target, (f"the {stuff}",))
    target = meaning.only(noun.members, meaning.in_the_sky, scene.horizon_v)
    if target:
        yield Claim(words.RELATIONS["sky"], noun, target)


def absent_relations(nouns: list[Noun]) -> Iterator[Claim]:
    """Relations to a landmark that clearly no member of the noun has."""
    for noun in nouns:
        for mark in _landmarks(nouns):
            group = _without(noun, mark)
            for name in ("left", "right", "above", "below", "next to"):
                if group and meaning.none(group, PAIRWISE[name], mark.members[0]):
                    yield Claim(words.RELATIONS[name], noun, None, (f"the {mark.text}",))
