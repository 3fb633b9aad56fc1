"""Writing a model in the published layout, so that the official code reads it as well as ours."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from evfsam.checkpoints import keymap
from evfsam.checkpoints.tokenizer import copy_tokenizer
from evfsam.errors import CheckpointError
from evfsam.modeling.evf_sam import EvfSam

# The official classes, one a segmenter (model/evf_sam.py, evf_sam2.py, evf_effisam.py).
_ARCHITECTURES = {"sam": "EvfSamModel", "sam2": "EvfSam2Model", "efficient_sam": "EvfEffiSamModel"}


def save_checkpoint(
    folder: str | Path,
    model: EvfSam,
    tokenizer_folder: str | Path,
    dtype: torch.dtype = torch.float16,
    extra_config: dict | None = None,
) -> Path:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer's files.

    Args:
        folder: created if it does not exist. Files of the same names are replaced, each completely or not at all.
        model: the model, on any device.
        tokenizer_folder: where the tokenizer's files are (``LoadedCheckpoint.folder``, or what
            ``train_tokenizer`` wrote); it may be ``folder`` itself.
        dtype: dtype of the saved parameters; buffers are saved in float32.
        extra_config: further entries of ``config.json``, as ``evfsam.checkpoints.registry`` reads them:
            capabilities, vocabulary, licence, description, refinement.

    Returns ``folder``. Raises CheckpointError if a weight is not finite in ``dtype``.
    """
    state = {keymap.to_published(name): tensor for name, tensor in finite_state(model, dtype).items()}
    config = {
        **model.config.to_dict(),
        "architectures": [_ARCHITECTURES[model.config.segmenter.kind]],
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "torch_dtype": str(dtype).removeprefix("torch."),
        **(extra_config or {}),
    }
    return write_folder(Path(folder), state, json.dumps(config, indent=2) + "\n", tokenizer_folder)


def finite_state(model: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All tensors of a model: parameters in ``dtype``, buffers in float32. Raises CheckpointError if one overflows."""
    parameters, state = {name for name, _ in model.named_parameters()}, {}
    for name, tensor in model.state_dict().items():
        saved = tensor.detach().to("cpu", dtype if name in parameters else torch.float32).contiguous()
        if not torch.isfinite(saved).all():
            raise CheckpointError(f"{name} holds values that {dtype} cannot; save in float32, or look at the training.")
        state[name] = saved
    return state


def write_folder(folder: Path, state: dict[str, torch.Tensor], config: str, tokenizer_folder: str | Path) -> Path:
    """Write weights, ``config.json`` and the tokenizer's files, each completely or not at all. Returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(tokenizer_folder, folder)
    _replace(folder / "model.safetensors", lambda path: save_file(state, path, metadata={"format": "pt"}))
    _replace(folder / "config.json", lambda path: path.write_text(config, encoding="utf-8"))
    return folder


def _replace(path: Path, write) -> None:
    """Write beside ``path``, then move over it: a model mapped from the old file keeps its pages."""
    temporary = path.with_name(f"{path.name}.part")
    write(temporary)
    # safetensors lets only the owner read what it wrote; a checkpoint is for all who may read its folder.
    temporary.chmod(path.parent.stat().st_mode & 0o666)
    os.replace(temporary, path)
