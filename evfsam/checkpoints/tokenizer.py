"""The SentencePiece tokenizer of the published layout: reading one, and training a small one.

A checkpoint's folder holds ``sentencepiece.bpe.model`` (the name is XLM-R's; the model inside is a unigram one),
``tokenizer_config.json`` and ``special_tokens_map.json``. Ids follow fairseq: <s> 0, <pad> 1, </s> 2, <unk> 3,
then the pieces shifted by one, <mask> last.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from evfsam.checkpoints.layout import SENTENCEPIECE_FILE, TOKENIZER_FILES, damaged
from evfsam.errors import CheckpointError

# Read both ways when a tokenizer is loaded; many pieces, so that two ways to cut words do not agree by chance.
_PROBE = "[semantic] The second-tallest person wearing striped trousers, left of 3 small red umbrellas!"

_MASK = {"content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False, "single_word": False}
_SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": _MASK,
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}


def load_tokenizer(folder: str | Path):
    """A ``transformers`` tokenizer from a checkpoint's folder, without a network.

    Returns an ``XLMRobertaTokenizer``: ``tokenizer(text)["input_ids"]`` is ``[0, ..., 2]``, case and punctuation
    kept; ``len(tokenizer)`` is the vocabulary (64,010 in the published checkpoints).

    Raises CheckpointError if the SentencePiece file is missing, damaged or not a unigram model.
    """
    folder = Path(folder)
    pieces = _read_sentencepiece(folder / SENTENCEPIECE_FILE)
    # Imported here: the package takes a second, and only those who load a model need it.
    from transformers import XLMRobertaTokenizer

    tokenizer = XLMRobertaTokenizer.from_pretrained(
        str(folder),
        padding_side="right",
        model_max_length=sys.maxsize,  # what is too long is for evfsam.processing.text to tell
        local_files_only=True,
    )
    # transformers 5 reads any file as a unigram model, the reference ran SentencePiece itself: where the two
    # differ (a BPE model), every phrase would be cut in pieces the encoder never met.
    if tokenizer(_PROBE)["input_ids"] != _fairseq_ids(pieces, _PROBE):
        raise CheckpointError(
            f"{folder / SENTENCEPIECE_FILE} is not a unigram SentencePiece model; "
            "put the file that was published with the checkpoint there."
        )
    return tokenizer


def train_tokenizer(
    sentences: Iterable[str], folder: str | Path, vocabulary_size: int, fold_case: bool = False
) -> None:
    """Train a small unigram model on ``sentences`` and write the published layout's three files to ``folder``.

    The text is kept as it is but for Unicode normalisation (NFKC), as in the published file; ``fold_case`` takes
    capitals for small letters, so that a model of few words does not meet "Red" as a stranger. The same sentences
    give the same bytes. ``vocabulary_size`` is an upper bound on the pieces, reached if the text is rich enough.
    Raises ValueError if there are no sentences.
    """
    sentences = [sentence for sentence in sentences if sentence.strip()]
    if not sentences:
        raise ValueError("a tokenizer needs at least one sentence")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocabulary_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc_cf" if fold_case else "nmt_nfkc",
        shuffle_input_sentence=False,
        num_threads=1,  # more of them sum in another order from run to run
        minloglevel=2,
    )
    (folder / SENTENCEPIECE_FILE).write_bytes(model.getvalue())
    _write_json(folder / "special_tokens_map.json", _SPECIAL_TOKENS)
    config = {**_SPECIAL_TOKENS, "mask_token": {"__type": "AddedToken", **_MASK}}
    _write_json(
        folder / "tokenizer_config.json",
        {**config, "model_max_length": 512, "padding_side": "right", "tokenizer_class": "XLMRobertaTokenizer"},
    )


def copy_tokenizer(source: str | Path, folder: str | Path) -> None:
    """Copy the tokenizer's files from one checkpoint's folder to another.

    Raises CheckpointError if ``source`` has no SentencePiece file.
    """
    source, folder = Path(source), Path(folder)
    if not (source / SENTENCEPIECE_FILE).is_file():
        raise CheckpointError(f"{source} has no {SENTENCEPIECE_FILE}; name a folder that holds the tokenizer.")
    for name in TOKENIZER_FILES:
        if (source / name).is_file() and source.resolve() != folder.resolve():
            shutil.copyfile(source / name, folder / name)


def _read_sentencepiece(path: Path) -> sentencepiece.SentencePieceProcessor:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}; copy the checkpoint's tokenizer files there.")
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError):
        raise damaged(path) from None


def _fairseq_ids(pieces: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    return [0, *(i + 1 if i else 3 for i in pieces.encode(text)), 2]


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
