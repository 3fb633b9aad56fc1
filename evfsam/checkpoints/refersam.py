"""A ReferSAM in a folder: ``config.json``, weights under the names of the public code, and a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from evfsam.checkpoints.layout import CONFIG_FILE, label, read_config, weight_files
from evfsam.checkpoints.load import check_fit
from evfsam.checkpoints.save import finite_state, write_folder
from evfsam.checkpoints.weights import read_headers, read_tensors
from evfsam.errors import CheckpointError
from evfsam.modeling.refersam.config import ReferSamConfig, TextConfig
from evfsam.modeling.refersam.model import ReferSam

# Releases of transformers before 5 saved counts from 0 as well, and named CLIP's encoder once more.
_POSITIONS, _CLIP_NAME = "text_encoder.embeddings.position_ids", "text_encoder.text_model."


def build_refersam(config: ReferSamConfig) -> ReferSam:
    """A model in evaluation mode with the initial weights of the public code, on the CPU, float32."""
    model = ReferSam(config, _text_encoder(config.text))
    model.initialise()
    return model.eval()


def _text_encoder(config: TextConfig) -> nn.Module:
    from transformers import BertConfig, BertModel, CLIPTextConfig, CLIPTextModel  # takes seconds

    classes = {"bert": (BertConfig, BertModel), "clip": (CLIPTextConfig, CLIPTextModel)}
    config_class, model_class = classes[config.kind]
    values = {name: value for name, value in vars(config).items() if name != "kind"}
    if config.kind == "clip":  # else they could lie beyond a small vocabulary
        values |= {"bos_token_id": config.vocab_size - 2, "eos_token_id": config.vocab_size - 1}
    return model_class(config_class(**values))


def load_refersam(folder: str | Path, device: str | torch.device = "cpu") -> ReferSam:
    """The model of a folder, in evaluation mode, float32.

    Raises CheckpointError if a file is missing, damaged or unsafe, or if the weights do not fit the config.
    """
    folder = Path(folder)
    try:
        config = ReferSamConfig.from_dict(read_config(folder))
    except ValueError as error:
        raise CheckpointError(f"{label(folder)}/{CONFIG_FILE} has {error}.") from None
    found = {_own(name): header for name, header in read_headers(weight_files(folder)).items()}
    found.pop(_POSITIONS, None)
    with torch.device("meta"):  # takes no memory, whatever sizes a config names
        check_fit(folder, build_refersam(config), found)
    model = build_refersam(config)
    state = {_own(name): tensor.float() for name, tensor in read_tensors(weight_files(folder), "cpu")}
    state.pop(_POSITIONS, None)
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False).to(device)


def _own(name: str) -> str:
    return name.replace(_CLIP_NAME, "text_encoder.")


def save_refersam(
    folder: str | Path, model: ReferSam, tokenizer_folder: str | Path, dtype: torch.dtype = torch.float16
) -> Path:
    """Write a folder that :func:`load_refersam` reads. Raises CheckpointError if a weight is not finite."""
    config = {**model.config.to_dict(), "parameters": sum(parameter.numel() for parameter in model.parameters())}
    text = json.dumps(config, indent=2) + "\n"
    return write_folder(Path(folder), finite_state(model, dtype), text, tokenizer_folder)
