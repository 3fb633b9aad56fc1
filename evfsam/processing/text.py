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
WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
SHORTEST_MENDED, SHORTEST_WITH_WRONG_LETTER = 4, 6  # letters of a word that may be a slip of another


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


def mend_slips(prompt: str, vocabulary: Collection[str] | None) -> tuple[str, dict[str, str]]:
    """A cleaned phrase with slips of the keyboard mended, and what each mended word, in small letters, was read as.

    A word that a checkpoint never learned is read as one that it did if a single slip makes the one of the other (see
    :func:`_may_be_slip_of`) and of no third; all other words stay as they are.
    """
    read = {}
    for word in unknown_words(prompt, vocabulary):
        meant = [known for known in vocabulary if _may_be_slip_of(word, known)]
        if len(meant) == 1:
            read[word] = meant[0]
    if not read:
        return prompt, {}
    prefix = SEMANTIC_PREFIX if prompt.startswith(SEMANTIC_PREFIX) else ""
    mended = WORD.sub(lambda found: read.get(found[0].lower(), found[0]), prompt[len(prefix) :])
    return prefix + mended, read


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
