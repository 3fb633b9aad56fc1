"""The segmenter's own training: masks from clicks and boxes, no words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import memory_parameters
from evfsam.processing.inputs import segmenter_pixels
from evfsam.training.config import Recipe
from evfsam.training.losses import mask_losses
from evfsam.training.sampling import Pointing, generator, read_pictures, sample_pointing, sample_targets
from evfsam.training.scene_cache import SceneCache
from evfsam.types import ImageFeatures


class PointingBatch(NamedTuple):
    """Some pictures, float32 (B, 3, S, S), and what is pointed at in them."""

    segmenter_pixels: torch.Tensor
    pointing: list[Pointing]


class SegmenterStage(nn.Module):
    """The segmenter learns from clicks and boxes on things, stuff and parts."""

    name = "segmenter"

    def __init__(self, model: EvfSam, recipe: Recipe, cache: SceneCache):
        super().__init__()
        self.segmenter, self.config = model.visual_model, recipe.segmenter
        self.cache, self.seed, self.spec = cache, recipe.seed, model.config.pixels
        self.variety = recipe.variety

    def parameter_groups(self) -> list[dict]:
        later = {id(p) for p in memory_parameters(self.segmenter)}
        return [{"params": [p for p in self.segmenter.parameters() if id(p) not in later]}]

    def batch(self, step: int) -> PointingBatch:
        rng = generator(self.seed, self.name, step)
        scenes, size = rng.integers(len(self.cache), size=self.config.scenes), self.spec.image_size
        targets = sample_targets(self.cache, scenes, self.config.prompts, rng, size // 4)
        pictures = read_pictures(self.cache, scenes, rng, self.variety)
        pixels = torch.cat([segmenter_pixels(picture, self.spec)[0] for picture in pictures])
        return PointingBatch(pixels, sample_pointing(targets, rng, size))

    def forward(self, batch: PointingBatch) -> dict[str, torch.Tensor]:
        return pointing_losses(self.segmenter, self.segmenter.encode_image(batch.segmenter_pixels), batch.pointing)


def pointing_losses(
    segmenter: nn.Module, features: ImageFeatures, pointing: Sequence[Pointing]
) -> dict[str, torch.Tensor]:
    """Mean losses of masks asked for by clicks, by a box, or by both.

    Args:
        features: of B pictures, as ``encode_image`` gives them.
        pointing: things in them.

    Returns scalar tensors by name, as :func:`mask_losses`.
    """
    count = sum(len(group.coverage) for group in pointing)
    decoded = []
    for rows, coverage, points, boxes in pointing:
        sparse, dense = segmenter.embed_prompts(points, boxes)
        masks = segmenter.decode(features.select(rows), sparse, dense, multimask=False)
        decoded.append((mask_losses(masks, coverage), len(coverage) / count))
    return {name: sum(losses[name] * share for losses, share in decoded) for name in decoded[0][0]}
