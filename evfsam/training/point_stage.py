"""Stages without words: the segmenter learns from point and box prompts, or its image encoder from a teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.processing.inputs import segmenter_pixels
from evfsam.training.config import Stage
from evfsam.training.init import fit_normalisation
from evfsam.training.point_prompts import PointPrompts, PointSimulator, point_losses, sample_point_prompts
from evfsam.training.sampler import Sampler, generator

FITTED_IMAGES = 16


class PointBatch(NamedTuple):
    """B images and the point prompts in them.

    Attributes:
        step: its number.
        segmenter_pixels: float32 (B, 3, S, S), a share of them in other light or quality.
        unchanged: the same, none of them varied; nothing without a teacher.
        prompts: none without the loss "points".
    """

    step: int
    segmenter_pixels: torch.Tensor
    unchanged: list[torch.Tensor]
    prompts: list[PointPrompts]


class PointStage(nn.Module):
    """Losses "points" and "features".

    "features" pulls the image encoder's features to the teacher's, so that the teacher's own mask decoder can read
    them (MobileSAM, arXiv 2306.14289, section 3.2, "decoupled distillation"). Each cell of each image gives a
    gradient. Hundreds of steps with points alone hardly changed a plain ViT.

    Args:
        teach: normalised pixels (B, 3, S, S) -> the teacher's features (B, C, h, w), without gradients. A function,
            because the teacher is neither learned nor saved. Needed for "features" only.
    """

    def __init__(self, model: EvfSam, stage: Stage, sampler: Sampler, seed: int, teach: Callable | None = None):
        super().__init__()
        self.model, self.stage, self.sampler, self.seed, self.teach = model, stage, sampler, seed, teach
        if "features" in stage.losses:
            self._fit_last_normalisation()

    def batch(self, step: int) -> PointBatch:
        """What a step learns from; the same step always gives the same."""
        rng, losses = generator(self.seed, self.stage.name, step), self.stage.losses
        _, samples = self.sampler.samples(self.stage, rng)
        unchanged = [self._pixels([sample.image for sample in samples])] if "features" in losses else []
        targets = self.sampler.point_targets(samples, self.stage.prompts, rng) if "points" in losses else None
        pixels = self._pixels(self.sampler.images(samples, rng))
        prompts = sample_point_prompts(targets, rng, self.sampler.spec.image_size) if targets else []
        return PointBatch(step, pixels, unchanged, prompts)

    def forward(self, batch: PointBatch) -> dict[str, torch.Tensor]:
        """Scalar losses by name. "features" is the share of the teacher's variance that is not explained."""
        features = self.model.encode_image(batch.segmenter_pixels)
        losses, total = {}, torch.zeros((), device=batch.segmenter_pixels.device)
        if batch.prompts:
            rng = generator(self.seed, f"{self.stage.name} clicks", batch.step)
            simulator = PointSimulator(rng, self.sampler.spec.image_size)
            losses = point_losses(self.model.visual_model, features, batch.prompts, simulator)
            total = total + self.stage.losses["points"] * losses["loss"]
        for unchanged in batch.unchanged:
            wanted = self.teach(unchanged)
            variance = (wanted - wanted.mean((0, 2, 3), keepdim=True)).square().mean()
            losses["features"] = (features.image_embeddings - wanted).square().mean() / variance
            total = total + self.stage.losses["features"] * losses["features"]
        return losses | {"loss": total}

    def _pixels(self, images) -> torch.Tensor:
        return torch.cat([segmenter_pixels(image, self.sampler.spec)[0] for image in images])

    def _fit_last_normalisation(self) -> None:
        """Give the last normalisation the teacher's mean and scale of each channel, as near as it can come."""
        data = self.sampler.data
        pixels = self._pixels([data[i].image for i in range(min(FITTED_IMAGES, len(data)))])
        wanted = self.teach(pixels.to(self.model.device))
        cells = wanted.flatten(2).transpose(1, 2).flatten(0, 1)
        fit_normalisation(self.model.visual_model.image_encoder.neck[-1], cells, cells)
