"""The parts of a model that a stage may train, and the optimizer's groups that follow from them."""

from __future__ import annotations

from torch import nn

from evfsam.modeling.segmenters.sam2_memory import MEMORY_MODULES
from evfsam.training.config import Stage

# ``trunk`` is SAM-2's network under the image encoder's pyramid, which may come with features of its own; ``heads`` are
# the grounding heads, which are thrown away after training; ``interactor`` is all that ReferSAM adds to SAM and BERT.
PARTS = (
    "encoder",
    "projector",
    "trunk",
    "image_encoder",
    "prompt_encoder",
    "decoder",
    "memory",
    "heads",
    "interactor",
)
SEGMENTER = ("image_encoder", "prompt_encoder", "decoder")
_PREFIXES = {
    "heads.": "heads",
    "model.mm_extractor.": "encoder",
    "model.text_hidden_fcs.": "projector",
    # SAM-2's decoder holds two convolutions that work on the image: they belong to its features.
    "model.visual_model.sam_mask_decoder.conv_s": "image_encoder",
    "model.visual_model.sam_mask_decoder.": "decoder",
    "model.visual_model.mask_decoder.": "decoder",
    "model.visual_model.sam_prompt_encoder.": "prompt_encoder",
    "model.visual_model.prompt_encoder.": "prompt_encoder",
    "model.visual_model.image_encoder.trunk.": "trunk",
    **{f"model.visual_model.{name}": "memory" for name in MEMORY_MODULES},
    "model.visual_model.": "image_encoder",
    "model.vl_adapter.vis_model.": "image_encoder",
    "model.text_encoder.": "encoder",
    "model.sam_prompt_encoder.": "prompt_encoder",
    "model.sam_mask_decoder.": "decoder",
    "model.": "interactor",
}


def part_of(name: str) -> str:
    """The part that a tensor of a stage's module belongs to, by its name."""
    return next(part for prefix, part in _PREFIXES.items() if name.startswith(prefix))


def parameter_groups(module: nn.Module, stage: Stage) -> list[dict]:
    """Freeze what the stage does not train and give the rest to an optimizer, each part at its own rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        part = part_of(name)
        parameter.requires_grad_(part in stage.trains)
        if part in stage.trains:
            groups.setdefault(stage.rates.get(part, 1.0), []).append(parameter)
    return [{"params": group, "lr": stage.learning_rate * rate} for rate, group in groups.items()]
