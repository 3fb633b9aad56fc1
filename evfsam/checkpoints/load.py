"""A folder of the published layout -> a model that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from evfsam.checkpoints import keymap
from evfsam.checkpoints.fetch import fetch
from evfsam.checkpoints.layout import label, some, weight_files
from evfsam.checkpoints.quantize import quantize
from evfsam.checkpoints.registry import PUBLISHED, CheckpointInfo, describe_folder, find, model_config
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.checkpoints.weights import TensorHeader, read_headers, read_tensors
from evfsam.errors import CheckpointError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import Sam2Config
from evfsam.modeling.evf_sam import EvfSam

if TYPE_CHECKING:
    from evfsam.modeling.refersam.model import ReferSam


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A model with everything that belongs to it.

    Attributes:
        model: in evaluation mode, on the device and in the dtype that were asked for.
        tokenizer: see :func:`evfsam.checkpoints.tokenizer.load_tokenizer`.
        info: what it can do, and how its images are prepared (``info.pixels``).
        folder: the folder it was read from.
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
        device: the device for the weights; they go there straight from the file.
        dtype: dtype of the weights that may be in half precision (``EvfSam.half_parameters``, nearly all); the others
            are float32.
        quantized_bits: 8 or 4 for the language side, see :mod:`evfsam.checkpoints.quantize`.

    Raises CheckpointError if the checkpoint is unknown, missing, damaged or unsafe, or if its tensors are not exactly
    those that its config describes.
    """
    info = find(name)
    folder = fetch(info)
    model = _build(folder)
    tokenizer = load_tokenizer(folder, model.config.encoder.vocabulary)
    if quantized_bits:
        model = quantize(_fill(model, folder, "cpu", dtype), quantized_bits).to(device)
    else:
        model = _fill(model, folder, device, dtype)
    return LoadedCheckpoint(model, tokenizer, _known_of(info, folder, model), folder)


def _known_of(info: CheckpointInfo, folder: Path, model: EvfSam) -> CheckpointInfo:
    """The row that was asked for, completed by what the files hold."""
    row = describe_folder(folder)
    if info.on_hub:
        row = replace(row, name=info.name, source=info.source, on_hub=True, revision=info.revision)
    if info.source in [published.source for published in PUBLISHED]:  # their config.json says little
        row = replace(row, capabilities=info.capabilities, licence=info.licence, description=info.description)
    segmenter = model.config.segmenter
    tracks = isinstance(segmenter, Sam2Config) and segmenter.memory
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
    return _fill(_build(Path(folder)), Path(folder), device, dtype)


def _build(folder: Path) -> EvfSam:
    """The model that config and weights describe. Its parameters are on the meta device and take no memory yet.

    Raises CheckpointError if the weights do not fit it by name, shape and dtype.
    """
    config = model_config(folder)  # first: it is the cheapest to refuse
    headers = read_headers(weight_files(folder))
    names = [keymap.from_published(name) for name in headers]
    config = model_config(folder, keymap.segmenter_kind(names))
    segmenter = config.segmenter
    if isinstance(segmenter, Sam2Config) and segmenter.memory and not keymap.has_memory(names):
        config = replace(config, segmenter=replace(segmenter, memory=False))
    try:
        model = build_model(config, weights=False)
    except Exception as error:  # other packages raise anything for sizes that no rule excludes
        raise CheckpointError(
            f"{label(folder)}/config.json describes no model that can be built ({type(error).__name__}); "
            "use the config that belongs to the weights."
        ) from error
    check_fit(folder, model, {keymap.from_published(name): header for name, header in headers.items()})
    return model


def _fill(model: EvfSam, folder: Path, device: str | torch.device, dtype: torch.dtype) -> EvfSam:
    """``model`` with the weights of ``folder``, which fit it."""
    expected, halves = model.state_dict().keys(), model.half_parameters()
    state = {}
    for published_name, tensor in read_tensors(weight_files(folder), device):
        name = keymap.from_published(published_name)
        if name in expected:
            state[name] = tensor.to(dtype if name in halves else torch.float32)
    model.load_state_dict(state, strict=True, assign=True)
    return model.to(device)  # tables that modules compute for themselves are in no file


def check_fit(folder: Path, model: EvfSam | ReferSam, found: dict[str, TensorHeader]) -> None:
    """Raise CheckpointError unless the files hold every tensor of the model in its shape, and no other.

    What serves SAM-2's memory alone may be there for a model without memory modules.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    without_memory = not getattr(model.config.segmenter, "memory", True)
    extra = (name for name in found.keys() - expected.keys())
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(name for name in extra if not (without_memory and keymap.serves_memory_only(name))),
        "of another shape": [
            f"{name} {found[name].shape} instead of {expected[name]}"
            for name in sorted(expected.keys() & found.keys())
            if expected[name] != found[name].shape
        ],
    }
    told = [f"{len(names)} {what} ({some(names)})" for what, names in problems.items() if names]
    if told:
        raise CheckpointError(
            f"The weights in {label(folder)} do not fit its config.json: {'; '.join(told)}; "
            "use weights and config from one checkpoint."
        )
