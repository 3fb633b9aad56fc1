"""What a checkpoint was trained to find in its "[semantic]" mode: categories, and things with their parts.

The rendered world tells its own words. For the published multitask checkpoints these are the label sets of
the data they were trained on (README of the official repository: ADE20K, Object365, PartImageNet, human
parsing, PASCAL-Part); of the hundreds of categories only common ones are offered, any other can be typed.
"""

from __future__ import annotations

from dataclasses import dataclass

from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.data.ccp import COMMON
from evfsam.data.scenes import words
from evfsam.processing.text import SEMANTIC_PREFIX, unknown_words


@dataclass(frozen=True)
class Vocabulary:
    """Chips to choose from.

    Attributes:
        categories: stuff first, then things.
        parts: thing -> its parts, as they are said in a phrase.
        bare_things: things whose parts are named alone ("hair"), not with the thing ("dog head").
    """

    categories: tuple[str, ...]
    parts: dict[str, tuple[str, ...]]
    bare_things: frozenset[str] = frozenset()

    def part_prompt(self, thing: str, part: str) -> str:
        """What to ask for a part of a thing; a part on its own where no thing is named."""
        return part if not thing or thing in self.bare_things else f"{thing} {part}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


ADE20K = _names(
    "sky, wall, floor, ceiling, building, road, sidewalk, grass, earth, sand, water, sea, river, mountain, "
    "rock, tree, plant, flower, field, fence, person, car, bus, truck, bicycle, boat, airplane, animal, door, "
    "window, curtain, table, chair, sofa, bed, cabinet, lamp, painting, mirror, stairs"
)
PART_IMAGENET = {
    "quadruped": ("head", "body", "foot", "tail"),
    "biped": ("head", "body", "hand", "foot", "tail"),
    "bird": ("head", "body", "wing", "foot", "tail"),
    "fish": ("head", "body", "fin", "tail"),
    "reptile": ("head", "body", "foot", "tail"),
    "snake": ("head", "body"),
    "car": ("body", "tire", "side mirror"),
    "bicycle": ("head", "body", "seat", "tire"),
    "boat": ("body", "sail"),
    "aeroplane": ("head", "body", "wing", "engine", "tail"),
    "bottle": ("body", "mouth"),
}
# All its classes that have parts, but for persons; sides are left out ("left front leg").
PASCAL_PART = {
    "cat": ("head", "ear", "eye", "nose", "neck", "torso", "leg", "paw", "tail"),
    "dog": ("head", "ear", "eye", "nose", "muzzle", "neck", "torso", "leg", "paw", "tail"),
    "horse": ("head", "ear", "eye", "muzzle", "neck", "torso", "leg", "hoof", "tail"),
    "cow": ("head", "ear", "eye", "muzzle", "horn", "neck", "torso", "leg", "tail"),
    "sheep": ("head", "ear", "eye", "muzzle", "horn", "neck", "torso", "leg", "tail"),
    "bird": ("head", "eye", "beak", "neck", "torso", "wing", "leg", "foot", "tail"),
    "aeroplane": ("body", "stern", "wing", "tail", "engine", "wheel"),
    "bicycle": ("wheel", "saddle", "handlebar", "chain wheel", "headlight"),
    "bottle": ("body", "cap"),
    "bus": ("window", "wheel", "door", "headlight", "license plate", "mirror"),
    "car": ("window", "wheel", "door", "headlight", "license plate", "mirror"),
    "motorbike": ("wheel", "saddle", "handlebar", "headlight"),
    "potted plant": ("plant", "pot"),
    "train": ("head", "coach", "headlight"),
    "tv monitor": ("screen",),
}
HUMAN = "person"
# Left and right are the viewer's, as the paper aligns them.
HUMAN_PARSING = _names(
    "hair, face, hat, sunglasses, upper clothes, dress, coat, pants, skirt, scarf, glove, socks, left arm, "
    "right arm, left leg, right leg, left shoe, right shoe"
)


def _merged(*sets: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Each thing with the parts that any of the data sets names."""
    things = dict.fromkeys(thing for labels in sets for thing in labels)
    return {thing: tuple(dict.fromkeys(part for labels in sets for part in labels.get(thing, ()))) for thing in things}


OPEN = Vocabulary(ADE20K, _merged({HUMAN: HUMAN_PARSING}, PASCAL_PART, PART_IMAGENET), frozenset({HUMAN}))


def vocabulary_of(info: CheckpointInfo) -> Vocabulary:
    """The chips for a checkpoint: of what it learned from as far as it knows the words, else the open ones."""
    if not info.vocabulary:
        return OPEN
    known = tuple(word for word in (*words.stuff_names(), *words.categories()) if not _unknown(word, info))
    parts = {
        thing: names
        for thing in words.categories()
        if (names := tuple(part for part in words.part_names(thing) if not _unknown(part, info)))
    }
    if any(_unknown(name, info) for name in COMMON):
        return Vocabulary(known, parts)
    # It learned from photographs of people as well; their words stand in for the rendered world's few.
    return Vocabulary((*known, "clothes"), {**parts, HUMAN: COMMON}, frozenset({HUMAN}))


def semantic_prompt(words_: str) -> str:
    """ "sky" -> "[semantic] sky"; the prefix is not doubled where somebody typed it."""
    bare = words_.strip()
    while bare.lower().startswith(SEMANTIC_PREFIX.strip()):
        bare = bare[len(SEMANTIC_PREFIX.strip()) :].lstrip()
    return SEMANTIC_PREFIX + bare


def _unknown(word: str, info: CheckpointInfo) -> bool:
    return bool(unknown_words(word, info.vocabulary))
