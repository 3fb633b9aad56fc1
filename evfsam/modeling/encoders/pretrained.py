"""Published weights of CLIP and ViLT from a folder, read by transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from evfsam.errors import CheckpointError


def read_pretrained(module_class: type[PreTrainedModel], folder: Path, **how) -> dict[str, torch.Tensor]:
    """The state of ``module_class.from_pretrained(folder, **how)``. Nothing is downloaded.

    Raises CheckpointError if the folder is not there, is damaged, or lacks weights of this class.
    """
    folder = Path(folder)
    name = module_class.__name__
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder.name} is no folder with a config.json: name the folder of a published model.")
    read: Any = module_class.from_pretrained  # its annotation leaves out the loading info
    try:
        model, found = read(folder, local_files_only=True, output_loading_info=True, **how)
    except Exception as error:  # transformers raises anything for a damaged file
        raise CheckpointError(
            f"{folder.name} cannot be read as {name} ({type(error).__name__}); download it again."
        ) from None
    if found["missing_keys"] or found["mismatched_keys"]:
        raise CheckpointError(f"{folder.name} holds no {name}; name the folder of a published model of that kind.")
    return model.state_dict()
