"""Tensors from weight files: safetensors or pickles, memory-mapped."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from evfsam.checkpoints.layout import damaged
from evfsam.errors import CheckpointError


def tensor_names(files: list[Path]) -> list[str]:
    """The names of all tensors in ``files``, read without their values.

    Raises CheckpointError if a file is damaged or a tensor is there twice.
    """
    names: list[str] = []
    for path in files:
        with _open(path) as (keys, _):
            names += keys
    if len(set(names)) < len(names):
        raise CheckpointError(f"The shards in {files[0].parent} hold one tensor twice; download them again.")
    return names


def read_tensors(files: list[Path], device: str | torch.device) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor of ``files`` with its name, in the file's dtype, on ``device``.

    On the CPU a tensor is a private view of the file: its pages come from disk when they are first read, and
    writing to it leaves the file as it is.
    """
    for path in files:
        with _open(path) as (keys, read):
            for key in keys:
                # Not by safetensors' own device argument, which goes past the CUDA that ZeroGPU imitates at start.
                yield key, read(key).to(device)


@contextmanager
def _open(path: Path) -> Iterator[tuple[list[str], Callable[[str], torch.Tensor]]]:
    """The names in one file and a function that reads one of them."""
    if path.suffix != ".safetensors":
        state = read_pickle(path)
        yield list(state), state.__getitem__
        return
    try:
        with safe_open(str(path), framework="pt") as file:
            yield list(file.keys()), file.get_tensor
    except SafetensorError:
        raise damaged(path) from None


def read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """A ``pytorch_model.bin``: tensors by name, memory-mapped where its format allows it.

    Nothing in the file is ever run: only torch's reader of plain tensors is used. Raises CheckpointError if the
    file wants more than that, is damaged, or holds something else than tensors.
    """
    try:
        # The format before torch 1.6 is no zip file and cannot be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} is not a plain file of tensors and was refused, because it may want to run code; "
            "use model.safetensors from a source you trust."
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError):
        raise damaged(path) from None
    named = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not named or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is not a table of tensors by name; use a checkpoint of the evf layout.")
    return state
