"""Synonyms: unknown words mapped to words of the vocabulary that a checkpoint was trained on; the user is told of each.

For the checkpoints that were trained on few words. Those trained on open language have no list and read all as typed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from evfsam.processing.text import SEMANTIC_PREFIX, WORD, unknown_words

# A word -> what people say for it, or for one kind of it. Never the other way round: a ship is a boat, but a vehicle
# may be a car or a bus. Where two may be read for one, the first that a checkpoint knows is.
SAID_FOR = {
    "person": "man woman boy girl child kid baby lady guy gentleman human figure pedestrian",
    "people": "men women children",
    "car": "automobile auto sedan cab taxi",
    "bus": "coach minibus",
    "boat": "sailboat ship yacht dinghy vessel",
    "dog": "puppy pup doggy hound",
    "bird": "seagull gull pigeon parrot sparrow",
    "house": "home building cottage hut cabin",
    "tree": "pine fir oak birch",
    "flower": "daisy sunflower tulip rose blossom bloom",
    "umbrella": "parasol brolly sunshade",
    "sea": "ocean water lake",
    "road": "street asphalt highway",
    "grass": "lawn meadow",
    "sand": "beach shore",
    "mountain": "hill peak",
    "purple": "violet lilac",
    "red": "crimson scarlet",
    "blue": "navy azure",
    "pink": "magenta",
    "yellow": "golden",
    "large": "huge giant enormous tall",
    "small": "tiny mini short",
    "largest": "tallest",
    "smallest": "shortest",
    "trousers": "pants jeans slacks",
    "pants": "slacks",
    "shirt": "t-shirt tee blouse sweater jumper pullover",
    "jacket": "anorak parka",
    "hat": "cap beanie",
    "bag": "backpack rucksack",
    "shoe": "boot sneaker trainer sandal",
    "sneakers": "trainers",
    "wheel": "tyre tire",
    "light": "lamp headlight headlamp",
    "under": "beneath underneath",
    "below": "beneath underneath",
    "on": "atop upon",
    "beside": "near alongside",
    "in": "inside within",
    "centre": "center",
    "middle": "central",
    "left-hand": "lefthand",
    "right-hand": "righthand",
}
# What is said before a thing's name and adds nothing that was learned, beside what is said for it: "pine tree".
SAID_BEFORE = (("balloon", "hot[- ]air"), ("ball", "beach"), ("boat", "sailing"))
SHORTEST_INFLECTED = 4  # letters of a word that may be another's plural: "as" is not several a
SHORTEST_MENDED, SHORTEST_WITH_WRONG_LETTER = 4, 6  # letters of a word that may be a slip of another

_BEFORE = (*SAID_BEFORE, *((word, said.replace(" ", "|")) for word, said in SAID_FOR.items()))
_COMPOUNDS = re.compile("|".join(rf"\b(?:{before}) (?={word}s?\b)" for word, before in _BEFORE), re.IGNORECASE)
_READINGS: dict[str, list[str]] = {}
for _reading, _said in SAID_FOR.items():
    for _word in _said.split():
        _READINGS.setdefault(_word, []).append(_reading)


def map_to_vocabulary(prompt: str, vocabulary: Collection[str]) -> tuple[str, dict[str, str]]:
    """A cleaned phrase in words that a checkpoint knows as far as they can be found.

    A word that it never learned is read as one that it did: as another number of it ("wheels"), as what is meant by
    it (:data:`SAID_FOR`), or as the one word of which it is a slip of the keyboard ("blaloon"). Others stay.

    Returns the phrase, and for each word so read, in small letters, what it was read as.
    """
    if not unknown_words(prompt, vocabulary):
        return prompt, {}
    prefix = SEMANTIC_PREFIX if prompt.startswith(SEMANTIC_PREFIX) else ""
    words, read = prompt[len(prefix) :], {}

    def shorten(found: re.Match) -> str:
        noun = WORD.findall(words, found.end())[0].lower()
        if noun not in vocabulary or not unknown_words(found[0], vocabulary):
            return found[0]
        read[found[0].lower() + noun] = noun
        return ""

    def known(found: re.Match) -> str:
        typed = found[0].lower()
        if typed in vocabulary:
            return found[0]
        reading = next((word for word in _candidates(typed, vocabulary) if word in vocabulary), None)
        if reading is None:
            return found[0]
        read[typed] = reading
        return reading

    return prefix + WORD.sub(known, _COMPOUNDS.sub(shorten, words)), read


def _candidates(typed: str, vocabulary: Collection[str]) -> Iterator[str]:
    """What an unknown word may stand for, the likeliest first; not all of it is known."""
    owner = re.sub(r"['\u2019]s$", "", typed)  # "the dog's tail" is asked for as "dog tail"
    yield owner
    numbers = _other_numbers(owner)
    yield from numbers
    yield from _READINGS.get(owner, ())
    for other in numbers:
        for reading in _READINGS.get(other, ()):
            yield from (*_other_numbers(reading), reading)  # "ships" are boats rather than a boat
    meant = [word for word in vocabulary if _may_be_slip_of(typed, word)]
    if len(meant) == 1:
        yield meant[0]


def _other_numbers(word: str) -> list[str]:
    """What may be the plurals of a singular and the singulars of a plural, right ones and wrong ones."""
    if len(word) < SHORTEST_INFLECTED:
        return []
    found = [f"{word}s", f"{word}es"]
    for plural, singular in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f")):
        if word.endswith(plural):
            found.append(word[: -len(plural)] + singular)
    return found


def _may_be_slip_of(typed: str, word: str) -> bool:
    """Whether ``word`` was typed with two neighbours exchanged, a letter left out or doubled, or, if long, a wrong one.

    The first letter is seldom wrong, and short words are too near to each other: "cat" is not a slip of "car".
    """
    if min(len(typed), len(word)) < SHORTEST_MENDED or typed[0] != word[0]:
        return False
    if len(typed) == len(word) - 1:
        return any(word[:i] + word[i + 1 :] == typed for i in range(1, len(word)))
    if len(typed) == len(word) + 1:
        return any(typed[:i] + typed[i + 1 :] == word and typed[i] == typed[i - 1] for i in range(1, len(typed)))
    if len(typed) != len(word):
        return False
    differ = [i for i in range(len(word)) if typed[i] != word[i]]
    if len(differ) == 1:
        return len(word) >= SHORTEST_WITH_WRONG_LETTER
    first, last = differ[0], differ[-1]
    return len(differ) == 2 and last == first + 1 and typed[first] + typed[last] == word[last] + word[first]
