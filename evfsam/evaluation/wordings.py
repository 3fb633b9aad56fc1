"""The same phrase in other words: paraphrases, word order, capitals, plurals, strange words, slips of the keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from evfsam.data.sample import Prompt
from evfsam.data.scenes import COLOUR, PLACE, RELATION, SIZE, THINGS, Expression, categories, words
from evfsam.refine.synonyms import SYNONYMS

Phrase = Expression | Prompt
Reword = Callable[[Phrase, np.random.Generator], str | None]  # None: there is no other way to say it

TEMPLATES = {PLACE: words.PLACES, SIZE: words.SIZES, RELATION: words.RELATIONS}
SHORTEST_SLIP = 5  # letters, below which a slip may make another word


@dataclass(frozen=True)
class Read:
    """A phrase as one of the rendered world's templates: which, its equals, and what fills it."""

    template: str
    others: tuple[str, ...]
    fillers: dict[str, str]


def read(phrase: Phrase) -> Read | None:
    """The template of the phrase's kind, with the most words of its own, that fits it without its article."""
    fits = list(_fits(phrase.text.removeprefix("the "), TEMPLATES.get(_kind(phrase), {})))
    return max(fits, key=lambda fit: len(re.sub(r"\{\w\}", "", fit.template)), default=None)


def _fits(text: str, table: dict[str, tuple[str, ...]]) -> Iterator[Read]:
    for templates in table.values():
        plain = tuple(template for template in templates if "{N}" not in template)
        for template in plain:
            pattern = re.sub(r"\\\{(\w)\\\}", r"(?P<\1>.+)", re.escape(template))
            if match := re.fullmatch(pattern, text):
                yield Read(template, tuple(t for t in plain if t != template), match.groupdict())


def paraphrase(phrase: Phrase, rng: np.random.Generator) -> str | None:
    """ "the car on the left" -> "the left-hand car"."""
    found = read(phrase)
    if found is None or not found.others:
        return None
    return _with_article(phrase.text, found.others[rng.integers(len(found.others))].format(**found.fillers))


def word_order(phrase: Phrase, rng: np.random.Generator) -> str | None:
    """ "the car on the left" -> "on the left the car"; "the red car" -> "the car red"."""
    found = read(phrase)
    if found is None:
        adjective, _, noun = phrase.text.removeprefix("the ").partition(" ")
        plain = _kind(phrase) == COLOUR and noun and " " not in noun
        return _with_article(phrase.text, f"{noun} {adjective}") if plain else None
    before, after = found.template.split("{n}")
    noun = found.fillers["n"]
    if before:
        return _with_article(phrase.text, f"{noun} {before}".strip())
    return f"{after.format(**found.fillers).strip()} {_with_article(phrase.text, noun)}"


def first_capital(phrase: Phrase, rng: np.random.Generator) -> str:
    """ "the red car" -> "The red car"."""
    prefix, text = _prefix(phrase.text)
    return prefix + text[0].upper() + text[1:]


def all_capitals(phrase: Phrase, rng: np.random.Generator) -> str:
    """ "the red car" -> "THE RED CAR"."""
    prefix, text = _prefix(phrase.text)
    return prefix + text.upper()


def plural(phrase: Phrase, rng: np.random.Generator) -> str | None:
    """ "[semantic] car" -> "[semantic] cars"."""
    prefix, text = _prefix(phrase.text)
    return prefix + words.plural(text) if _kind(phrase) == THINGS and text in categories() else None


def strange_word(phrase: Phrase, rng: np.random.Generator) -> str | None:
    """ "the red boat" -> "the red ship": one word replaced by a synonym that rendered scenes never use."""
    prefix, text = _prefix(phrase.text)
    spoken = text.split(" ")
    strange = {i: _never_said(word) for i, word in enumerate(spoken)}
    able = [i for i, found in strange.items() if found]
    if not able:
        return None
    chosen = able[rng.integers(len(able))]
    spoken[chosen] = strange[chosen][rng.integers(len(strange[chosen]))]
    return prefix + " ".join(spoken)


@cache
def _never_said(word: str) -> tuple[str, ...]:
    said = set(words.vocabulary())
    return tuple(other for other in SYNONYMS.get(word, "").split() if other not in said)


def slip(phrase: Phrase, rng: np.random.Generator) -> str | None:
    """Two neighbouring letters of a longer word exchanged, or one of them left out; the first letter stays."""
    prefix, text = _prefix(phrase.text)
    spoken = text.split(" ")
    long = [i for i, word in enumerate(spoken) if len(word) >= SHORTEST_SLIP and word.isalpha()]
    if not long:
        return None
    chosen = long[rng.integers(len(long))]
    word = spoken[chosen]
    at = int(rng.integers(1, len(word) - 1))
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    spoken[chosen] = swapped if rng.random() < 0.5 and swapped != word else word[:at] + word[at + 1 :]
    return prefix + " ".join(spoken)


WORDINGS: dict[str, Reword] = {
    "paraphrase": paraphrase,
    "word_order": word_order,
    "first_capital": first_capital,
    "all_capitals": all_capitals,
    "plural": plural,
    "misspelling": slip,
    "unknown_word": strange_word,
}


def _kind(phrase: Phrase) -> str:
    """ "referring/place", as samples have it, is "place"."""
    return phrase.kind.rpartition("/")[2]


def _prefix(text: str) -> tuple[str, str]:
    return (words.SEMANTIC, text[len(words.SEMANTIC) :]) if text.startswith(words.SEMANTIC) else ("", text)


def _with_article(original: str, text: str) -> str:
    return f"the {text}" if original.startswith("the ") else text
