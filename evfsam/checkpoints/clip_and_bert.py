"""The tokenizers of CLIP and BERT from a checkpoint's folder. Only their lists of tokens are read."""

from __future__ import annotations

from pathlib import Path

from evfsam.checkpoints.layout import BERT_FILES, CLIP_FILES, check_file, damaged, read_json

_MOST_BYTES = 2_000_000  # the published lists have a quarter of it


def load_clip(folder: Path):
    """A ``CLIPTokenizer`` from ``vocab.json`` and ``merges.txt``. Raises CheckpointError if they are damaged."""
    from transformers import CLIPTokenizer  # takes a second

    vocab, merges = (folder / name for name in CLIP_FILES)
    pairs = [tuple(line.split()) for line in _lines(merges) if line and not line.startswith("#version")]
    return _make(vocab, lambda: CLIPTokenizer(vocab=read_json(vocab), merges=pairs))  # type: ignore[arg-type]  # pairs are what it reads


def load_bert(folder: Path):
    """A ``BertTokenizer`` from ``vocab.txt``, without case. Raises CheckpointError if it is damaged."""
    from transformers import BertTokenizer  # takes a second

    path = folder / BERT_FILES[0]
    words = {word: number for number, word in enumerate(_lines(path))}
    return _make(path, lambda: BertTokenizer(vocab=words, do_lower_case=True))


def _make(path: Path, make):
    """The tokenizer, if it reads a text and puts a token before it and one after it."""
    try:
        tokenizer = make()
        ids = tokenizer("a")["input_ids"]
        known = tokenizer.get_vocab().values()
        usable = len(ids) > 2 and max(known) < len(tokenizer) and min(known) >= 0
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # Rust code panics beside Exception
        raise damaged(path) from None
    if not usable:
        raise damaged(path, "its numbers are no vocabulary;")
    return tokenizer


def _lines(path: Path) -> list[str]:
    check_file(path, _MOST_BYTES)
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # splitlines would part at more marks
    except UnicodeDecodeError:
        raise damaged(path, "it is not UTF-8 text;") from None
