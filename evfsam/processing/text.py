"""Words -> token ids, the same for app, training and evaluation."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from evfsam.errors import InputError

SEMANTIC_PREFIX = "[semantic] "
MAX_CHARACTERS = 10_000  # of a phrase; the encoders read far less
PAD_ID = 1  # XLM-R class tokenizers: <s> 0, <pad> 1, </s> 2, <unk> 3
EOS_ID = 2
WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


@dataclass(frozen=True)
class TextInput:
    """P phrases as one padded batch.

    Attributes:
        token_ids: int64 (P, L), filled with the padding id at the right.
        padding_mask: bool (P, L), True where padded.
        cut: one flag a phrase: it was longer than the checkpoint's positions and lost its end.
    """

    token_ids: torch.Tensor
    padding_mask: torch.Tensor
    cut: tuple[bool, ...]


def clean_prompt(prompt: str) -> str:
    """One phrase as the model reads it: outer and repeated white space go, case and punctuation stay.

    The prefix is brought to its trained form ("[Semantic]sky" -> "[semantic] sky"). Raises InputError if
    nothing is left to look for, or for what no tokenizer reads: half a character, or a whole book.
    """
    if not isinstance(prompt, str):
        raise InputError(f"A phrase must be text, not {type(prompt).__name__}; type what to look for.")
    if len(prompt) > MAX_CHARACTERS:
        raise InputError(f"A phrase may have {MAX_CHARACTERS:,} characters, this one has {len(prompt):,}; shorten it.")
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        raise InputError("The phrase holds half a character (a lone surrogate); type it again.")
    phrase = " ".join(prompt.split())
    match = re.match(r"\[semantic\]\s*", phrase, flags=re.IGNORECASE)
    words = phrase[match.end() :] if match else phrase
    if not any(character.isalnum() for character in words):
        raise InputError('The phrase is empty: type what to look for, for example "the red car".')
    return SEMANTIC_PREFIX + words if match else phrase


def tokenize(tokenizer, prompts: Sequence[str], text_positions: int) -> TextInput:
    """Tokenize cleaned phrases.

    Args:
        tokenizer: the checkpoint's own, from ``checkpoints.load_tokenizer``.
        prompts: from :func:`clean_prompt`.
        text_positions: the encoder's table of positions; two of them are never used.
    """
    longest = text_positions - 2
    rows, cut = [], []
    for prompt in prompts:
        ids = tokenizer(prompt)["input_ids"]
        cut.append(len(ids) > longest)
        rows.append(ids if len(ids) <= longest else [*ids[: longest - 1], EOS_ID])
    token_ids = torch.full((len(rows), max(map(len, rows))), PAD_ID, dtype=torch.int64)
    padding_mask = torch.ones(token_ids.shape, dtype=torch.bool)
    for i, ids in enumerate(rows):
        token_ids[i, : len(ids)] = torch.tensor(ids)
        padding_mask[i, : len(ids)] = False
    return TextInput(token_ids, padding_mask, tuple(cut))


def unknown_words(prompt: str, vocabulary: Collection[str] | None) -> tuple[str, ...]:
    """The words of a cleaned phrase that a checkpoint never learned, in order; none if it keeps no word list."""
    if not vocabulary:
        return ()
    words = (word.lower() for word in WORD.findall(prompt.removeprefix(SEMANTIC_PREFIX)))
    return tuple(dict.fromkeys(word for word in words if word not in vocabulary))
