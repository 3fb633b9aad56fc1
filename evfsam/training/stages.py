"""The stages of the lineage, each a module with a ``batch`` for every step, whose forward turns it into losses.

``batch(step)`` needs neither weights nor a GPU and always gives the same, so other processes may prepare it.

0. ``DistilStage`` (in ``distillation``), in the place of 1 to 3 for a model that continues one of another family.
1. ``SegmenterStage`` (in ``pointing``): points and boxes -> masks (SAM). Learns *where* -> *what outline*, no words.
2. ``GroundingStage``: words + picture -> which image tokens are meant (in BEIT-3's place). No segmenter.
3. ``JointStage``: words + picture -> prompt token -> mask (EVF-SAM), image features frozen and cached.
4. ``TogetherStage``: the same, with the image encoder learning as well.
5. ``PhotoStage``: the same, on rendered scenes and photographs.
6. ``FinerStage``: as ``JointStage``, the encoder reading a finer copy of the picture, the segmenter as it is.
7. ``SharperStage``: as ``TogetherStage``, the segmenter reading a finer picture as well.
8. ``MemoryStage`` (in ``memory_stage``): SAM-2 learns to follow things through clips.

Trained all at once, a decoder learns to find things from the words by itself and the fusion stays unused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from evfsam.modeling.config import Beit3Config
from evfsam.modeling.encoders.beit3 import FIRST_POSITION, Beit3
from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import memory_parameters
from evfsam.processing.text import PAD_ID
from evfsam.refine.rejection import presence_logits
from evfsam.training.config import Recipe, StageConfig
from evfsam.training.feature_cache import FeatureCache
from evfsam.training.losses import bce_loss, dice_loss, mask_losses
from evfsam.training.phrases import PhraseReader, WordBatch
from evfsam.training.pointing import corrected, pointing_losses
from evfsam.training.sampling import (
    MOST_CORRECTIONS,
    Clicker,
    Pointing,
    generator,
    sample_corrections,
    sample_pointing,
    sample_targets,
)
from evfsam.types import ImageFeatures, MaskLogits

# From the joint stage on, beside the words' own loss. Pointing goes on beside the words, on the same pictures: without
# it the decoder forgot boxes, and most of what answers to words lacked was the outline of a thing that they had found.
# A target that is pointed at teaches outlines without the cost of the encoder.
GROUNDING_WEIGHT = 0.3
CORRECTION_WEIGHT = 0.5
POINTING_WEIGHT = 0.5
ASKED_AGAIN = 3  # one phrase in so many
MASKS_KEPT_WEIGHT = 4.0  # against shares of a variance: a mask's mean surprise, in nats a pixel, is a small number


class GroundingHeads(nn.Module):
    """What asks the encoder which image tokens a phrase covers; thrown away after training.

    Two readings are asked for. Each fused image token tells for itself, which starts early fusion from the
    first minutes; and [CLS], compared with the tokens *before* fusion (what a patch looks like and where it
    is), has to say what and where by itself, since it is all that the decoder will get to see.
    """

    def __init__(self, config: Beit3Config):
        super().__init__()
        self.token_head = nn.Linear(config.width, 1)
        self.cls_query = nn.Linear(config.width, config.width)
        self.patch_key = nn.Linear(config.width, config.width)
        self.cls_bias = nn.Parameter(torch.zeros(1))

    def forward(self, beit3: Beit3, tokens, pixels, scene_of_row, covered) -> dict[str, torch.Tensor]:
        """Losses of P phrases.

        Args:
            tokens: the encoder's (P, T, width).
            pixels: (B, 3, n, n), the pictures before they were read.
            scene_of_row: int64 (P,).
            covered: float (P, t, t), 0..1, the share of each image token.
        """
        side = covered.shape[-1]
        by_token = self.token_head(tokens[:, 1 : 1 + side * side]).squeeze(-1).unflatten(1, (side, side))
        patches = beit3.vision_embed(pixels)[:, 1:] + beit3.encoder.embed_positions.A.weight[FIRST_POSITION + 1 :]
        keys = self.patch_key(patches)[scene_of_row]
        by_cls = torch.einsum("pd,pnd->pn", self.cls_query(tokens[:, 0]), keys) * keys.shape[-1] ** -0.5
        by_cls = (by_cls + self.cls_bias).unflatten(1, (side, side))
        present = (covered.flatten(1).amax(1) > 0).float()
        losses = {}
        for name, logits in (("token", by_token), ("cls", by_cls)):
            bce = F.binary_cross_entropy_with_logits(logits, covered, 1 + 4 * covered)
            dice = (dice_loss(logits, covered) * present).sum() / present.sum().clamp(min=1)
            losses[name] = bce + 0.5 * dice
            best = logits.flatten(1).argmax(1, keepdim=True)
            hit = (covered.flatten(1).gather(1, best)[:, 0] > 0.1).float()
            losses[f"{name}_hit"] = (hit * present).sum() / present.sum().clamp(min=1)
        losses["loss"] = losses["token"] + losses["cls"]
        return losses


class GroundingStage(nn.Module):
    """The encoder learns by itself which part of a picture a phrase means."""

    name = "grounding"

    def __init__(self, model: EvfSam, recipe: Recipe, reader: PhraseReader):
        super().__init__()
        self.encoder, self.heads = model.mm_extractor, GroundingHeads(model.config.encoder)
        self.recipe, self.config, self.reader = recipe, recipe.grounding, reader

    def parameter_groups(self) -> list[dict]:
        return [{"params": list(self.parameters())}]

    def batch(self, step: int) -> WordBatch:
        return self.reader.sample(self.config, generator(self.recipe.seed, self.name, step))

    def forward(self, batch: WordBatch) -> dict[str, torch.Tensor]:
        pixels, ids, rows = batch.encoder_pixels, batch.token_ids, batch.scene_of_row
        tokens = self.encoder(pixels[rows], ids, ids.eq(PAD_ID))
        return self.heads(self.encoder.beit3, tokens, pixels, rows, batch.token_coverage)


class JointBatch(NamedTuple):
    """What a step of the joint stage and of those like it learns from.

    Attributes:
        words: the phrases.
        asked_again: int64 (Q,), those of them that get a click after their answer.
        corrections: how many clicks follow that one, each into what the answer before got wrong.
        pointing: what is pointed at in the same scenes; nothing if the segmenter does not learn.
        features: the image encoder's of these scenes, float16; nothing if it reads the picture itself.
    """

    step: int
    words: WordBatch
    asked_again: torch.Tensor
    corrections: int
    pointing: list[Pointing]
    features: list[torch.Tensor]


class JointStage(nn.Module):
    """EVF-SAM's own training: words to masks, on cached features of the frozen image encoder."""

    name = "joint"

    def __init__(
        self, model: EvfSam, recipe: Recipe, heads: GroundingHeads, reader: PhraseReader, features: FeatureCache | None
    ):
        super().__init__()
        self.model, self.heads, self.recipe = model, heads, recipe
        self.config: StageConfig = getattr(recipe, self.name)
        self.reader, self.features = reader, features
        model.visual_model.requires_grad_(False)
        self.segmenter_parameters = self.learning_segmenter_parameters()
        for parameter in self.segmenter_parameters:
            parameter.requires_grad_(True)

    def learning_segmenter_parameters(self) -> list[nn.Parameter]:
        """The mask decoder, less what already went into the cached features (SAM-2's two 1 x 1 convolutions)."""
        segmenter = self.model.visual_model
        decoder = getattr(segmenter, "sam_mask_decoder", None) or segmenter.mask_decoder
        return [p for name, p in decoder.named_parameters() if not name.startswith(("conv_s0", "conv_s1"))]

    def image_features(self, batch: JointBatch) -> ImageFeatures:
        first, *others = batch.features
        return ImageFeatures(first.float(), tuple(level.float() for level in others))

    def parameter_groups(self) -> list[dict]:
        words = [self.model.mm_extractor, self.model.text_hidden_fcs, self.heads]
        rate = self.config.learning_rate * self.recipe.segmenter_rate
        return [
            {"params": [p for module in words for p in module.parameters()]},
            {"params": self.segmenter_parameters, "lr": rate},
        ]

    def batch(self, step: int) -> JointBatch:
        rng = generator(self.recipe.seed, self.name, step)
        words = self.reader.sample(self.config, rng, both_copies=self.features is None)
        if words.segmenter_pixels is not None and self.config.grey:
            words = words._replace(segmenter_pixels=self._greyed(words.segmenter_pixels, rng))
        pointing, size = [], self.reader.spec.image_size
        if self.segmenter_parameters:
            scenes = words.scenes.numpy()
            targets = sample_targets(self.reader.cache, scenes, self.config.prompts, rng, size // 4)
            pointing = sample_pointing(targets, rng, size)
        present = (words.coverage.flatten(1).amax(1) > 0.95).nonzero().flatten().numpy()
        again = torch.from_numpy(rng.permutation(present)[: max(1, len(words.coverage) // ASKED_AGAIN)])
        features = self.features.read(words.scenes) if self.features else []
        return JointBatch(step, words, again, sample_corrections(MOST_CORRECTIONS - 1, rng), pointing, features)

    def _greyed(self, pixels: torch.Tensor, rng) -> torch.Tensor:
        """Normalised pixels (B, 3, S, S), a share of the pictures without colour."""
        spec = self.reader.spec
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
        grey = ((pixels * std + mean).mean(1, keepdim=True) - mean) / std
        chosen = torch.from_numpy(rng.random(len(pixels)) < self.config.grey)
        return torch.where(chosen.view(-1, 1, 1, 1), grey, pixels)

    def forward(self, batch: JointBatch) -> dict[str, torch.Tensor]:
        words = batch.words
        rows, coverage, pixels, ids = words.scene_of_row, words.coverage, words.encoder_pixels, words.token_ids
        tokens = self.model.mm_extractor(pixels[rows], ids, ids.eq(PAD_ID))
        prompt_tokens = self.model.project(tokens)
        features = self.image_features(batch)
        decoded = self.model.decode(features.select(rows), prompt_tokens, multimask=False)
        losses = mask_losses(decoded, coverage)
        grounding = self.heads(self.model.mm_extractor.beit3, tokens, pixels, rows, words.token_coverage)
        losses["cls_hit"], losses["token_hit"] = grounding["cls_hit"], grounding["token_hit"]
        further = self.further(words, prompt_tokens, features, decoded)
        losses["loss"] = losses["loss"] + sum(further.values())
        losses |= further
        clicker = self.clicker(batch.step)
        again = self._corrected(features, prompt_tokens, batch, decoded, clicker)
        losses["loss"] = losses["loss"] + GROUNDING_WEIGHT * grounding["loss"] + CORRECTION_WEIGHT * again
        if batch.pointing:
            pointed = pointing_losses(self.model.visual_model, features, batch.pointing, clicker)
            losses["pointed_iou"] = pointed["iou"]
            losses["loss"] = losses["loss"] + POINTING_WEIGHT * pointed["loss"]
        return losses

    def further(
        self, words: WordBatch, prompt_tokens: torch.Tensor, features: ImageFeatures, decoded: MaskLogits
    ) -> dict[str, torch.Tensor]:
        """Scalar losses by name that a stage adds to those of its phrases' answers, each weighted already.

        Args:
            prompt_tokens, decoded: (P, 1, out_dim) and P masks, what the phrases gave.
            features: of B pictures.
        """
        return {}

    def _corrected(self, features, prompt_tokens, batch: JointBatch, decoded, clicker: Clicker) -> torch.Tensor:
        """The loss of some phrases asked again, with clicks that follow from the answers."""
        chosen, words = batch.asked_again, batch.words
        if not len(chosen):
            return torch.zeros((), device=chosen.device)
        coverage, seen = words.coverage[chosen], features.select(words.scene_of_row[chosen])

        def decode(points) -> MaskLogits:
            return self.model.decode(seen, prompt_tokens[chosen], points, multimask=False)

        clicks = [partial(clicker.second_clicks, words.one_thing[chosen]), *[clicker.corrections] * batch.corrections]
        again = corrected(decode, clicks, coverage, decoded.low_res_masks[chosen])
        return mask_losses(again, coverage)["loss"]

    def clicker(self, step: int) -> Clicker:
        return Clicker(generator(self.recipe.seed, f"{self.name} clicks", step), self.reader.spec.image_size)


class TogetherStage(JointStage):
    """The same with the image encoder learning too, once the fusion is there to be kept.

    Beyond the paper, which had SAM's features of a billion masks to freeze: ours are of a few thousand drawn
    scenes and were never asked what colour or kind a thing is.
    """

    name = "together"

    def learning_segmenter_parameters(self) -> list[nn.Parameter]:
        later = {id(p) for p in memory_parameters(self.model.visual_model)}
        return [p for p in self.model.visual_model.parameters() if id(p) not in later]

    def image_features(self, batch: JointBatch) -> ImageFeatures:
        return self.model.encode_image(batch.words.segmenter_pixels)


class PhotoStage(TogetherStage):
    """The same on rendered scenes and photographs: the reader's cache holds both, scenes first.

    Beside learning what is new, the model is to answer about rendered scenes what the checkpoint that it continues
    answers (Li and Hoiem, Learning without Forgetting, arXiv 1606.09282): the same prompt tokens, image features, masks
    and presence. A mask's label tells a step little of all that was learned; every cell of these does.

    Args:
        teach: :class:`WordBatch` -> what that checkpoint makes of it, without gradients: prompt tokens (P, 1, out_dim),
            features of B pictures, logits of P masks. A function, for that one is not learned and saved with this. None
            if there is nothing to keep.
    """

    name = "photo"

    def __init__(
        self, model: EvfSam, recipe: Recipe, heads: GroundingHeads, reader: PhraseReader, teach: Callable | None
    ):
        super().__init__(model, recipe, heads, reader, None)
        self.teach, self.drawn = teach, recipe.scenes + recipe.clip_frames

    def further(self, words, prompt_tokens, features, decoded) -> dict[str, torch.Tensor]:
        if self.teach is None:
            return {}
        drawn = (words.scenes < self.drawn).float()
        of_row = drawn[words.scene_of_row]
        prompt_tokens_before, features_before, before = self.teach(words)
        levels = (features.image_embeddings, *features.high_res_features)
        levels_before = (features_before.image_embeddings, *features_before.high_res_features)
        masks, masks_before = decoded.low_res_masks.float(), before.low_res_masks.float()
        wanted = masks_before.sigmoid()
        surprise = bce_loss(masks, wanted) - bce_loss(masks_before, wanted)
        presence, presence_before = (presence_logits(each).float().sigmoid() for each in (decoded, before))
        kept = (
            (of_row * _unexplained(prompt_tokens, prompt_tokens_before)).mean()
            + sum((drawn * _unexplained(own, of)).mean() for own, of in zip(levels, levels_before, strict=True))
            + MASKS_KEPT_WEIGHT * (of_row * surprise).mean()
            + (of_row * (presence - presence_before).square()).mean()
        )
        return {"kept": kept}


def _unexplained(own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """(N, ...) twice -> (N,): the squared differences as a share of the variance of all that is wanted."""
    wanted = wanted.float()
    return (own.float() - wanted).square().flatten(1).mean(1) / wanted.var()


class SharperStage(TogetherStage):
    """The same with a finer picture for the segmenter, where small things and parts are more than a cell or two."""

    name = "sharper"


class FinerStage(JointStage):
    """Encoder and projector go on with a finer copy of the picture, as BEIT-3 itself was fine-tuned on larger ones.

    Most of the lineage reads a coarse copy, which is quicker. The segmenter stays as it is, so pointing does too.
    """

    name = "finer"

    def learning_segmenter_parameters(self) -> list[nn.Parameter]:
        return []
