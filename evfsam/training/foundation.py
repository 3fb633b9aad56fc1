"""Starting from the published foundation models, in their own files: SAM or SAM-2, and BEIT-3, CLIP or ViLT.

    sam_vit_h_4b8939.pth       segment-anything: a table of tensors
    sam2_hiera_large.pt        sam2 (version 2.0): the table under "model"
    beit3_large_*.pth          unilm/beit3: the table under "model" (or "module"), with heads beside "beit3."
    beit3.spm                  unilm/beit3: the SentencePiece tokenizer
    clip-vit-large-patch14/    CLIP or ViLT: a folder that transformers reads, with the tokenizer's files

Tensor names in the first three are those of this project behind ``visual_model.`` and ``mm_extractor.``.
"""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from evfsam.checkpoints.layout import SENTENCEPIECE_FILE, damaged, label, some
from evfsam.checkpoints.tokenizer import copy_tokenizer
from evfsam.errors import CheckpointError
from evfsam.modeling.evf_sam import EvfSam
from evfsam.training.init import resize_positions

_TABLES = ("model", "module")  # under which some of the files keep their tensors
_UNUSED = "beit3.vision_embed.mask_token"  # served pre-training only; some files lack it


@dataclass(frozen=True)
class Foundation:
    """The files of the foundation models.

    Attributes:
        segmenter: weights of SAM or SAM-2.
        encoder: weights of BEIT-3, or the folder of CLIP or ViLT.
        tokenizer: ``beit3.spm``, or that folder again.
    """

    segmenter: Path
    encoder: Path
    tokenizer: Path


def load_foundation(model: EvfSam, files: Foundation) -> None:
    """Fill a model's segmenter and encoder; the projector stays as it is.

    BEIT-3's image positions are interpolated if its file is for another image size. Raises CheckpointError if a file is
    missing, damaged, unsafe, or of another model or size.
    """
    if model.config.encoder.kind == "beit3":
        _fill(model.mm_extractor, _beit3_tensors(model, files.encoder), files.encoder, "BEIT-3")
    else:
        _fill(model.mm_extractor, model.mm_extractor.pretrained(files.encoder), files.encoder, "encoder")
    _fill(model.visual_model, _tensors(files.segmenter), files.segmenter, "segmenter")


def _beit3_tensors(model: EvfSam, path: Path) -> dict[str, torch.Tensor]:
    state = {name: tensor for name, tensor in _tensors(path).items() if name.startswith("beit3.")}
    state.setdefault(_UNUSED, model.mm_extractor.state_dict()[_UNUSED])
    if any(name.endswith("embed_positions.A.weight") for name in state):
        state = resize_positions(state, model.config.encoder)
    return state


def write_tokenizer(files: Foundation, folder: Path) -> None:
    """Put the encoder's tokenizer into a folder of the published layout. Raises CheckpointError if it is missing."""
    if files.tokenizer.is_dir():
        copy_tokenizer(files.tokenizer, folder)
        return
    if not files.tokenizer.is_file():
        raise CheckpointError(
            f"{label(files.tokenizer)} is not there; name BEIT-3's beit3.spm, or the folder of CLIP or ViLT."
        )
    shutil.copyfile(files.tokenizer, folder / SENTENCEPIECE_FILE)


def _fill(module: torch.nn.Module, state: dict[str, torch.Tensor], path: Path, what: str) -> None:
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    problems = {
        "missing": sorted(expected.keys() - state.keys()),
        "unexpected": sorted(state.keys() - expected.keys()),
        "of another shape": sorted(n for n in expected.keys() & state.keys() if expected[n] != state[n].shape),
    }
    told = [f"{len(names)} {problem} ({some(names)})" for problem, names in problems.items() if names]
    if told:
        raise CheckpointError(f"{label(path)} does not fit the recipe's {what}: {'; '.join(told)}; name another file.")
    module.load_state_dict(state)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name. Nothing in the file is run."""
    if not path.is_file():
        raise CheckpointError(f"{label(path)} is not there; download it from its authors and name it again.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{label(path)} holds more than tensors and was refused, because it may run code; "
            "save its tensors alone and name that file."
        ) from None
    except Exception:  # whatever the readers make of a damaged file
        raise damaged(path) from None
    for key in _TABLES:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{label(path)} is not a table of tensors by name; name the authors' file.")
    return state
