"""ReferSAM in the one loop: its masks and its coarse masks are both supervised."""

from __future__ import annotations

import re
from collections.abc import Callable
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
_PROMPT_READS = re.compile(r"prompt_blocks\.\d+\.p2l_cross_attn\.(v|out)_proj")
TOKEN_SCALE = 4.0  # about the standard deviation of the bundled EVF-SAM's prompt tokens
_WORDS = "mm_extractor.beit3.text_embed.weight", "text_encoder.embeddings.word_embeddings.weight"


def new_refersam(config: ReferSamConfig, source: EvfSam) -> ReferSam:
    """A model with its initial weights; SAM and the table of words come from an EVF-SAM of the same sizes.

    The last steps from words to prompts start larger than in the public code, so that prompts differ by their text.
    What is added to SAM's features starts small, so that its decoder still understands them.

    Raises InputError if sizes differ.
    """
    sam, words = source.config.segmenter, source.config.encoder
    alike = isinstance(sam, SamConfig) and replace(sam, image_size=config.segmenter.image_size) == config.segmenter
    if not alike or (words.width, words.vocabulary) != (config.text.hidden_size, config.text.vocab_size):
        raise InputError("ReferSAM starts from an EVF-SAM whose SAM and words have its sizes: leave --model out.")
    model = build_refersam(config)
    # Only the last ones: a random stack of attention at this scale makes all texts alike.
    for name, module in model.vl_adapter.named_modules():
        if isinstance(module, nn.Linear) and (name.startswith("lang_proj.") or _PROMPT_READS.match(name)):
            nn.init.xavier_uniform_(module.weight)
    nn.init.normal_(model.text_encoder.embeddings.position_embeddings.weight, std=0.1)
    state = resize_vit(source.state_dict(), config.segmenter)
    taken = {
        ours + name.removeprefix(theirs): tensor
        for theirs, ours in _SAM_PARTS.items()
        for name, tensor in state.items()
        if name.startswith(theirs)
    }
    model.load_state_dict(taken | {_WORDS[1]: state[_WORDS[0]]}, strict=False)
    prompts, last = model.sam_prompt_encoder, model.sam_prompt_encoder.mask_downscaling[-1]
    nn.init.zeros_(last.weight)
    last.bias.data.copy_(prompts.no_mask_embed.weight[0])
    nn.init.constant_(model.vl_adapter.adapter_proj[1][1].weight, 0.1)
    nn.init.constant_(model.sparse_embedding[-1].weight, TOKEN_SCALE)
    return model


def refersam_stage(
    stage: Stage, recipe: Recipe, folder: Path, data: Mixture, source: EvfSam, device: torch.device
) -> ReferSamStage:
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
    source.to(device)

    @torch.no_grad()
    def teach(words: PhraseBatch) -> torch.Tensor:
        pixels = words.encoder_pixels[words.image_of_row]
        return source.encode_prompt(pixels, words.token_ids, words.padding_mask).float()

    return ReferSamStage(model, stage, sampler, recipe.seed, teach)


class ReferSamStage(nn.Module):
    """Losses "masks", as of EVF-SAM, "coarse", BCE and dice of the coarse masks, and "tokens".

    Args:
        sampler: of the EVF-SAM that it starts from, with images of the stage's size.
        teach: :class:`PhraseBatch` -> prompt tokens (P, 1, C) of that EVF-SAM, without gradients. The loss "tokens"
            draws the sparse prompts to them: SAM's decoder understands these already. A function, because the teacher
            is neither learned nor saved.
    """

    def __init__(self, model: ReferSam, stage: Stage, sampler: Sampler, seed: int, teach: Callable):
        super().__init__()
        self.model, self.stage, self.sampler, self.seed, self.teach = model, stage, sampler, seed, teach

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
        losses["masks"] = losses["loss"]
        if "tokens" in self.stage.losses:
            wanted = self.teach(words)
            losses["tokens"] = (answer.prompt_tokens - wanted).square().mean() / wanted.var()
        return losses | {"loss": sum(weight * losses[name] for name, weight in self.stage.losses.items())}
