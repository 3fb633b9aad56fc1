"""Which words are English: a word list of 160,000 forms, loaded when it is first asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from spellchecker import SpellChecker

LONGEST = 30  # pieces of one word


def is_english(word: str) -> bool:
    """Whether a word, in any case, is English as it stands; names and inflected forms may be."""
    return word.lower() in _dictionary()


def join_pieces(pieces: Sequence[str]) -> list[str] | None:
    """The fewest English words that neighbouring pieces make up: two for ["the", "um", "brella"]. None if none do."""
    best: list[list[str] | None] = [[]]  # for the first n pieces
    for end in range(1, len(pieces) + 1):
        found = None
        for start in range(max(0, end - LONGEST), end):
            word, before = "".join(pieces[start:end]), best[start]
            if before is not None and is_english(word) and (found is None or len(before) + 1 < len(found)):
                found = [*before, word]
        best.append(found)
    return best[-1]


@cache
def _dictionary() -> SpellChecker:
    return SpellChecker(language="en")
