"""The SentencePiece tokenizer of the published layout: reading one, and training a small one.

A checkpoint's folder holds ``sentencepiece.bpe.model`` (the name is XLM-R's; the model inside is a unigram one),
``tokenizer_config.json`` and ``special_tokens_map.json``. Ids follow fairseq: <s> 0, <pad> 1, </s> 2, <unk> 3,
then the pieces shifted by one, <mask> last.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import Unigram

from evfsam.checkpoints.clip_and_bert import load_bert, load_clip
from evfsam.checkpoints.layout import (
    BERT_FILES,
    CLIP_FILES,
    SENTENCEPIECE_FILE,
    TOKENIZER_FILES,
    TOKENIZER_JSONS,
    check_file,
    damaged,
    has_tokenizer,
    label,
    read_json,
)
from evfsam.errors import CheckpointError
from evfsam.values import shown

# Read by both libraries when a tokenizer is loaded. It has many pieces, so that they do not agree by chance.
_PROBE = "[semantic] The second-tallest person wearing striped trousers, left of 3 small red umbrellas!"
_MOST_BYTES = 8_000_000  # room for 250,000 pieces

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


class UnigramTokenizer:
    """The tokenizer of the published checkpoints. It gives the ids of ``transformers.XLMRobertaTokenizer``.

    It is built as that class builds itself, because importing ``transformers`` takes a second.
    """

    bos_token_id, pad_token_id, eos_token_id, unk_token_id = range(4)

    def __init__(self, model: bytes):
        """``model``: the content of a SentencePiece file."""
        read = sentencepiece_model_pb2.ModelProto.FromString(model)  # type: ignore[attr-defined]
        first = ["<s>", "<pad>", "</s>", "<unk>"]
        pieces = [(piece.piece, piece.score) for piece in read.pieces[3:]]
        vocabulary = [*((token, 0.0) for token in first), *pieces, ("<mask>", 0.0)]
        self._tokenizer = Tokenizer(Unigram(vocabulary, unk_id=self.unk_token_id, byte_fallback=False))
        if read.normalizer_spec.precompiled_charsmap:
            self._tokenizer.normalizer = normalizers.Precompiled(read.normalizer_spec.precompiled_charsmap)
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
        )
        # A text may spell these tokens: control pieces (type 3) and user-defined ones (type 4) too.
        whole = [*first, *(piece.piece for piece in read.pieces if piece.type in (3, 4))]
        self._tokenizer.add_tokens(
            [AddedToken("<mask>", lstrip=True, normalized=True, special=True)]
            + [AddedToken(token, normalized=False, special=True) for token in whole]
        )

    def __call__(self, text: str, verbose: bool = False) -> dict[str, list[int]]:
        """``input_ids``: <s>, the text's tokens and </s>, of any length. ``verbose`` changes nothing."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return {"input_ids": [self.bos_token_id, *ids, self.eos_token_id]}

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()


def load_tokenizer(folder: str | Path, vocabulary: int | None = None):
    """The tokenizer in a checkpoint's folder.

    Without a SentencePiece file it is CLIP's ``vocab.json`` with ``merges.txt``, or BERT's ``vocab.txt``. With one,
    that file alone is used, and the two JSON files must agree with it.

    Args:
        folder: of the checkpoint.
        vocabulary: how many tokens the model's embedding has; None to allow any number.

    Returns a :class:`UnigramTokenizer`: ``tokenizer(text)["input_ids"]`` is ``[0, ..., 2]``, case and punctuation
    kept; ``len(tokenizer)`` is the vocabulary (64,010 in the published checkpoints). Or the ``CLIPTokenizer`` or
    ``BertTokenizer`` of ``transformers``.

    Raises CheckpointError if a file is missing or damaged, if the SentencePiece model is no unigram model, or if it
    knows more tokens than ``vocabulary``.
    """
    folder = Path(folder)
    path = folder / SENTENCEPIECE_FILE
    for names, load in ((CLIP_FILES, load_clip), (BERT_FILES, load_bert)):
        if not path.is_file() and all((folder / name).is_file() for name in names):
            tokenizer = load(folder)
            _check_room(folder, len(tokenizer), vocabulary)
            return tokenizer
    pieces = _read_sentencepiece(path)
    _check_room(folder, pieces.get_piece_size() + 2, vocabulary)  # <pad> and <mask> are added
    _check_jsons(folder)
    # Any file is read as a unigram model here, the reference ran SentencePiece itself. Where the two differ
    # (a BPE model), every prompt would be cut into pieces that the encoder never met.
    try:
        tokenizer = UnigramTokenizer(path.read_bytes())
        agrees = tokenizer(_PROBE)["input_ids"] == _fairseq_ids(pieces, _PROBE)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # Rust code panics beside Exception
        raise damaged(path) from None
    if not agrees:
        raise CheckpointError(
            f"{label(path)} is not a unigram SentencePiece model; "
            "put the file that was published with the checkpoint there."
        )
    return tokenizer


