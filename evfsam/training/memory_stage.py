"""SAM-2's last step: the memory learns to follow things through clips, and the mask decoder to listen to it.

The image encoder and all that reads words stay as they are. The decoder learns, for it has never been asked without a
prompt; trials that froze it too learned next to nothing. So that it forgets neither words nor pointing, every step asks
it for both on a picture as well.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import FrameFeatures, Sam2Memory, memory_parameters
from evfsam.processing.inputs import prepare
from evfsam.processing.text import PAD_ID
from evfsam.training.clip_cache import ClipCache
from evfsam.training.config import Recipe
from evfsam.training.init import initialise_memory
from evfsam.training.losses import mask_losses
from evfsam.training.phrases import PhraseReader
from evfsam.training.pointing import pointing_losses
from evfsam.training.sampling import (
    SMALLEST_TARGET,
    boxes_of,
    generator,
    read_pictures,
    sample_clicks,
    sample_targets,
)
from evfsam.training.scene_cache import coverage_of
from evfsam.types import ImageFeatures, MaskLogits

CLIP_FRAMES = 8  # as SAM-2 trains
# Of the frames, those remembered as they truly are rather than as they were answered: at first nearly all answers are
# wrong, and a memory of wrong answers teaches not to look there.
TRUTH_SHARE = 0.4
SURE_LOGIT = 10.0
DECODER_RATE = 0.3  # of the memory's
PICTURE_PROMPTS = 6
PICTURE_WEIGHT = 0.5


class MemoryStage(nn.Module):
    """One clip a step, ``prompts`` things of it, prompted on the first frame by box and click; and one picture."""

    name = "memory"

    def __init__(self, model: EvfSam, recipe: Recipe, clips: ClipCache, reader: PhraseReader):
        super().__init__()
        self.model, self.config, self.seed = model, recipe.memory, recipe.seed
        self.clips, self.reader, self.spec = clips, reader, model.config.pixels
        model.requires_grad_(False)
        segmenter = model.visual_model
        self.learning = memory_parameters(segmenter)
        # Not the two convolutions that work on the picture: its features are computed without gradients.
        self.decoder = [
            parameter
            for name, parameter in segmenter.sam_mask_decoder.named_parameters()
            if not name.startswith(("conv_s0", "conv_s1"))
        ]
        for parameter in (*self.learning, *self.decoder):
            parameter.requires_grad_(True)
        pictures = clips.pictures_rgb[: min(4, len(clips)), 0]
        initialise_memory(segmenter, torch.cat([prepare(p, self.spec).segmenter_pixels for p in pictures]))

    def train(self, mode: bool = True) -> MemoryStage:
        # Evaluation mode throughout: prompted masks are binarised as when tracking, and nothing drops out.
        return super().train(False)

    def parameter_groups(self) -> list[dict]:
        return [
            {"params": self.learning},
            {"params": self.decoder, "lr": self.config.learning_rate * DECODER_RATE},
        ]

    def forward(self, step: int) -> dict[str, torch.Tensor]:
        rng = generator(self.seed, self.name, step)
        losses = self._clip_losses(rng)
        worded, pointed = self._picture_losses(rng)
        losses["worded_iou"], losses["pointed_iou"] = worded["iou"], pointed["iou"]
        losses["loss"] = losses["loss"] + PICTURE_WEIGHT * (worded["loss"] + pointed["loss"])
        return losses

    def _clip_losses(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        segmenter, device, size = self.model.visual_model, self.model.device, self.spec.image_size
        pictures, coverage = self._sample(rng)
        coverage = coverage.to(device)
        pixels = torch.cat([prepare(picture, self.spec).segmenter_pixels for picture in pictures])
        memory = Sam2Memory(segmenter)
        with torch.no_grad():
            frames = memory.encode_frame(pixels.to(device))
        bank, total = memory.new_bank(), defaultdict(float)
        for t in range(len(pictures)):
            frame = _frame(frames, t)
            if t == 0:
                first = coverage[0].cpu()
                points = tuple(part.to(device) for part in sample_clicks(first, 1, rng, size))
                boxes = boxes_of(first, rng, size).to(device)
                sparse, dense = segmenter.embed_prompts(points, boxes)
                masks = segmenter.decode(memory.without_memory(frame), sparse, dense, multimask=False)
            else:
                masks = memory.follow(frame, bank, t)
                for name, value in mask_losses(masks, coverage[t]).items():
                    total[name] = total[name] + value / (len(pictures) - 1)
            if rng.random() < TRUTH_SHARE:
                masks = _as_it_is(masks, coverage[t])
            memory.remember(bank, frame, t, masks, prompted=t == 0)
        return dict(total)

    def _picture_losses(self, rng: np.random.Generator) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Of words, and of clicks and boxes, on one picture without a memory."""
        model, device, size = self.model, self.model.device, self.spec.image_size
        batch = self.reader.sample(replace(self.config, scenes=1, prompts=PICTURE_PROMPTS), rng)
        with torch.no_grad():
            encoder_pixels, ids = self.reader(batch, device, rng)
            tokens = model.mm_extractor(encoder_pixels[batch.scene_of_row.to(device)], ids, ids.eq(PAD_ID))
            prompt_tokens = model.project(tokens)
            (picture,) = read_pictures(self.reader.cache, batch.scenes, rng, self.reader.variety)
            features = model.encode_image(prepare(picture, self.spec).segmenter_pixels.to(device))
        worded = mask_losses(model.decode(features, prompt_tokens, multimask=False), batch.coverage.to(device))
        targets = sample_targets(self.reader.cache, batch.scenes, PICTURE_PROMPTS, rng, batch.coverage.shape[-1])
        return worded, pointing_losses(model.visual_model, features, targets, rng, size)

    def _sample(self, rng):
        """CLIP_FRAMES pictures of one clip, forward or backward, and coverage float32 (T, P, g, g)."""
        grid = self.spec.image_size // 4
        while True:
            clip = int(rng.integers(len(self.clips)))
            stride = int(rng.integers(1, 3))
            frames = len(self.clips.part_maps[clip])
            start = int(rng.integers(frames - (CLIP_FRAMES - 1) * stride))
            order = start + stride * torch.arange(CLIP_FRAMES).numpy()
            if rng.random() < 0.5:
                order = order[::-1]
            maps = self.clips.part_maps[clip][order]
            things = [ids for ids in self.clips.things[clip] if _area(maps[0], ids) > SMALLEST_TARGET]
            if things:
                break
        # Those that go out of sight first: there are few of them, and they are the hard ones.
        hidden = sorted(
            rng.permutation(len(things)), key=lambda i: min(_area(part_map, things[i]) for part_map in maps)
        )
        chosen = [things[i] for i in hidden[: self.config.prompts]]
        coverage = [[torch.from_numpy(coverage_of(part_map, ids, grid)) for ids in chosen] for part_map in maps]
        return self.clips.pictures_rgb[clip][order], torch.stack([torch.stack(row) for row in coverage])


def _frame(frames: FrameFeatures, t: int) -> FrameFeatures:
    """One of several, as if it had been encoded by itself."""
    image = frames.image
    high_res = tuple(level[t : t + 1] for level in image.high_res_features)
    return FrameFeatures(ImageFeatures(image.image_embeddings[t : t + 1], high_res), frames.position[t : t + 1])


def _as_it_is(masks: MaskLogits, coverage: torch.Tensor) -> MaskLogits:
    """An answer with the true masks and the true presence in it, (P, g, g) in 0..1."""
    present = coverage.flatten(1).amax(1) > 0.5
    return replace(
        masks,
        low_res_masks=(2 * coverage - 1) * SURE_LOGIT,
        object_score_logits=torch.where(present, SURE_LOGIT, -SURE_LOGIT),
    )


def _area(part_map, ids) -> float:
    return float(sum((part_map == i).mean() for i in ids))
