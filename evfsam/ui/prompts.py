"""Text from a box -> phrases."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evfsam import values
from evfsam.errors import InputError


def chosen_prompts(chosen: Sequence[str] | None, typed: str | None, kind: str) -> list[str]:
    """Chosen chips, then typed phrases of a ``kind`` ("part"), as :func:`split_prompts`. Raises InputError if none."""
    if not isinstance(typed, str | None):
        values.prompt_text(typed)
    if not chosen and not (typed or "").strip():
        raise InputError(f"Choose at least one {kind}, or type one.")
    return split_prompts(",".join([*(chosen or []), typed or ""]))


def split_prompts(text: str | None, may_be_empty: bool = False) -> list[str]:
    """Phrases, one per line or between commas, in order. A phrase that is given twice comes once.

    Raises InputError if there is no phrase, unless the text is empty and ``may_be_empty``, and for what is not text.
    """
    text = values.prompt_text(text) if text is not None and not isinstance(text, str) else text or ""
    parts = (" ".join(part.split()) for part in re.split(r"[\n,;]", text))
    prompts = list(dict.fromkeys(values.prompt_text(part) for part in parts if part))
    if not prompts and not (may_be_empty and not text.strip()):
        raise InputError('Type what to look for, for example "the red car".')
    return prompts


_QUOTED = re.compile(r"(?<!\w)'([^'\n]*)'(?!\w)|(?<!\w)\"([^\"\n]*)\"(?!\w)")


def with_quotes(sentence: str) -> str:
    """A sentence with the page's quotation marks, “word”, in place of Python's."""
    return _QUOTED.sub(lambda found: f"“{found[1] if found[1] is not None else found[2]}”", sentence)
