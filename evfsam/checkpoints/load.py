"""A folder of the published layout -> a model that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from evfsam.checkpoints import keymap
from evfsam.checkpoints.fetch import fetch
from evfsam.checkpoints.layout import read_config, weight_files
from evfsam.checkpoints.quantize import quantize
from evfsam.checkpoints.registry import PUBLISHED, CheckpointInfo, describe_folder, find
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.checkpoints.weights import read_tensors, tensor_names
from evfsam.errors import CheckpointError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.evf_sam import EvfSam


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A model with all that belongs to it.

    Attributes:
        model: in evaluation mode, on the device and in the dtype that were asked for.
        tokenizer: see :func:`evfsam.checkpoints.tokenizer.load_tokenizer`.
        info: what it can do; its pixel facts are ``info.pixels``.
        folder: where it was read from.
    """

    model: EvfSam
    tokenizer: object
    info: CheckpointInfo
    folder: Path


def load_checkpoint(
    name: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    quantized_bits: int | None = None,
) -> LoadedCheckpoint:
    """Find, fetch if need be, and load a checkpoint, strictly.

    Args:
        name: see :func:`evfsam.checkpoints.registry.find`.
        device: where the weights go, straight from the file.
        dtype: of the weights that may be half (``EvfSam.half_parameters``, nearly all); others are float32.
        quantized_bits: 8 or 4 for the language side, see :mod:`evfsam.checkpoints.quantize`.

    Raises CheckpointError if the checkpoint is unknown, missing, damaged, unsafe, or does not fit its config to
    the last tensor.
    """
    info = find(name)
    folder = fetch(info)
    tokenizer = load_tokenizer(folder)
    if quantized_bits:
        model = quantize(build_and_fill(folder, "cpu", dtype), quantized_bits).to(device)
    else:
        model = build_and_fill(folder, device, dtype)
    if len(tokenizer) > model.config.encoder.vocabulary:
        raise CheckpointError(
            f"The tokenizer in {folder} knows {len(tokenizer)} tokens, the model "
            f"{model.config.encoder.vocabulary}; use files from one checkpoint."
        )
    return LoadedCheckpoint(model, tokenizer, _known_of(info, folder, model), folder)


def _known_of(info: CheckpointInfo, folder: Path, model: EvfSam) -> CheckpointInfo:
    """The row that was asked for, completed by what the files turned out to hold."""
    row = describe_folder(folder)
    if info.on_hub:
        row = replace(row, name=info.name, source=info.source, on_hub=True, revision=info.revision)
    if info.source in [published.source for published in PUBLISHED]:  # their config.json says little
        row = replace(row, capabilities=info.capabilities, licence=info.licence, description=info.description)
    segmenter = model.config.segmenter
    tracks = segmenter.kind == "sam2" and segmenter.memory
    return replace(
        row,
        kind=segmenter.kind,
        pixels=model.config.pixels,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        capabilities=tuple(able for able in row.capabilities if able != "video" or tracks),
    )


def build_and_fill(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> EvfSam:
    """The model alone; arguments and errors as in :func:`load_checkpoint`.

    Weights are made once, by reading them; on the CPU in the file's own dtype they are views of the file.
    """
    folder = Path(folder)
    files = weight_files(folder)
    names = [keymap.from_published(name) for name in tensor_names(files)]
    model = build_model(_config_of(folder, names), weights=False)
    memory = getattr(model.config.segmenter, "memory", True)
    halves = model.half_parameters()
    state = {}
    for published_name, tensor in read_tensors(files, device):
        name = keymap.from_published(published_name)
        if memory or not keymap.serves_memory_only(name):
            state[name] = tensor.to(dtype if name in halves else torch.float32)
    _check_fit(folder, model, state)
    model.load_state_dict(state, strict=True, assign=True)
    return model.to(device)  # what no file brings: tables that modules compute for themselves


def _config_of(folder: Path, names: list[str]) -> EvfConfig:
    """The config, completed by what the names in the weight file tell: the segmenter's kind, and memory or none."""
    try:
        config = EvfConfig.from_dict(read_config(folder), kind=keymap.segmenter_kind(names))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{folder / 'config.json'} describes no model of the evf layout: {error}.") from None
    if config.segmenter.kind == "sam2" and config.segmenter.memory and not keymap.has_memory(names):
        return replace(config, segmenter=replace(config.segmenter, memory=False))
    return config


def _check_fit(folder: Path, model: EvfSam, state: dict[str, torch.Tensor]) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": [
            f"{name} {found[name]} instead of {expected[name]}"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name]
        ],
    }
    told = [f"{len(names)} {what} ({_some(names)})" for what, names in problems.items() if names]
    if told:
        raise CheckpointError(
            f"The weights in {folder} do not fit its config.json: {'; '.join(told)}; "
            "use weights and config from one checkpoint."
        )


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
