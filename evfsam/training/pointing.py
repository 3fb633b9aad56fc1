"""The segmenter's own training: masks from clicks and boxes, no words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import memory_parameters
from evfsam.processing.inputs import segmenter_pixels
from evfsam.training.config import Recipe
from evfsam.training.losses import mask_losses
from evfsam.training.sampling import Clicker, Pointing, generator, read_pictures, sample_pointing, sample_targets
from evfsam.training.scene_cache import SceneCache
from evfsam.types import ImageFeatures, MaskLogits

Points = tuple[torch.Tensor, torch.Tensor]  # float32 (P, N, 2) and int64 (P, N), see :meth:`EvfSam.decode`


class PointingBatch(NamedTuple):
    """Some pictures, float32 (B, 3, S, S), and what is pointed at in them."""

    step: int
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
        return PointingBatch(step, pixels, sample_pointing(targets, rng, size))

    def forward(self, batch: PointingBatch) -> dict[str, torch.Tensor]:
        clicker = Clicker(generator(self.seed, f"{self.name} clicks", batch.step), self.spec.image_size)
        features = self.segmenter.encode_image(batch.segmenter_pixels)
        return pointing_losses(self.segmenter, features, batch.pointing, clicker)


def pointing_losses(
    segmenter: nn.Module, features: ImageFeatures, pointing: Sequence[Pointing], clicker: Clicker
) -> dict[str, torch.Tensor]:
    """Mean losses of masks asked for by clicks, by a box, or by both; where it is corrected, of the first and the last.

    Args:
        features: of B pictures, as ``encode_image`` gives them.
        pointing: things in them.
        clicker: sets the corrections.

    Returns scalar tensors by name, as :func:`mask_losses`.
    """
    count = sum(len(group.coverage) for group in pointing)
    total: dict[str, torch.Tensor] = {}
    for group in pointing:
        seen = features.select(group.scene_of_row)

        def decode(points, seen=seen, boxes=group.boxes) -> MaskLogits:
            return segmenter.decode(seen, *segmenter.embed_prompts(points, boxes), multimask=False)

        answers = [decode(group.points)]
        if group.corrections:
            clicks = [clicker.corrections] * group.corrections
            answers.append(corrected(decode, clicks, group.coverage, answers[0].low_res_masks, group.points))
        share = len(group.coverage) / count / len(answers)
        for answer in answers:
            for name, loss in mask_losses(answer, group.coverage).items():
                total[name] = total.get(name, 0) + loss * share
    return total


def corrected(
    decode: Callable[[Points], MaskLogits],
    clicks: Sequence[Callable[[torch.Tensor, torch.Tensor], Points]],
    coverage: torch.Tensor,
    mask_logits: torch.Tensor,
    points: Points | None = None,
) -> MaskLogits:
    """What P prompts are answered after some more clicks, each set by the answer before it.

    Segment Anything learned clicks so (arXiv 2304.02643, appendix A, "training algorithm"), but from every answer on
    the way; here only the last one has gradients.

    Args:
        decode: all points so far -> masks.
        clicks: at least one; coverage, logits -> one point a row.
        coverage: float (P, g, g), 0..1, what is meant.
        mask_logits: (P, g, g), the first answer.
        points: those that it followed from.
    """
    learning = torch.is_grad_enabled()
    for number, click in enumerate(clicks, 1):
        more = click(coverage, mask_logits.detach().float())
        points = more if points is None else tuple(torch.cat(pair, 1) for pair in zip(points, more, strict=True))
        with torch.set_grad_enabled(learning and number == len(clicks)):
            answer = decode(points)
        mask_logits = answer.low_res_masks
    return answer
