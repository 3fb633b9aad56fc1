"""Stages with words: from images and prompts to masks, as EVF-SAM itself is trained.

Trained all at once from nothing, a decoder learns to find things from the words by itself, and the fusion of image and
text stays unused. So recipes from nothing train "points" and "grounding" first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.training.cache import CachedFeatures
from evfsam.training.config import Stage
from evfsam.training.grounding import GroundingHeads
from evfsam.training.losses import full_size_losses, kept_loss, mask_losses
from evfsam.training.point_prompts import (
    MOST_CORRECTIONS,
    PointPrompts,
    PointSimulator,
    corrected,
    point_losses,
    sample_corrections,
    sample_point_prompts,
)
from evfsam.training.sampler import PhraseBatch, Sampler, generator
from evfsam.types import ImageFeatures, MaskLogits

CORRECTED_PHRASES = 3  # one prompt in so many is asked again with points


class JointBatch(NamedTuple):
    """What one step learns from.

    Attributes:
        words: the prompts.
        asked_again: int64 (Q,), those that get a point after their answer; none without the loss "corrections".
        corrections: how many points follow that one, each into an error of the answer before.
        point_prompts: in the same images; none without the loss "points".
        features: the image encoder's of these images, float16; nothing if they are not cached.
    """

    step: int
    words: PhraseBatch
    asked_again: torch.Tensor
    corrections: int
    point_prompts: list[PointPrompts]
    features: list[torch.Tensor]


class PhraseStage(nn.Module):
    """Losses "masks", "grounding", "corrections", "points" and "kept".

    Args:
        heads: needed for "grounding".
        features: of all images, for a frozen image encoder; None to compute them.
        teach: :class:`PhraseBatch` -> prompt tokens (P, 1, out_dim), features of B images and P masks of the checkpoint
            that the recipe continues, without gradients. A function, because the teacher is neither learned nor saved.
            Needed for "kept"; None to leave that loss out.
    """

    def __init__(
        self,
        model: EvfSam,
        stage: Stage,
        sampler: Sampler,
        seed: int,
        heads: GroundingHeads | None = None,
        features: CachedFeatures | None = None,
        teach: Callable | None = None,
    ):
        super().__init__()
        self.model, self.stage, self.sampler, self.seed = model, stage, sampler, seed
        self.heads, self.features, self.teach = heads, features, teach

    def batch(self, step: int) -> JointBatch:
        """What a step learns from; the same step always gives the same."""
        rng, stage, weights = generator(self.seed, self.stage.name, step), self.stage, self.stage.losses
        words, samples = self.sampler.phrases(stage, rng)
        if stage.grey:
            words = words._replace(segmenter_pixels=self._greyed(words.segmenter_pixels, rng))
        targets = self.sampler.point_targets(samples, stage.prompts, rng) if "points" in weights else None
        prompts = sample_point_prompts(targets, rng, self.sampler.spec.image_size) if targets else []
        again, corrections = torch.zeros(0, dtype=torch.int64), 0
        if "corrections" in weights:
            present = (words.coverage.flatten(1).amax(1) > 0.95).nonzero().flatten().numpy()
            again = torch.from_numpy(rng.permutation(present)[: max(1, len(words.coverage) // CORRECTED_PHRASES)])
            corrections = sample_corrections(MOST_CORRECTIONS - 1, rng)
        features = self.features.read(words.indices.numpy()) if self.features else []
        return JointBatch(step, words, again, corrections, prompts, features)

    def _greyed(self, pixels: torch.Tensor, rng) -> torch.Tensor:
        """Normalised pixels (B, 3, S, S), a share of the images without colour."""
        spec = self.sampler.spec
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
        grey = ((pixels * std + mean).mean(1, keepdim=True) - mean) / std
        chosen = torch.from_numpy(rng.random(len(pixels)) < self.stage.grey)
        return torch.where(chosen.view(-1, 1, 1, 1), grey, pixels)

    def forward(self, batch: JointBatch) -> dict[str, torch.Tensor]:
        """Scalar losses by name; ``loss`` is their sum in the weights of the stage."""
        words, weights = batch.words, self.stage.losses
        pixels, rows = words.encoder_pixels, words.image_of_row
        tokens = self.model.mm_extractor(pixels, words.token_ids, words.padding_mask, rows)
        losses, parts = {}, {}
        if "grounding" in weights:
            losses |= self.heads(self.model.mm_extractor.beit3, tokens, pixels, rows, words.token_coverage)
            parts["grounding"] = losses.pop("loss")
        if "masks" in weights:
            prompt_tokens, features = self.model.project(tokens), self._image_features(batch)
            decoded = self.model.decode(features.select(rows), prompt_tokens)
            losses |= self._mask_losses(decoded, words)
            parts["masks"] = losses["loss"]
            if "kept" in weights and self.teach:
                before = self.teach(words)
                parts["kept"] = losses["kept"] = kept_loss(words, (prompt_tokens, features, decoded), before)
            rng = generator(self.seed, f"{self.stage.name} clicks", batch.step)
            simulator = PointSimulator(rng, self.sampler.spec.image_size)
            if len(batch.asked_again):
                parts["corrections"] = self._corrected(features, prompt_tokens, batch, decoded, simulator)
            if batch.point_prompts:
                pointed = point_losses(self.model.visual_model, features, batch.point_prompts, simulator)
                losses["pointed_iou"], parts["points"] = pointed["iou"], pointed["loss"]
        return losses | {"loss": sum(weights[name] * part for name, part in parts.items())}

    def _mask_losses(self, decoded: MaskLogits, words: PhraseBatch) -> dict[str, torch.Tensor]:
        weights = self.stage.mask_losses
        if self.stage.full_size:
            return full_size_losses(decoded, words.image_of_row, words.masks, words.geometry, weights)
        return mask_losses(decoded, words.coverage, weights, words.ignored)

    def _image_features(self, batch: JointBatch) -> ImageFeatures:
        if batch.features:
            first, *others = (level.float() for level in batch.features)
            return ImageFeatures(first, tuple(others))
        with nullcontext() if "image_encoder" in self.stage.trains else torch.no_grad():
            return self.model.encode_image(batch.words.segmenter_pixels)

    def _corrected(self, features, prompt_tokens, batch: JointBatch, decoded, simulator: PointSimulator):
        """The loss of some prompts asked again, with points that follow from the answers."""
        chosen, words = batch.asked_again, batch.words
        coverage, seen = words.coverage[chosen], features.select(words.image_of_row[chosen])

        def decode(points) -> MaskLogits:
            return self.model.decode(seen, prompt_tokens[chosen], points, multimask=False)

        first = partial(simulator.second_points, words.one_thing[chosen])
        rules = [first, *[simulator.corrections] * batch.corrections]
        again = corrected(decode, rules, coverage, decoded.low_res_masks[chosen])
        return mask_losses(again, coverage, ignored=words.ignored[chosen])["loss"]


def answers_of(model: EvfSam) -> Callable:
    """A checkpoint's answers without gradients, as :class:`PhraseStage` wants them from its teacher."""

    @torch.no_grad()
    def answers(words: PhraseBatch):
        pixels = words.encoder_pixels[words.image_of_row]
        prompt_tokens = model.encode_prompt(pixels, words.token_ids, words.padding_mask)
        features = model.encode_image(words.segmenter_pixels)
        masks = model.decode(features.select(words.image_of_row), prompt_tokens, multimask=False)
        return prompt_tokens, features, masks

    return answers
