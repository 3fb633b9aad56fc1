"""Text prompts -> token ids. App, evaluation and training all use these functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from evfsam import values
from evfsam.errors import InputError
from evfsam.words import join_pieces

SEMANTIC_PREFIX = "[semantic] "
_CLEAN = re.compile(r"(?:\[semantic\] )?[A-Za-z0-9]+(?:[ -][A-Za-z0-9]+)*")  # most prompts: nothing to clean
PAD_ID = 1  # of XLM-R; the padding mask alone says what is padding
WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")

_PREFIX = re.compile(r"(?:\[ ?semantic ?\][ :]*)+", flags=re.IGNORECASE)
_QUOTES = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4`\uff07", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb\u2039\u203a\u300a\u300b", '"')
    | dict.fromkeys("\u300c\u300d\u300e\u300f\u301d\u301e\u301f\uff02", '"')
)
_BLANK = "\u115f\u1160\u2800\u3164\uffa0\ufffc"  # have no shape either, but part words as white space does
_NO_SHAPE = re.compile("[\u034f\u17b4\u17b5\u180b-\u180f\u2065\ufe00-\ufe0f\ufff0-\ufff8\U000e0000-\U000e0fff]")
_GAP, _ZERO_WIDTH_SPACE = "\u00ad", "\u200b"  # the soft hyphen stands for any of them
_GAPS = f"[{_GAP}{_ZERO_WIDTH_SPACE}]+"
_WITH_GAPS = re.compile(rf"[^\W_]+(?:{_GAPS}[^\W_]+)+")
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011\u2212", "-"))
# Marks that no Latin letter has as its own after NFKC: strokes through letters, heaps of dots.
_LOOSE_MARKS = re.compile(
    "(?<=[0-9A-Za-z\u00c0-\u024f\u1e00-\u1eff])"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_AROUND = ' ".,;:*-\u2013\u2014\u2022\u00b7\u2026\u3001\u3002'  # marks that are no part of a prompt


@dataclass(frozen=True)
class TextInput:
    """P prompts as one padded batch.

    Attributes:
        token_ids: int64 (P, L), padded at the right.
        padding_mask: bool (P, L), True where padded.
        cut: one flag per prompt, True if it was too long and its end was cut off.
    """

    token_ids: torch.Tensor
    padding_mask: torch.Tensor
    cut: tuple[bool, ...]


def clean_prompt(prompt: str) -> str:
    """The prompt in the form that the model reads. Cleaning it again changes nothing.

    - Full-width and other compatibility letters become plain ones (NFKC). Curly quotation marks become straight.
      Marks above, below and through letters go, unless they make another letter: "\u00e9" stays.
    - Invisible characters, such as soft hyphens, are removed. If they stand between English words that are no word
      together, a space takes their place. White space becomes single spaces.
    - Quotation marks, full stops, commas, colons and list marks around the prompt are removed.
    - "[Semantic]:sky" becomes "[semantic] sky", the form used in training.
    - Case, marks inside the prompt, and "!" and "?" at its end stay.

    Raises InputError if no letter or digit is left, or if :func:`evfsam.values.prompt_text` refuses the prompt.
    """
    if isinstance(prompt, str) and len(prompt) <= values.MAX_PROMPT_CHARACTERS and _CLEAN.fullmatch(prompt):
        return prompt
    words = _bare(_visible(values.prompt_text(prompt)))
    prefix = _PREFIX.match(words)
    words = _bare(words[prefix.end() :]) if prefix else words
    if not any(character.isalnum() for character in words):
        raise InputError('The prompt is empty: write what to look for, for example "the red car".')
    return SEMANTIC_PREFIX + words if prefix else words


def _visible(text: str) -> str:
    """The text in plain letters and marks, with spaces for what parts words and without what cannot be seen."""
    text = unicodedata.normalize("NFKC", "".join(map(_with_a_shape, text.translate(_QUOTES))))
    text = _WITH_GAPS.sub(lambda found: " ".join(join_pieces(re.split(_GAPS, found[0])) or [found[0]]), text)
    text = unicodedata.normalize("NFKC", text.replace(_GAP, "").replace(_ZERO_WIDTH_SPACE, " "))
    return _LOOSE_MARKS.sub("", text).translate(_QUOTES).translate(_HYPHENS)


def _with_a_shape(character: str) -> str:
    if character.isspace() or character in _BLANK:
        return " "
    if character == _ZERO_WIDTH_SPACE:
        return character
    hidden = unicodedata.category(character) in ("Cc", "Cf") or _NO_SHAPE.match(character)
    return _GAP if hidden else character


def _bare(text: str) -> str:
    """The text with single spaces and without marks around it."""
    words, before = " ".join(text.split()), None
    while words != before:
        before, words = words, words.strip(_AROUND)
        if len(words) > 1 and words[0] == words[-1] == "'":  # only in pairs: "the dogs' tails", "'80s car"
            words = words[1:-1]
    return words


def tokenize(tokenizer, prompts: Sequence[str], longest: int) -> TextInput:
    """Tokenize cleaned prompts. If a prompt has marks that the tokenizer does not know, its marks are left out.

    Args:
        tokenizer: of the checkpoint, from ``checkpoints.load_tokenizer``.
        prompts: from :func:`clean_prompt`.
        longest: tokens that the encoder can read, with the first and the last one.
    """
    rows, cut = [], []
    for prompt in prompts:
        ids = tokenizer(prompt)["input_ids"]
        if tokenizer.unk_token_id in ids[1:-1]:  # CLIP's last token is its unknown one
            ids = tokenizer(_without_marks(prompt))["input_ids"]
        cut.append(len(ids) > longest)
        rows.append(ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]])
    token_ids = torch.full((len(rows), max(map(len, rows))), PAD_ID, dtype=torch.int64)
    padding_mask = torch.ones(token_ids.shape, dtype=torch.bool)
    for i, ids in enumerate(rows):
        token_ids[i, : len(ids)] = torch.tensor(ids)
        padding_mask[i, : len(ids)] = False
    return TextInput(token_ids, padding_mask, tuple(cut))


def _without_marks(prompt: str) -> str:
    prefix = SEMANTIC_PREFIX if prompt.startswith(SEMANTIC_PREFIX) else ""
    return prefix + " ".join(WORD.findall(prompt[len(prefix) :]))


def unknown_words(prompt: str, vocabulary: Collection[str] | None) -> tuple[str, ...]:
    """The words of a cleaned prompt that are not in the vocabulary, in order; none without a vocabulary."""
    if not vocabulary:
        return ()
    words = (word.lower() for word in WORD.findall(prompt.removeprefix(SEMANTIC_PREFIX)))
    return tuple(dict.fromkeys(word for word in words if word not in vocabulary))
