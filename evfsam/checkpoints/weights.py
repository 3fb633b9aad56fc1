"""Weight files of the published layout: safetensors or pickles, whole or in shards, memory-mapped."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from evfsam.errors import CheckpointError

# In the order in which they are looked for: safetensors cannot run code and loads without copies.
WEIGHT_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def weight_files(folder: str | Path) -> list[Path]:
    """The files that hold a checkpoint's weights, one or several shards.

    Raises CheckpointError if there are none, or if one that the index names is missing.
    """
    folder = Path(folder)
    found = next((folder / name for name in WEIGHT_NAMES if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{folder} holds no weights; put model.safetensors or pytorch_model.bin there.")
    if found.suffix != ".json":
        return [found]
    try:
        names = sorted(set(json.loads(found.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise CheckpointError(f"{found} is damaged; download or copy it again.") from None
    # Only names: an index is a foreign file and must not lead out of its folder.
    shards = [folder / Path(name).name for name in names]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}, which {found.name} names; download it again.")
    return shards


def tensor_names(files: list[Path]) -> list[str]:
    """The names of all tensors in ``files``, read without their values."""
    names: list[str] = []
    for path in files:
        with _open(path, "cpu") as (keys, _):
            names += keys
    if len(set(names)) < len(names):
        raise CheckpointError(f"The shards in {files[0].parent} hold one tensor twice; download them again.")
    return names


def read_tensors(files: list[Path], device: str | torch.device) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor of ``files`` with its name, in the file's dtype, on ``device``.

    On the CPU a tensor is a private view of the file: its pages come from disk when they are first read.
    """
    for path in files:
        with _open(path, device) as (keys, read):
            for key in keys:
                yield key, read(key)


@contextmanager
def _open(path: Path, device: str | torch.device):
    """The names in one file and a function that reads one of them."""
    if path.suffix != ".safetensors":
        state = read_pickle(path)
        yield list(state), lambda key: state[key].to(device)
        return
    try:
        with safe_open(str(path), framework="pt", device=str(device)) as file:
            yield list(file.keys()), file.get_tensor
    except SafetensorError:
        raise CheckpointError(f"{path} is damaged or was not downloaded whole; download or copy it again.") from None


def read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """A ``pytorch_model.bin``: tensors by name, memory-mapped where its format allows it.

    Nothing in the file is ever run: torch's reader of tensors alone is used. Raises CheckpointError if the file
    wants more than that, is damaged, or holds something else than tensors.
    """
    try:
        # The format before torch 1.6 is no zip file and cannot be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} is not a plain file of tensors and wants to run code, so it was refused; "
            "use model.safetensors from a source you trust."
        ) from None
    except (RuntimeError, EOFError, ValueError, zipfile.BadZipFile):
        raise CheckpointError(f"{path} is damaged or was not downloaded whole; download or copy it again.") from None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"{path} is not a table of tensors by name; it is no checkpoint of the evf layout.")
    return state
