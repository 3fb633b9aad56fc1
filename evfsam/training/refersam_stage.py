"""ReferSAM in the one loop: its masks and its coarse masks are both supervised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from evfsam.checkpoints.refersam import build_refersam
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.errors import InputError
from evfsam.modeling.config import SamConfig
from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.refersam.config import ReferSamConfig
from evfsam.modeling.refersam.model import ReferSam
from evfsam.training.config import Recipe, Stage
from evfsam.training.init import resize_vit
from evfsam.training.losses import mask_losses, mask_terms
from evfsam.training.sampler import Mixture, PhraseBatch, Sampler, generator
from evfsam.types import MaskLogits

# Where EVF-SAM with SAM keeps the same modules.
_SAM_PARTS = {
    "visual_model.image_encoder.": "vl_adapter.vis_model.",
    "visual_model.prompt_encoder.": "sam_prompt_encoder.",
    "visual_model.mask_decoder.": "sam_mask_decoder.",
}
_WORDS = "mm_extractor.beit3.text_embed.weight", "text_encoder.embeddings.word_embeddings.weight"


def new_refersam(config: ReferSamConfig, source: EvfSam) -> ReferSam:
    """A model with its initial weights; SAM and the table of words come from an EVF-SAM of the same sizes.

    Attention and positions of words start larger than in the public code, whose BERT comes trained. Raises InputError
    if sizes differ.
    """
    sam, words = source.config.segmenter, source.config.encoder
    alike = isinstance(sam, SamConfig) and replace(sam, image_size=config.segmenter.image_size) == config.segmenter
    if not alike or (words.width, words.vocabulary) != (config.text.hidden_size, config.text.vocab_size):
        raise InputError("ReferSAM starts from an EVF-SAM whose SAM and words have its sizes: leave --model out.")
    model = build_refersam(config)
    for name, module in model.named_modules():
        ours = name.startswith(("vl_adapter.", "text_encoder.")) and "vis_model." not in name and ".attn." not in name
        if ours and isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    nn.init.normal_(model.text_encoder.embeddings.position_embeddings.weight, std=0.5)
    state = resize_vit(source.state_dict(), config.segmenter)
    taken = {
        ours + name.removeprefix(theirs): tensor
        for theirs, ours in _SAM_PARTS.items()
        for name, tensor in state.items()
        if name.startswith(theirs)
    }
    model.load_state_dict(taken | {_WORDS[1]: state[_WORDS[0]]}, strict=False)
    return model


def refersam_stage(stage: Stage, recipe: Recipe, folder: Path, data: Mixture, source: EvfSam) -> ReferSamStage:
    """The module that a stage of a run trains; ``source`` is the checkpoint that the recipe continues."""
    config = recipe.model_of(stage)
    set_seed(recipe.seed)
    model = new_refersam(config, source)
    for name in stage.starts_from:
        state = load_file(folder / f"{name}.safetensors")
        model.load_state_dict({key.removeprefix("model."): tensor for key, tensor in state.items()})
    # Images and words are sampled as for the source, but of the stage's size.
    size = stage.image_size or config.segmenter.image_size
    read = replace(source.config, segmenter=replace(config.segmenter, image_size=size))
    sampler = Sampler(data, read, load_tokenizer(folder / "tokenizer"), recipe.varied)
    return ReferSamStage(model, stage, sampler, recipe.seed)


class ReferSamStage(nn.Module):
    """Losses "masks", as of EVF-SAM, and "coarse": BCE and dice of the coarse masks.

    Args:
        sampler: of the EVF-SAM that it starts from, with images of the stage's size.
    """

    def __init__(self, model: ReferSam, stage: Stage, sampler: Sampler, seed: int):
        super().__init__()
        self.model, self.stage, self.sampler, self.seed = model, stage, sampler, seed

    def batch(self, step: int) -> PhraseBatch:
        """What a step learns from; the same step always gives the same."""
        return self.sampler.phrases(self.stage, generator(self.seed, self.stage.name, step))[0]

    def forward(self, words: PhraseBatch) -> dict[str, torch.Tensor]:
        """Scalar losses by name; ``loss`` is their sum in the weights of the stage."""
        looked = self.model.encode_image(words.segmenter_pixels)
        answer = self.model.decode(looked.select(words.image_of_row), words.token_ids, ~words.padding_mask)
        # The cells of the truth, out of the masks as users get them.
        masks = F.avg_pool2d(answer.full_size(), 4)
        decoded = MaskLogits(masks, answer.iou_predictions)
        losses = mask_losses(decoded, words.coverage, self.stage.mask_losses, words.ignored)
        counted, present = 1 - words.ignored, (words.coverage.flatten(1).amax(1) > 0.5).float()
        bce, dice, iou = mask_terms(answer.coarse_masks, words.coverage, counted)
        coarse = bce.mean() + (dice * present).sum() / present.sum().clamp(min=1)
        losses |= {"coarse": coarse, "coarse_iou": (iou * present).sum() / present.sum().clamp(min=1)}
        weights = self.stage.losses
        return losses | {"loss": weights["masks"] * losses["loss"] + weights["coarse"] * coarse}
