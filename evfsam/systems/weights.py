"""The files of a system, from a folder or the Hub, into transformers' classes. Weights are safetensors alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers.utils import logging

from evfsam.checkpoints.fetch import fetch_repository
from evfsam.checkpoints.layout import label
from evfsam.errors import CheckpointError
from evfsam.runtime import Runtime
from evfsam.systems.registry import SystemInfo

# transformers raises all of these for files that are missing, damaged, or of another model.
_UNUSABLE = (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)


def folders(info: SystemInfo) -> list[Path]:
    """One folder per repository of a system, downloaded if need be.

    Raises CheckpointError if one is missing, gated, or cannot be downloaded.
    """
    if info.folder is None:
        return [fetch_repository(repository) for repository in info.repositories]
    found = [info.folder / repository.rpartition("/")[2] for repository in info.repositories]
    if len(found) == 1 and not found[0].is_dir():
        found = [info.folder]
    for folder, repository in zip(found, info.repositories, strict=True):
        if not (folder / "config.json").is_file():
            raise CheckpointError(f"{info.name} needs the files of {repository} in {folder}; download them there.")
    return found


def pretrained(model_class: Any, folder: Path, runtime: Runtime):
    """A model of that class with the weights of a folder, in evaluation mode on the device.

    Raises CheckpointError if the folder holds no such model.
    """
    logging.disable_progress_bar()  # of the weights, which takes less than a second
    try:
        model, report = model_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except _UNUSABLE as error:
        raise CheckpointError(f"{label(folder)} holds no usable {model_class.__name__}: {_first(error)}") from error
    if missing := report.get("missing_keys"):
        raise CheckpointError(f"{label(folder)} lacks {len(missing)} weights of {model_class.__name__}; get it anew.")
    return model.eval().requires_grad_(False).to(runtime.device)


def processor(processor_class: Any, folder: Path):
    """The processor of a folder. Raises CheckpointError if its files are missing or damaged."""
    try:
        return processor_class.from_pretrained(folder, local_files_only=True)
    except _UNUSABLE as error:
        raise CheckpointError(f"{label(folder)} lacks files of {processor_class.__name__}: {_first(error)}") from error


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
