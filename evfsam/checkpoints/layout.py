"""The files of a checkpoint's folder: config, weights (whole or in shards), tokenizer. Torch-free."""

from __future__ import annotations

import json
from pathlib import Path

from evfsam.errors import CheckpointError

CONFIG_FILE = "config.json"
SENTENCEPIECE_FILE = "sentencepiece.bpe.model"
TOKENIZER_FILES = (SENTENCEPIECE_FILE, "tokenizer_config.json", "special_tokens_map.json")
# In the order in which they are looked for: safetensors cannot run code and load without copies.
WEIGHT_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def read_config(folder: Path) -> dict:
    """The parsed ``config.json`` of a checkpoint's folder. Raises CheckpointError if there is none."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {CONFIG_FILE}; name the folder of a checkpoint.")
    config = _read_json(path)
    if not isinstance(config, dict):
        raise damaged(path)
    return config


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's weights, one or several shards.

    Raises CheckpointError if there are none, or if one that the index names is missing.
    """
    found = next((folder / name for name in WEIGHT_NAMES if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{folder} holds no weights; put model.safetensors or pytorch_model.bin there.")
    if found.suffix != ".json":
        return [found]
    shards = [folder / name for name in shard_names(found)]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {', '.join(missing)}, which {found.name} names; download or copy it again."
        )
    return shards


def shard_names(index: Path) -> list[str]:
    """The names of the files that an index json lists. Raises CheckpointError if it is damaged."""
    try:
        names = set(_read_json(index)["weight_map"].values())
        # Only names: an index is a foreign file and must not lead out of its folder.
        return sorted({Path(name).name for name in names})
    except (KeyError, AttributeError, TypeError):
        raise damaged(index) from None


def is_complete(folder: Path) -> bool:
    """Whether everything that loading needs is there, by name."""
    try:
        weight_files(folder)
    except CheckpointError:
        return False
    return (folder / CONFIG_FILE).is_file() and (folder / SENTENCEPIECE_FILE).is_file()


def size_text(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def damaged(path: Path) -> CheckpointError:
    """The error for a file that is there but cannot be read."""
    return CheckpointError(f"{path} is damaged or was not downloaded whole; download or copy it again.")


def _read_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise damaged(path) from None
