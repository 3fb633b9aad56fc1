"""The segmenter's own training: masks from clicks and boxes, no words."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import memory_parameters
from evfsam.processing.inputs import prepare
from evfsam.training.config import Recipe
from evfsam.training.losses import mask_losses
from evfsam.training.sampling import Targets, boxes_of, generator, read_pictures, sample_clicks, sample_targets
from evfsam.training.scene_cache import SceneCache
from evfsam.types import ImageFeatures


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

    def forward(self, step: int) -> dict[str, torch.Tensor]:
        rng = generator(self.seed, self.name, step)
        scenes = rng.integers(len(self.cache), size=self.config.scenes)
        targets = sample_targets(self.cache, scenes, self.config.prompts, rng, self.spec.image_size // 4)
        pictures = read_pictures(self.cache, scenes, rng, self.variety)
        pixels = [prepare(picture, self.spec).segmenter_pixels for picture in pictures]
        features = self.segmenter.encode_image(torch.cat(pixels).to(next(self.parameters()).device))
        return pointing_losses(self.segmenter, features, targets, rng, self.spec.image_size)


def pointing_losses(
    segmenter: nn.Module, features: ImageFeatures, targets: Targets, rng: np.random.Generator, image_size: int
) -> dict[str, torch.Tensor]:
    """Mean losses of masks asked for by clicks, by a box, or by both.

    Args:
        features: of B pictures, as ``encode_image`` gives them.
        targets: P things in them.
        image_size: of the segmenter's square input, in pixels; clicks and boxes are in these.

    Returns scalar tensors by name, as :func:`mask_losses`.
    """
    device, count = features.image_embeddings.device, len(targets.coverage)
    # A box tells a window from its house; a lone click means the whole. So parts always get a box.
    boxed = targets.is_part | torch.from_numpy(rng.random(count) < 0.4)
    decoded = []
    for chosen, with_box in ((boxed, True), (~boxed, False)):
        chosen = chosen.nonzero().flatten()
        if not len(chosen):
            continue
        coverage = targets.coverage[chosen]
        clicks = sample_clicks(coverage, int(rng.integers(1, 5)), rng, image_size)
        points = tuple(part.to(device) for part in clicks)
        boxes = boxes_of(coverage, rng, image_size).to(device) if with_box else None
        if with_box and rng.random() < 0.5:
            points = None
        sparse, dense = segmenter.embed_prompts(points, boxes)
        rows = targets.scene_of_row[chosen].to(device)
        masks = segmenter.decode(features.select(rows), sparse, dense, multimask=False)
        decoded.append((mask_losses(masks, coverage.to(device)), len(chosen) / count))
    return {name: sum(losses[name] * share for losses, share in decoded) for name in decoded[0][0]}
