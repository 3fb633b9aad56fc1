"""Expressions: phrases with the parts they mean. Each referring phrase names exactly one thing, by construction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from evfsam.data.scenes import meaning, words
from evfsam.data.scenes.dice import Dice
from evfsam.data.scenes.measure import Seen, View, measure
from evfsam.data.scenes.model import Scene

WORDS_STREAM = 2
COLOUR, PLACE, RELATION, SIZE, NAME = "colour", "place", "relation", "size", "name"
STUFF, THINGS, PARTS, ABSENT = "stuff", "things", "parts", "absent"
REFERRING = (COLOUR, PLACE, RELATION, SIZE, NAME)
KINDS_OF_EXPRESSION = REFERRING + (STUFF, THINGS, PARTS, ABSENT)
QUOTA = {COLOUR: 6, PLACE: 7, RELATION: 9, SIZE: 4, NAME: 2, STUFF: 3, THINGS: 3, PARTS: 4, ABSENT: 4}

TARGET_AREA = 0.003  # of the picture, visible
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
class Expression:
    """A phrase and its truth: the mask is ``np.isin(part_map, part_ids)``.

    ``kind`` is one of KINDS_OF_EXPRESSION; ``target`` is the number of the thing that a referring phrase names and
    None for all others; ``part_ids`` is empty where the phrase names nothing that is there.
    """

    text: str
    kind: str
    part_ids: tuple[int, ...]
    target: int | None


@dataclass(frozen=True)
class Noun:
    """A noun phrase without article and the things it covers."""

    text: str
    kind: str
    members: tuple[Seen, ...]


@dataclass(frozen=True)
class _Claim:
    """A phrase that could be said: wordings, what they are filled with, the thing meant (None: nothing)."""

    templates: tuple[str, ...]
    noun: Noun
    target: Seen | None
    landmarks: tuple[str, ...] = ()
    hard: bool = True


def expressions(scene: Scene) -> list[Expression]:
    """About 20 to 40 phrases of a scene, the same for every size it is drawn at."""
    return phrase(scene, measure(scene))


def phrase(scene: Scene, view: View) -> list[Expression]:
    """The phrases of a scene of which the view is known."""
    dice = Dice(scene.seed, WORDS_STREAM)
    nouns = _nouns(view, scene)
    claims = {
        COLOUR: list(_colour_claims(view, scene)),
        PLACE: list(_place_claims(nouns)),
        RELATION: list(_relation_claims(nouns, scene)),
        SIZE: list(_size_claims(nouns)),
        NAME: [
            _Claim(("{n}",), noun, noun.members[0])
            for noun in nouns
            if noun.text == noun.kind and len(noun.members) == 1
        ],
    }
    said: dict[str, Expression] = {}
    for kind, options in claims.items():
        _say(kind, [claim for claim in options if claim.target.area >= TARGET_AREA], said, dice)
    _say_semantic(scene, view, said, dice)
    _say_absent(scene, view, nouns, said, dice)
    return list(said.values())


def _say(kind: str, claims: list[_Claim], said: dict[str, Expression], dice: Dice) -> None:
    """Words for as many claims as the quota allows, the hard ones first and no target more than three times."""
    count, uses = 0, {}
    for claim in sorted(dice.shuffled(claims), key=lambda claim: not claim.hard):
        text = _wording(claim, dice)
        target = claim.target.thing if claim.target else None
        if count >= QUOTA[kind] or text in said or uses.get(target, 0) >= 3:
            continue
        said[text] = Expression(text, kind, claim.target.part_ids if claim.target else (), target)
        uses[target], count = uses.get(target, 0) + 1, count + 1


def _wording(claim: _Claim, dice: Dice) -> str:
    template = dice.pick(claim.templates)
    landmarks = dict(zip("lm", claim.landmarks))
    plural = claim.noun.text.replace(claim.noun.kind, words.plural(claim.noun.kind))
    text = template.format(n=claim.noun.text, N=plural, **landmarks)
    return f"the {text}" if dice.chance(0.5) else text


def _nouns(view: View, scene: Scene) -> list[Noun]:
    """All noun phrases whose members are beyond doubt: kind, colour and kind, size and kind, all three."""
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
                    nouns.append(Noun(f"{size} {_coloured(kind, colour)}".strip(), kind, worn))
    return nouns


def _coloured(kind: str, colour: str) -> str:
    return f"{kind} in {colour}" if kind == "person" else f"{colour} {kind}"


def _clear_kinds(view: View, scene: Scene) -> list[str]:
    """Kinds of which no thing is wholly hidden: what hides might show a sliver at another size."""
    visible = {seen.thing for seen in view.things}
    hidden = {body.kind for number, body in enumerate(scene.things) if number not in visible}
    return sorted({seen.kind for seen in view.things} - hidden)


def _colour_is_clear(scene: Scene, kind: str, colour: str) -> bool:
    """False where a thing of the kind and another colour has a second large part of this colour."""
    return not any(
        body.kind == kind and body.colour != colour and (name, colour) in body.parts
        for body in scene.things
        for name in OTHER_LARGE_PARTS.get(kind, ())
    )


def _colour_claims(view: View, scene: Scene) -> Iterator[_Claim]:
    """The only one of its colour, or with a part of that colour, among several of the kind."""
    for kind in _clear_kinds(view, scene):
        group = tuple(seen for seen in view.things if seen.kind == kind)
        if len(group) < 2:
            continue
        for seen in group:
            if sum(other.colour == seen.colour for other in group) == 1 and _colour_is_clear(
                scene, kind, seen.colour
            ):
                templates = words.PERSON_IN if kind == "person" else words.COLOUR_ADJECTIVE
                yield _Claim(_fill(templates, k=kind, c=seen.colour), Noun(kind, kind, group), seen)
            for part in TELLING_PARTS.get(kind, ()):
                yield from _part_colour_claims(group, seen, part)


def _part_colour_claims(group: tuple[Seen, ...], seen: Seen, part: str) -> Iterator[_Claim]:
    colour, area = seen.looks.get(part, ("", 0.0))
    if area < PART_AREA or sum(other.looks.get(part, ("", 0))[0] == colour for other in group) != 1:
        return
    templates = (
        words.PERSON_SHIRT if part == "shirt" else words.WITH_MASS if part in words.MASS else words.WITH_PART
    )
    article = "an" if colour == "orange" else "a"
    yield _Claim(
        _fill(templates, k=seen.kind, c=colour, p=part, a=article), Noun(seen.kind, seen.kind, group), seen
    )


def _fill(templates: tuple[str, ...], **slots: str) -> tuple[str, ...]:
    return tuple(template.format(**slots) for template in templates)


def _place_claims(nouns: list[Noun]) -> Iterator[_Claim]:
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
        yield from (_Claim(words.PLACES[place], noun, seen) for place, seen in found.items() if seen)


def _size_claims(nouns: list[Noun]) -> Iterator[_Claim]:
    for noun in nouns:
        if noun.text.startswith(("small ", "large ")):
            if len(noun.members) == 1:
                yield _Claim(_both_words(noun.text), noun, noun.members[0])
            continue
        two = len(noun.members) == 2
        for seen, one_of_two, one_of_many in (
            (meaning.largest(noun.members), "larger", "largest"),
            (meaning.smallest(noun.members), "smaller", "smallest"),
        ):
            if seen:
                yield _Claim(words.SIZES[one_of_two if two else one_of_many], noun, seen)


def _both_words(text: str) -> tuple[str, ...]:
    """ "small red car" in all its size words."""
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
    """Things that a plain noun phrase singles out, each by its shortest one."""
    shortest: dict[int, Noun] = {}
    for noun in nouns:
        if len(noun.members) == 1 and noun.members[0].area >= TARGET_AREA:
            best = shortest.get(noun.members[0].thing)
            if best is None or len(noun.text) < len(best.text):
                shortest[noun.members[0].thing] = noun
    return list(shortest.values())


def _relation_claims(nouns: list[Noun], scene: Scene) -> Iterator[_Claim]:
    """Claims to one landmark, to two, and to the stuff under the thing. Hard: others of the noun are elsewhere."""
    marks = _landmarks(nouns)
    for noun in nouns:
        for mark in marks:
            group = _without(noun, mark)
            for name, verdict in PAIRWISE.items():
                target = meaning.only(group, lambda seen: verdict(seen, mark.members[0]))
                if target:
                    yield _Claim(words.RELATIONS[name], noun, target, (f"the {mark.text}",), len(group) > 1)
        for a, b in combinations(marks, 2):
            group = _without(noun, a, b)
            target = meaning.only(group, lambda seen: meaning.between(seen, a.members[0], b.members[0]))
            if target and len(group) > 1:
                yield _Claim(words.RELATIONS["between"], noun, target, (f"the {a.text}", f"the {b.text}"))
        yield from _support_claims(noun, scene)


def _without(noun: Noun, *marks: Noun) -> list[Seen]:
    return [seen for seen in noun.members if all(seen is not mark.members[0] for mark in marks)]


def _support_claims(noun: Noun, scene: Scene) -> Iterator[_Claim]:
    if len(noun.members) < 2:
        return
    for stuff, word in words.SUPPORTS.items():
        target = meaning.only(noun.members, lambda seen: meaning.stands_on(seen, stuff, scene.horizon_v))
        if target:
            yield _Claim(words.RELATIONS[word], noun, target, (f"the {stuff}",))
    target = meaning.only(noun.members, lambda seen: meaning.in_the_sky(seen, scene.horizon_v))
    if target:
        yield _Claim(words.RELATIONS["sky"], noun, target)


def _say_semantic(scene: Scene, view: View, said: dict[str, Expression], dice: Dice) -> None:
    """All of a stuff, all of a category, all of a part, and all of a part of one category."""
    found: dict[str, dict[str, list[int]]] = {STUFF: {}, THINGS: {}, PARTS: {}}
    for part in scene.parts:
        if part.thing is None:
            found[STUFF].setdefault(part.name, []).append(part.index)
            continue
        found[THINGS].setdefault(part.kind, []).append(part.index)
        if words.part_names(part.kind):
            found[PARTS].setdefault(f"{part.kind} {part.name}", []).append(part.index)
            if part.name not in words.BARE_PARTS_EXCLUDED:
                found[PARTS].setdefault(part.name, []).append(part.index)
    for kind, groups in found.items():
        floor = PART_AREA if kind == PARTS else TARGET_AREA
        visible = [
            (name, ids) for name, ids in groups.items() if sum(view.part_areas[i] for i in ids) >= floor
        ]
        for name, ids in dice.shuffled(visible)[: QUOTA[kind]]:
            text = words.SEMANTIC + name
            said[text] = Expression(text, kind, tuple(ids), None)


def _say_absent(scene: Scene, view: View, nouns: list[Noun], said: dict[str, Expression], dice: Dice) -> None:
    """Phrases of things that are not there: another colour, another kind, another place beside a landmark."""
    kinds = {body.kind for body in scene.things}
    stuff = {body.kind for body in scene.stuff}
    parts = {(part.kind, part.name) for part in scene.parts}
    missing = [kind for kind in words.categories() if kind not in kinds]
    semantic = [name for name in words.stuff_names() if name not in stuff] + missing
    semantic += [
        f"{kind} {part}"
        for kind in words.categories()
        for part in words.part_names(kind)
        if (kind, part) not in parts
    ]
    texts = [dice.pick(_absent_colours(scene, dice)), words.SEMANTIC + dice.pick(semantic)]
    texts.append(dice.pick((dice.pick(missing), _coloured(dice.pick(missing), dice.pick(words.colours())))))
    relations = list(_absent_relations(nouns))
    if relations:
        texts.append(_wording(dice.pick(relations), dice))
    for text in texts:
        if not text.startswith((words.SEMANTIC, "the ")) and dice.chance(0.5):
            text = f"the {text}"
        said.setdefault(text, Expression(text, ABSENT, (), None))


def _absent_colours(scene: Scene, dice: Dice) -> list[str]:
    """Kinds that are there in colours that no large part of theirs has, preferring colours that others wear."""
    worn = sorted({body.colour for body in scene.things})
    kinds = sorted({body.kind for body in scene.things})
    for options in (worn, words.colours()) if dice.chance(0.7) else (words.colours(),):
        texts = []
        for kind in kinds:
            shown = {colour for body in scene.things if body.kind == kind for _, colour in body.parts}
            texts += [
                _coloured(kind, colour)
                for colour in options
                if colour not in shown and colour in words.colours_of(kind)
            ]
        if texts:
            return texts
    return [kind for kind in words.categories() if kind not in kinds]  # every colour there is, is worn


def _absent_relations(nouns: list[Noun]) -> Iterator[_Claim]:
    for noun in nouns:
        for mark in _landmarks(nouns):
            group = _without(noun, mark)
            for name in ("left", "right", "above", "below", "next to"):
                if group and meaning.none(group, lambda seen: PAIRWISE[name](seen, mark.members[0])):
                    yield _Claim(words.RELATIONS[name], noun, None, (f"the {mark.text}",))