def _check_room(folder: Path, known: int, vocabulary: int | None) -> None:
    if vocabulary is not None and known > vocabulary:
        raise CheckpointError(
            f"The tokenizer in {label(folder)} knows {known} tokens, the model {vocabulary}; "
            "use files from one checkpoint."
        )


def _check_jsons(folder: Path) -> None:
    """Raise CheckpointError if a JSON file names other special tokens than the encoder was trained with."""
    if os.path.lexists(folder / "tokenizer.json"):
        raise CheckpointError(
            f"{label(folder)} has a tokenizer.json, but {SENTENCEPIECE_FILE} is the tokenizer; delete tokenizer.json."
        )
    for path in (folder / name for name in TOKENIZER_JSONS):
        if not path.is_file():  # some copies lack them
            continue
        values = read_json(path)
        for key, token in _SPECIAL_TOKENS.items():
            if key in values and _content(values[key]) != _content(token):
                raise CheckpointError(f"{label(path)} has {key}: {shown(values[key])}; write {_content(token)!r}.")
        added = values.get("added_tokens_decoder", {})
        known = [_content(token) for token in _SPECIAL_TOKENS.values()]
        if not isinstance(added, dict) or not all(_content(token) in known for token in added.values()):
            raise CheckpointError(
                f"{label(path)} has added_tokens_decoder: {shown(added)}; "
                "remove it, because the encoder knows no added tokens."
            )


def _content(token: Any) -> Any:
    """The spelling of a token, which the JSON files write in two forms."""
    return token.get("content") if isinstance(token, dict) else token


def train_tokenizer(
    sentences: Iterable[str], folder: str | Path, vocabulary_size: int, fold_case: bool = False
) -> None:
    """Train a small unigram model on ``sentences`` and write the published layout's three files to ``folder``.

    The text is normalised (Unicode NFKC) as in the published file, and otherwise kept. ``fold_case`` also makes
    capitals small, so that a model of few words knows "Red" if it knows "red". The same sentences give the same
    bytes. ``vocabulary_size`` is the largest number of pieces; a poor text gives fewer. Raises ValueError if there
    are no sentences.
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

    Raises CheckpointError if ``source`` has none.
    """
    source, folder = Path(source), Path(folder)
    if not has_tokenizer(lambda name: (source / name).is_file()):
        raise CheckpointError(f"{label(source)} has no {SENTENCEPIECE_FILE}; name a folder that holds the tokenizer.")
    for name in TOKENIZER_FILES:
        if (source / name).is_file() and source.resolve() != folder.resolve():
            shutil.copyfile(source / name, folder / name)


def _read_sentencepiece(path: Path) -> sentencepiece.SentencePieceProcessor:
    if not os.path.isfile(path):
        raise CheckpointError(f"{label(path.parent)} has no {path.name}; copy the checkpoint's tokenizer files there.")
    check_file(path, _MOST_BYTES)
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except Exception:  # the library raises anything for a damaged file
        raise damaged(path) from None


def _fairseq_ids(pieces: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
    return [0, *(i + 1 if i else 3 for i in pieces.encode(text)), 2]


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
