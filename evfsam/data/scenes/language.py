"""Expressions: texts with the parts that they name. Each referring expression names exactly one thing."""

from __future__ import annotations

from dataclasses import dataclass

from evfsam.data.scenes import claims, words
from evfsam.data.scenes.claims import PART_AREA, TARGET_AREA, Noun
from evfsam.data.scenes.measure import View, measure
from evfsam.data.scenes.model import Scene
from evfsam.data.scenes.rng import Rng

WORDS_STREAM = 2
COLOUR, PLACE, RELATION, SIZE, NAME = "colour", "place", "relation", "size", "name"
STUFF, THINGS, PARTS, ABSENT = "stuff", "things", "parts", "absent"
REFERRING = (COLOUR, PLACE, RELATION, SIZE, NAME)
KINDS_OF_EXPRESSION = REFERRING + (STUFF, THINGS, PARTS, ABSENT)
QUOTA = {COLOUR: 6, PLACE: 7, RELATION: 9, SIZE: 4, NAME: 2, STUFF: 3, THINGS: 3, PARTS: 4, ABSENT: 4}


@dataclass(frozen=True)
class Expression:
    """A text and its truth: the mask is ``np.isin(part_map, part_ids)``.

    Attributes:
        text: "[semantic] " stands before stuff, categories and parts.
        kind: one of :data:`KINDS_OF_EXPRESSION`.
        part_ids: empty if the scene does not show what the text names.
        target: the number of the thing that a referring expression names; None for other kinds.
    """

    text: str
    kind: str
    part_ids: tuple[int, ...]
    target: int | None


def expressions(scene: Scene) -> list[Expression]:
    """About 20 to 40 expressions of a scene. They do not depend on the size at which it is rendered."""
    view, rng = measure(scene), Rng(scene.seed, WORDS_STREAM)
    nouns = claims.noun_phrases(view, scene)
    options = {
        COLOUR: list(claims.colour_claims(view, scene)),
        PLACE: list(claims.place_claims(nouns)),
        RELATION: list(claims.relation_claims(nouns, scene)),
        SIZE: list(claims.size_claims(nouns)),
        NAME: [
            claims.Claim(("{n}",), noun, noun.members[0])
            for noun in nouns
            if noun.text == noun.kind and len(noun.members) == 1
        ],
    }
    said: dict[str, Expression] = {}
    for kind, found in options.items():
        _say(kind, [claim for claim in found if claim.target.area >= TARGET_AREA], said, rng)
    _say_semantic(scene, view, said, rng)
    _say_absent(scene, nouns, said, rng)
    return list(said.values())


def _say(kind: str, options: list[claims.Claim], said: dict[str, Expression], rng: Rng) -> None:
    """Put claims into words: as many as :data:`QUOTA` allows, hard ones first, at most three per target."""
    count, uses = 0, {}
    for claim in sorted(rng.shuffled(options), key=lambda claim: not claim.hard):
        text = _wording(claim, rng)
        target = claim.target.thing if claim.target else None
        if count >= QUOTA[kind] or text in said or uses.get(target, 0) >= 3:
            continue
        said[text] = Expression(text, kind, claim.target.part_ids if claim.target else (), target)
        uses[target], count = uses.get(target, 0) + 1, count + 1


def _wording(claim: claims.Claim, rng: Rng) -> str:
    template = rng.pick(claim.templates)
    landmarks = dict(zip("lm", claim.landmarks, strict=False))
    plural = claim.noun.text.replace(claim.noun.kind, words.plural(claim.noun.kind))
    text = template.format(n=claim.noun.text, N=plural, **landmarks)
    return f"the {text}" if rng.chance(0.5) else text


def _say_semantic(scene: Scene, view: View, said: dict[str, Expression], rng: Rng) -> None:
    """Add expressions for all of a stuff, of a category, of a part, and of a part of one category."""
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
        visible = [(name, ids) for name, ids in groups.items() if sum(view.part_areas[i] for i in ids) >= floor]
        for name, ids in rng.shuffled(visible)[: QUOTA[kind]]:
            text = words.SEMANTIC + name
            said[text] = Expression(text, kind, tuple(ids), None)


def _say_absent(scene: Scene, nouns: list[Noun], said: dict[str, Expression], rng: Rng) -> None:
    """Add expressions that name nothing: another colour, another kind, another place beside a landmark."""
    kinds = {body.kind for body in scene.things}
    stuff = {body.kind for body in scene.stuff}
    parts = {(part.kind, part.name) for part in scene.parts}
    missing = [kind for kind in words.categories() if kind not in kinds]
    semantic = [name for name in words.stuff_names() if name not in stuff] + missing
    semantic += [
        f"{kind} {part}" for kind in words.categories() for part in words.part_names(kind) if (kind, part) not in parts
    ]
    texts = [rng.pick(_absent_colours(scene, rng)), words.SEMANTIC + rng.pick(semantic)]
    texts.append(rng.pick((rng.pick(missing), claims.coloured(rng.pick(missing), rng.pick(words.colours())))))
    relations = list(claims.absent_relations(nouns))
    if relations:
        texts.append(_wording(rng.pick(relations), rng))
    for text in texts:
        if not text.startswith((words.SEMANTIC, "the ")) and rng.chance(0.5):
            text = f"the {text}"
        said.setdefault(text, Expression(text, ABSENT, (), None))


def _absent_colours(scene: Scene, rng: Rng) -> list[str]:
    """Kinds of the scene in colours that none of their parts has; mostly in colours that other kinds have."""
    worn = sorted({body.colour for body in scene.things})
    kinds = sorted({body.kind for body in scene.things})
    for options in (worn, words.colours()) if rng.chance(0.7) else (words.colours(),):
        texts = []
        for kind in kinds:
            shown = {colour for body in scene.things if body.kind == kind for _, colour in body.parts}
            texts += [
                claims.coloured(kind, colour)
                for colour in options
                if colour not in shown and colour in words.colours_of(kind)
            ]
        if texts:
            return texts
    return [kind for kind in words.categories() if kind not in kinds]  # these kinds have all the colours
