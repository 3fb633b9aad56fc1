"""The things that a checkpoint of few words knows, to choose from."""

from __future__ import annotations

from html import escape

from evfsam import values
from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.ui.vocabulary import vocabulary_of


def words_html(info: CheckpointInfo) -> str:
    """A button per thing (``examples.CHOOSE``); empty for a checkpoint that reads any words."""
    known = vocabulary_of(info).categories if info.vocabulary else ()
    buttons = "".join(f'<button type="button" data-index="{i}">{escape(word)}</button>' for i, word in enumerate(known))
    return f'<p class="evf-words"><span>{escape(info.name)} knows</span>{buttons}</p>' if buttons else ""


def with_word(info: CheckpointInfo, text: str, index: int) -> str:
    """The phrases in ``text`` and one more: the thing that was chosen. Raises InputError if there is no such one."""
    known = vocabulary_of(info).categories
    chosen = known[values.number(index, "word", 0, len(known) - 1, whole=True, text=True)]
    typed, word = values.prompt_text(text or "").strip().rstrip(","), f"the {chosen}"
    return f"{typed}, {word}" if typed else word
