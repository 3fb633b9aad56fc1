"""The image encoder learns to see as another segmenter's does.

As MobileSAM did (arXiv 2306.14289, section 3.2, "decoupled distillation"): the student's features are pulled to the
teacher's, so that the teacher's own mask decoder can read them. Every cell of every picture teaches something, where a
mask teaches a plain ViT so little at first that hundreds of steps with clicks left it where it was.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.processing.inputs import segmenter_pixels
from evfsam.training.config import Recipe
from evfsam.training.init import fit_normalisation
from evfsam.training.sampling import generator, read_pictures
from evfsam.training.scene_cache import SceneCache

FITTED_PICTURES = 16


class DistilStage(nn.Module):
    """The image encoder alone learns, from pictures without a question.

    Args:
        model: the student; its segmenter's features have the shape of the teacher's.
        teach: normalised pixels (B, 3, image_size, image_size) -> the teacher's features of them (B, C, h, w), without
            gradients. A function, for the teacher is no part of what is learned and kept.
        device: where the teacher is.
    """

    name = "distil"

    def __init__(self, model: EvfSam, recipe: Recipe, cache: SceneCache, teach: Callable, device: torch.device):
        super().__init__()
        self.model, self.recipe, self.config = model.to(device), recipe, recipe.distil
        self.cache, self.spec, self.teach = cache, model.config.pixels, teach
        model.requires_grad_(False)
        model.visual_model.image_encoder.requires_grad_(True)
        self._start()

    def parameter_groups(self) -> list[dict]:
        return [{"params": list(self.model.visual_model.image_encoder.parameters())}]

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures as they were drawn and the same in any light, float32 (B, 3, image_size, image_size) each."""
        rng = generator(self.recipe.seed, self.name, step)
        scenes = rng.integers(len(self.cache), size=self.config.scenes)
        return tuple(self._pixels(read_pictures(self.cache, scenes, rng, v)) for v in (0.0, self.recipe.variety))

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The share of the teacher's variance that is not explained.

        The teacher looks at the picture as it was drawn, so the student learns to see through noise and darkness.
        """
        as_drawn, varied = batch
        wanted = self.teach(as_drawn)
        seen = self.model.encode_image(varied).image_embeddings
        variance = (wanted - wanted.mean((0, 2, 3), keepdim=True)).square().mean()
        return {"loss": (seen - wanted).square().mean() / variance}

    def _pixels(self, pictures: list[np.ndarray]) -> torch.Tensor:
        return torch.cat([segmenter_pixels(picture, self.spec)[0] for picture in pictures])

    def _start(self) -> None:
        """Give the last normalisation the teacher's mean and scale of each channel, as near as it can come."""
        scenes = np.arange(min(FITTED_PICTURES, len(self.cache)))
        pixels = self._pixels(read_pictures(self.cache, scenes, np.random.default_rng(0)))
        wanted = self.teach(pixels.to(self.model.device))
        cells = wanted.flatten(2).transpose(1, 2).flatten(0, 1)
        fit_normalisation(self.model.visual_model.image_encoder.neck[-1], cells, cells)
