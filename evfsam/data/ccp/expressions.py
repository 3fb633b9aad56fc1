"""Expressions about people in an image. Words for place, size and side mean the same as in rendered scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evfsam.data.ccp.colours import COLOURS, colour_shares, worn
from evfsam.data.ccp.sample import HELD, LABELS_PER_PERSON, ids_of
from evfsam.data.ccp.vocabulary import CLEAN, GROUPS, SEMANTIC, SMALLEST_SHARE
from evfsam.data.scenes import ABSENT, COLOUR, PARTS, PLACE, RELATION, SIZE, THINGS, Expression, meaning, words
from evfsam.data.scenes.measure import Seen

# Things of rendered scenes that no photograph of the pack shows.
NEVER_THERE = ("boat", "kite", "balloon", "sea", "sand")
GARMENTS = (
    *("coat", "jacket", "blazer", "cardigan", "cape", "vest", "shirt", "blouse", "top", "t-shirt", "sweater"),
    *("sweatshirt", "dress", "skirt", "shorts", "pants", "jeans", "suit jacket", "romper"),
)
CARRIED = ("bag", "hat", "scarf")
WITHOUT_ARTICLE = ("pants", "jeans", "shorts")
MOSTLY, HARDLY = 0.55, 0.1  # shares of pixels: above, a garment has a colour; below, a person does not wear it
GARMENT_SHARE = 0.004  # of the image: smaller garments get no expression
PERSON_SHARE = 0.01  # of the image: smaller persons get no expression
WHOLES = ("person", *(name for name in GROUPS if name not in ("shoes", "legwear")))


@dataclass(frozen=True)
class Person:
    """A person in an image.

    Attributes:
        number: in the part map.
        whole_area: share of the image that the person covers, hidden parts included.
        height: of the whole person, as a share of the image's height.
        garments: word -> label ids, for each garment that is annotated.
    """

    number: int
    whole_area: float
    height: float
    garments: dict[str, tuple[int, ...]]


def semantic(prompt: str, ids: Sequence[int], rng: np.random.Generator, aliases: dict) -> Expression:
    """An expression for a semantic prompt, sometimes in other words from ``aliases``."""
    word = prompt.removeprefix(SEMANTIC)
    kind = THINGS if word in WHOLES else PARTS
    others = [alias for alias in aliases.get(word, ()) if "photo" not in alias]
    if others and rng.random() < 0.15:
        word = others[rng.integers(len(others))]
    return Expression(SEMANTIC + word, kind, tuple(ids), None)


def absent_things(rng: np.random.Generator, names: Sequence[str] = NEVER_THERE) -> list[Expression]:
    """Two expressions for things that the image does not show."""
    chosen = rng.permutation(list(names))[:2]
    colour = COLOURS[rng.integers(len(COLOURS))]
    texts = [SEMANTIC + str(name) for name in chosen[:1]] + [f"the {colour} {name}" for name in chosen[1:]]
    return [Expression(text, ABSENT, (), None) for text in texts]


def people_expressions(
    image: np.ndarray,
    part_map: np.ndarray,
    people: Sequence[Person],
    vocabulary: dict[str, tuple[int, ...]],
    aliases: dict,
    rng: np.random.Generator,
) -> list[Expression]:
    """Expressions for all people together, and for each by colour, place, size and relation."""
    found = []
    areas = np.bincount(part_map.ravel(), minlength=256) / part_map.size
    for word in CLEAN:
        labels = (*vocabulary[SEMANTIC + word], HELD) if word == "person" else vocabulary[SEMANTIC + word]
        ids = [i for person in people for i in ids_of(person.number, labels)]
        if areas[ids].sum() >= SMALLEST_SHARE:
            found.append(semantic(SEMANTIC + word, ids, rng, aliases))
    seen = [_seen(part_map, person) for person in people if (part_map // LABELS_PER_PERSON == person.number).any()]
    seen = [one for one in seen if one.area > 0]
    if len(seen) < 2:
        return found
    coloured = dict(_coloured(image, part_map, people, _worn_labels(vocabulary), rng))
    claims = [(PLACE, one, templates) for one, templates in _places(seen)]
    claims += [(SIZE, one, templates) for one, templates in _sizes(seen)]
    claims += [(RELATION, *rest) for rest in _relations(seen, coloured)]
    for kind, one, templates in claims:
        text = templates[rng.integers(len(templates))].format(n="person", N="people")
        if one.area >= PERSON_SHARE and one.shown > 0.3:
            found.append(_expression(text, kind, one, rng))
    by_number = {one.thing: one for one in seen}
    for number, texts in coloured.items():
        if number in by_number and by_number[number].area >= PERSON_SHARE:
            found += [_expression(text, COLOUR, by_number[number], rng) for text in texts]
    return list({expression.text: expression for expression in found}.values())


def absent_garments(
    image: np.ndarray,
    part_map: np.ndarray,
    people: Sequence[Person],
    vocabulary: dict[str, tuple[int, ...]],
    rng: np.random.Generator,
) -> list[Expression]:
    """An expression for a garment in a colour that nobody wears; only for images without other people."""
    labels = _worn_labels(vocabulary)
    shares = [_colours_of(image, part_map, person.number, labels) for person in people]
    free = [colour for colour in COLOURS if all(worn(one, colour) < 0.01 for one in shares)]
    if not free:
        return []
    colour, garment = free[rng.integers(len(free))], GARMENTS[rng.integers(len(GARMENTS))]
    return [Expression(f"the person in the {colour} {garment}", ABSENT, (), None)]


def _expression(text: str, kind: str, one: Seen, rng: np.random.Generator) -> Expression:
    return Expression(f"the {text}" if rng.random() < 0.5 else text, kind, one.part_ids, one.thing)


def _seen(part_map: np.ndarray, person: Person) -> Seen:
    """A person in the form that words for place and size are defined on."""
    ids = ids_of(person.number, range(1, LABELS_PER_PERSON))
    mask = (part_map >= ids[0]) & (part_map <= ids[-1])
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    box = (0.0, 0.0, 0.0, 0.0)
    centroid = (0.5, 0.5)
    if len(rows):
        box = (columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
        centroid = ((columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height)
    area = float(mask.mean())
    return Seen(
        thing=person.number,
        kind="person",
        colour="",
        area=area,
        box=box,
        extent=box,
        centroid=centroid,
        shown=min(1.0, area / person.whole_area),
        foot=box[3],
        size=person.height,
        support="ground",
        looks={},
        part_ids=ids,
    )


def _places(group: Sequence[Seen]) -> Iterator[tuple[Seen, tuple[str, ...]]]:
    found = {
        "leftmost": meaning.leftmost(group),
        "rightmost": meaning.rightmost(group),
        "left": meaning.on_side(group, 0, -1),
        "right": meaning.on_side(group, 0, 1),
        "middle": meaning.middle_of_three(group),
        "second left": meaning.second_from(group, -1),
        "second right": meaning.second_from(group, 1),
    }
    yield from ((one, words.PLACES[place]) for place, one in found.items() if one)


def _sizes(group: Sequence[Seen]) -> Iterator[tuple[Seen, tuple[str, ...]]]:
    two = len(group) == 2
    for one, of_two, of_many in (
        (meaning.largest(group), "larger", "largest"),
        (meaning.smallest(group), "smaller", "smallest"),
    ):
        if one:
            yield one, words.SIZES[of_two if two else of_many]


def _relations(group: Sequence[Seen], coloured: dict[int, list[str]]) -> Iterator[tuple[Seen, tuple[str, ...]]]:
    """Left and right of a person who is identified by clothes."""
    for landmark in group:
        if landmark.thing not in coloured:
            continue
        others = [one for one in group if one is not landmark]
        for side, verdict in (("left", meaning.left_of), ("right", meaning.right_of)):
            verdicts = [verdict(one, landmark) for one in others]
            if None not in verdicts and sum(verdicts) == 1:
                name = f"the {coloured[landmark.thing][0]}"
                templates = tuple(template.replace("{l}", name) for template in words.RELATIONS[side])
                yield others[verdicts.index(True)], templates


def _worn_labels(vocabulary: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Labels of everything worn or carried, without skin and hair: nobody is "in" them."""
    bare = {*vocabulary[SEMANTIC + "skin"], *vocabulary[SEMANTIC + "hair"]}
    return tuple(label for label in vocabulary[SEMANTIC + "person"] if label not in bare)


