"""The files of a checkpoint's folder: config, weights (whole or in shards), tokenizer. Torch-free.

A folder may come from a stranger or from a download that failed. Each file is checked before a library reads it, and
messages name the folder and the file, never the path on this machine.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evfsam.errors import CheckpointError
from evfsam.values import shown

CONFIG_FILE = "config.json"
SENTENCEPIECE_FILE = "sentencepiece.bpe.model"
TOKENIZER_JSONS = ("tokenizer_config.json", "special_tokens_map.json")
# Any of these sets of files is a tokenizer: BEIT-3's, CLIP's, and BERT's, which ViLT reads.
CLIP_FILES, BERT_FILES = ("vocab.json", "merges.txt"), ("vocab.txt",)
TOKENIZERS = ((SENTENCEPIECE_FILE,), CLIP_FILES, BERT_FILES)
TOKENIZER_FILES = (SENTENCEPIECE_FILE, *TOKENIZER_JSONS, *CLIP_FILES, *BERT_FILES)
# In the order in which they are looked for: safetensors cannot run code and load without copies.
WEIGHT_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_MOST_JSON_BYTES = 1_000_000  # the published index of 1,900 tensors has a tenth of it
_SHARD_NAME = re.compile(r"[\w.-]{1,100}\.(safetensors|bin)", re.ASCII)
# How the wrong file begins -> what it is.
_MISTAKEN = {
    rb"version https://git-lfs": "it is a git-lfs pointer, not the file itself; run `git lfs pull` there, or",
    rb"<(!doctype|!--|html|head|body|\?xml)": "it is a web page, not the file itself;",
    rb"Entry not found": "it is an error message of the Hub, not the file itself;",
}


def label(path: Path) -> str:
    """The last part of a folder's path, or the last two of a file's, for messages."""
    folder, rest = (path, "") if path.is_dir() else (path.parent, f"/{path.name}")
    folder = folder.absolute()
    if folder.parent.name == "snapshots":  # in the cache of the Hub: models--owner--name/snapshots/commit
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/") + rest
    return Path(os.path.normpath(folder)).name + rest


def damaged(path: Path, why: str = "") -> CheckpointError:
    """The error for a file that is there but is not what its name says."""
    why = f": {why}" if why else " or was not downloaded whole;"
    return CheckpointError(f"{label(path)} is damaged{why} download or copy it again.")


def check_file(path: Path, most_bytes: int | None = None) -> None:
    """Raise CheckpointError if a file is empty, is too large, or is plainly something else than its name says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise CheckpointError(
            f"{label(path)} cannot be read ({error.strerror}); check the file and its permissions."
        ) from None
    if not head:
        raise damaged(path, "it is empty;")
    for start, why in _MISTAKEN.items():
        if re.match(rb"(\xef\xbb\xbf)?\s*" + start, head, re.IGNORECASE):
            raise damaged(path, why)
    if most_bytes is not None and size > most_bytes:
        raise damaged(path, f"it has {size_text(size)}, and {size_text(most_bytes)} are the most;")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of at most 1 MB. Raises CheckpointError for anything else."""
    check_file(path, _MOST_JSON_BYTES)
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise damaged(path, "it is not UTF-8 text;") from None
    except json.JSONDecodeError as error:
        raise damaged(path, f"it is not JSON (line {error.lineno}: {error.msg});") from None
    except RecursionError:
        raise damaged(path, "its lists or objects are nested too deep;") from None
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror});") from None
    except _TwiceError as error:
        raise damaged(path, f"it holds the key {shown(error.args[0])} twice;") from None
    except ValueError:
        raise damaged(path, "it holds a number of too many digits;") from None
    if not isinstance(value, dict):
        raise damaged(path, "it holds no JSON object;")
    return value


class _TwiceError(ValueError):
    """A key that stands twice in one object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise _TwiceError(key)
        values[key] = value
    return values


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a checkpoint's folder. Raises CheckpointError if there is none."""
    path = folder / CONFIG_FILE
    if not os.path.isfile(path):
        raise CheckpointError(f"{label(folder)} has no {CONFIG_FILE}; name the folder of a checkpoint.")
    return read_json(path)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's weights, one or several shards.

    Raises CheckpointError if there are none, or if one that the index names is missing.
    """
    found = next((folder / name for name in WEIGHT_NAMES if os.path.isfile(folder / name)), None)
    if found is None:
        raise CheckpointError(f"{label(folder)} holds no weights; put model.safetensors or pytorch_model.bin there.")
    if found.suffix != ".json":
        return [found]
    shards = [folder / name for name in shard_names(found)]
    missing = [shard.name for shard in shards if not os.path.isfile(shard)]
    if missing:
        raise CheckpointError(
            f"{label(folder)} lacks {some(missing)}, which {found.name} names; download or copy it again."
        )
    return shards


def shard_names(index: Path) -> list[str]:
    """The names of the files that an index json lists. Raises CheckpointError if it is damaged."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise damaged(index, "it has no weight_map that names the shards;")
    names = set()
    for path in weight_map.values():
        # Only names: an index is a foreign file and must not lead out of its folder.
        name = Path(path).name if isinstance(path, str) else ""
        if not _SHARD_NAME.fullmatch(name):
            raise damaged(index, f"{shown(path)} is no name of a weight file;")
        names.add(name)
    return sorted(names)


def is_complete(folder: Path) -> bool:
    """Whether everything that loading needs is there, by name."""
    try:
        weight_files(folder)
    except CheckpointError:
        return False
    there = lambda name: os.path.isfile(folder / name)  # noqa: E731
    return there(CONFIG_FILE) and has_tokenizer(there)


def has_tokenizer(there: Callable[[str], bool]) -> bool:
    """Whether all files of one of the tokenizers are there."""
    return any(all(map(there, names)) for names in TOKENIZERS)


def size_text(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def some(names: list[str], most: int = 3) -> str:
    """The first few of many names, for messages; foreign names are shortened."""
    plain = [name if re.fullmatch(r"[\w .,()-]{1,200}", name, re.ASCII) else shown(name) for name in names[:most]]
    return ", ".join(plain) + (", ..." if len(names) > most else "")
