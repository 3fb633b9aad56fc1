"""What is typed into a box -> phrases."""

from __future__ import annotations

import re

from evfsam.errors import InputError

MOST_PHRASES = 12  # more rows and colours than that nobody reads at once


def split_phrases(text: str | None) -> list[str]:
    """Phrases, one a line or between commas, in order and without repetitions.

    Raises InputError if there is none or more than ``MOST_PHRASES``.
    """
    parts = (" ".join(part.split()) for part in re.split(r"[\n,;]", text or ""))
    phrases = list(dict.fromkeys(part for part in parts if part))
    if not phrases:
        raise InputError('Type what to look for, for example "the red car".')
    if len(phrases) > MOST_PHRASES:
        raise InputError(f"That is {len(phrases)} phrases; ask for at most {MOST_PHRASES} at once.")
    return phrases