def _colours_of(image: np.ndarray, part_map: np.ndarray, number: int, labels: Sequence[int]) -> dict[str, float]:
    return colour_shares(image[np.isin(part_map, ids_of(number, labels))])


def _coloured(
    image: np.ndarray,
    part_map: np.ndarray,
    people: Sequence[Person],
    worn_labels: Sequence[int],
    rng: np.random.Generator,
) -> Iterator[tuple[int, list[str]]]:
    """Number of a person, and texts that name the person by the colour of a garment that nobody else wears."""
    shares = {person.number: _colours_of(image, part_map, person.number, worn_labels) for person in people}
    for person in people:
        texts = []
        for word, labels in person.garments.items():
            garment = np.isin(part_map, ids_of(person.number, labels))
            if garment.mean() < GARMENT_SHARE:
                continue
            for colour, share in colour_shares(image[garment]).items():
                others = [worn(shares[other], colour) for other in shares if other != person.number]
                if colour in COLOURS and share >= MOSTLY and max(others, default=0.0) < HARDLY:
                    texts.append(_wording(word, colour, rng))
        if texts:
            yield person.number, texts


def _wording(garment: str, colour: str, rng: np.random.Generator) -> str:
    if garment in CARRIED:
        return f"person with the {colour} {garment}"
    article = "" if garment in WITHOUT_ARTICLE else "an " if colour == "orange" else "a "
    options = (f"in the {colour} {garment}", f"in {article}{colour} {garment}", f"wearing {article}{colour} {garment}")
    return f"person {options[rng.integers(len(options))]}"


def garments_of(targets: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The garments among a photograph's targets that expressions name: word -> label ids."""
    return {word: targets[SEMANTIC + word] for word in (*GARMENTS, *CARRIED) if SEMANTIC + word in targets}
