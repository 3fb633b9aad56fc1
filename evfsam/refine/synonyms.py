"""Synonyms: replaces unknown words of a prompt by words of the checkpoint's vocabulary. The user gets a warning.

Only for checkpoints that were trained on few words. Checkpoints trained on open language have no vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from evfsam.processing.text import SEMANTIC_PREFIX, WORD, unknown_words
from evfsam.words import is_english

# A word -> words that mean the same, or one kind of it. Not more general words: a ship is a boat, but a vehicle may be
# a car or a bus. If a synonym has several words, the first one in the vocabulary is used.
SYNONYMS = {
    "the": "a an",
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
# Words before a noun that are dropped: "hot-air balloon". Synonyms before their own noun are dropped too: "pine tree".
DROPPED_BEFORE = (("balloon", "hot[- ]air"), ("ball", "beach"), ("boat", "sailing"))
SHORTEST_SINGULAR = 3  # letters of a word that may have a plural: "toes" is not the plural of "to"
OTHER_PLURALS = {"short", "tight", "slack", "glass", "pump", "wedge", "clothe"}  # whose plural is something to wear
SHORTEST_MENDED, SHORTEST_WITH_WRONG_LETTER = 4, 6  # letters of a word that may have a typing error

_BEFORE = (*DROPPED_BEFORE, *((word, synonyms.replace(" ", "|")) for word, synonyms in SYNONYMS.items()))
_COMPOUNDS = re.compile("|".join(rf"\b(?:{before}) (?={word}s?\b)" for word, before in _BEFORE), re.IGNORECASE)
_KNOWN_FOR: dict[str, list[str]] = {}  # the inverse of SYNONYMS
for _known, _synonyms in SYNONYMS.items():
    for _word in _synonyms.split():
        _KNOWN_FOR.setdefault(_word, []).append(_known)


def map_to_vocabulary(prompt: str, vocabulary: Collection[str]) -> tuple[str, dict[str, str]]:
    """Replace unknown words of a cleaned prompt by words of the vocabulary, if possible.

    A known word may be the singular or plural ("wheels"), a synonym (:data:`SYNONYMS`), or the only word that the
    unknown one may be a typing error of ("blaloon"). English words are no typing errors. Other unknown words stay.

    Returns the prompt, and (replaced word in small letters -> its replacement).
    """
    if not unknown_words(prompt, vocabulary):
        return prompt, {}
    prefix = SEMANTIC_PREFIX if prompt.startswith(SEMANTIC_PREFIX) else ""
    words, replaced = prompt[len(prefix) :], {}

    def shorten(found: re.Match) -> str:
        noun = WORD.findall(words, found.end())[0].lower()
        if noun not in vocabulary or not unknown_words(found[0], vocabulary):
            return found[0]
        replaced[found[0].lower() + noun] = noun
        return ""

    def replace(found: re.Match) -> str:
        typed = found[0].lower()
        if typed in vocabulary:
            return found[0]
        known = next((word for word in _candidates(typed, vocabulary) if word in vocabulary), None)
        if known is None:
            return found[0]
        replaced[typed] = known
        return known

    return prefix + WORD.sub(replace, _COMPOUNDS.sub(shorten, words)), replaced


def _candidates(typed: str, vocabulary: Collection[str]) -> Iterator[str]:
    """Words that an unknown word may stand for, the likeliest first. They need not be in the vocabulary."""
    owner = re.sub(r"['\u2019]s$", "", typed)  # "the dog's tail" becomes "the dog tail"
    yield owner
    numbers = _other_numbers(owner)
    yield from numbers
    yield from _KNOWN_FOR.get(owner, ())
    for other in numbers:
        for known in _KNOWN_FOR.get(other, ()):
            yield from (*_other_numbers(known), known)  # "ships" becomes "boats", before "boat"
    if not is_english(owner):
        meant = [word for word in vocabulary if _may_be_typing_error(typed, word)]
        if len(meant) == 1:
            yield meant[0]


def _other_numbers(word: str) -> list[str]:
    """The plurals and singulars that English spelling allows; some of them are no words."""
    plurals = [] if word in OTHER_PLURALS or len(word) < SHORTEST_SINGULAR else _plurals(word)
    endings = (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe"))
    stems = [word[: -len(plural)] + singular for plural, singular in endings if word.endswith(plural)]
    singulars = [stem for stem in stems if len(stem) >= SHORTEST_SINGULAR and word in _plurals(stem)]
    return plurals + [stem for stem in singulars if stem not in OTHER_PLURALS]


def _plurals(word: str) -> list[str]:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return [f"{word}es"]
    if re.search("[^aeiou]y$", word):
        return [f"{word[:-1]}ies"]
    found = [f"{word}s"]
    if word.endswith("o"):
        found.append(f"{word}es")
    if (stem := re.sub("fe?$", "", word)) != word:
        found.append(f"{stem}ves")
    return found


def _may_be_typing_error(typed: str, word: str) -> bool:
    """Whether ``typed`` is ``word`` with two neighbours exchanged, or one letter missing, doubled or (if long) wrong.

    The first letter must be right. Short words are too similar: "cat" is not a typing error of "car".
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
