"""SAM-2's last step: the memory learns to follow things through clips, and the mask decoder learns to use it.

The image encoder, the encoder and the projector are frozen. The decoder learns, because it was never trained on frames
without a prompt; trials with a frozen decoder learned almost nothing. Every step also trains it on text and point
prompts on images, so that it does not forget them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import FrameFeatures, Sam2Memory
from evfsam.processing.inputs import segmenter_pixels
from evfsam.training.cache import CachedClips, mask_of
from evfsam.training.config import Stage
from evfsam.training.init import initialise_memory
from evfsam.training.losses import mask_losses
from evfsam.training.point_prompts import (
    PointPrompts,
    PointSimulator,
    point_losses,
    sample_boxes,
    sample_point_prompts,
    sample_points,
)
from evfsam.training.sampler import SMALLEST_TARGET, PhraseBatch, Sampler, coverage_of, generator
from evfsam.types import MaskLogits

CLIP_FRAMES = 8  # as SAM-2 trains
# Share of frames that are remembered as they truly are and not as they were answered: at first nearly all answers are
# wrong, and a memory of wrong answers teaches not to look there.
TRUTH_SHARE = 0.4
SURE_LOGIT = 10.0
IMAGE_PROMPTS = 6


class MemoryBatch(NamedTuple):
    """P things in some clips of T frames each, and prompts of both kinds on some images.

    Attributes:
        frame_pixels: float32 (clips, T, 3, S, S).
        first: box and point prompts on the first frames; ``image_of_row`` is the clip.
        coverage: float32 (T, P, g, g), 0..1.
        truth: for each frame, whether it is remembered as it truly is.
        words, point_prompts: of the images.
    """

    step: int
    frame_pixels: torch.Tensor
    first: PointPrompts
    coverage: torch.Tensor
    truth: list[bool]
    words: PhraseBatch
    point_prompts: list[PointPrompts]


class MemoryStage(nn.Module):
    """Losses "clips", "masks" and "points".

    ``stage.images`` clips in a batch, ``stage.prompts`` things of each, prompted on the first frame; and as many
    images.
    """

    def __init__(self, model: EvfSam, stage: Stage, sampler: Sampler, seed: int, clips: CachedClips):
        super().__init__()
        self.model, self.stage, self.sampler, self.seed, self.clips = model, stage, sampler, seed, clips
        images = clips.images[: min(4, len(clips)), 0]
        initialise_memory(model.visual_model, self._pixels(images))

    def train(self, mode: bool = True) -> MemoryStage:
        # Evaluation mode throughout: prompted masks are binarised as when tracking, and nothing drops out.
        return super().train(False)

    def batch(self, step: int) -> MemoryBatch:
        """What a step learns from; the same step always gives the same."""
        rng, size = generator(self.seed, self.stage.name, step), self.sampler.spec.image_size
        sampled = [self._sample(rng) for _ in range(self.stage.images)]
        pixels = torch.stack([self._pixels(clip) for clip, _ in sampled])
        clip_of_row = torch.cat([torch.full((things.shape[1],), i) for i, (_, things) in enumerate(sampled)])
        coverage = torch.cat([things for _, things in sampled], 1)
        at_first = (sample_points(coverage[0], 1, rng, size), sample_boxes(coverage[0], rng, size))
        truth = [bool(rng.random() < TRUTH_SHARE) for _ in range(CLIP_FRAMES)]
        words, samples = self.sampler.phrases(replace(self.stage, prompts=IMAGE_PROMPTS), rng)
        targets = self.sampler.point_targets(samples, IMAGE_PROMPTS, rng)
        first = PointPrompts(clip_of_row, coverage[0], *at_first)
        return MemoryBatch(step, pixels, first, coverage, truth, words, sample_point_prompts(targets, rng, size))

    def forward(self, batch: MemoryBatch) -> dict[str, torch.Tensor]:
        """Scalar losses by name; ``loss`` is their sum in the weights of the stage."""
        losses = self._clip_losses(batch)
        worded, pointed = self._image_losses(batch)
        losses["worded_iou"], losses["pointed_iou"] = worded["iou"], pointed["iou"]
        parts = {"clips": losses["loss"], "masks": worded["loss"], "points": pointed["loss"]}
        losses["loss"] = sum(weight * parts[name] for name, weight in self.stage.losses.items())
        return losses

    def _clip_losses(self, batch: MemoryBatch) -> dict[str, torch.Tensor]:
        segmenter, clip_of_row = self.model.visual_model, batch.first.image_of_row
        memory = Sam2Memory(segmenter)
        length = batch.frame_pixels.shape[1]
        with torch.no_grad():
            frames = memory.encode_frame(batch.frame_pixels.flatten(0, 1))
        bank, total = memory.new_bank(), defaultdict(float)
        for t in range(length):
            at_t = clip_of_row * length + t
            frame = FrameFeatures(frames.image.select(at_t), frames.position[at_t])
            if t == 0:
                sparse, dense = segmenter.embed_prompts(batch.first.points, batch.first.boxes)
                masks = segmenter.decode(memory.without_memory(frame), sparse, dense, multimask=False)
            else:
                masks = memory.track(frame, bank, t)
                for name, value in mask_losses(masks, batch.coverage[t]).items():
                    total[name] = total[name] + value / (length - 1)
            if batch.truth[t]:
                masks = _as_it_is(masks, batch.coverage[t])
            memory.remember(bank, frame, t, masks, prompted=t == 0)
        return dict(total)

    def _image_losses(self, batch: MemoryBatch) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Of prompts in words, and of point prompts, on images without a memory."""
        model, words = self.model, batch.words
        rows = words.image_of_row
        with torch.no_grad():
            tokens = model.mm_extractor(words.encoder_pixels, words.token_ids, words.padding_mask, rows)
            prompt_tokens = model.project(tokens)
            features = model.encode_image(words.segmenter_pixels)
        worded = mask_losses(model.decode(features.select(rows), prompt_tokens, multimask=False), words.coverage)
        rng = generator(self.seed, f"{self.stage.name} clicks", batch.step)
        simulator = PointSimulator(rng, self.sampler.spec.image_size)
        return worded, point_losses(model.visual_model, features, batch.point_prompts, simulator)

    def _pixels(self, images) -> torch.Tensor:
        return torch.cat([segmenter_pixels(image, self.sampler.spec)[0] for image in images])

    def _sample(self, rng):
        """CLIP_FRAMES images of one clip, forward or backward, and coverage float32 (T, P, g, g)."""
        grid = self.sampler.spec.image_size // 4
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
        chosen = [things[i] for i in hidden[: self.stage.prompts]]
        coverage = np.stack([[coverage_of(mask_of(part_map, ids), grid) for ids in chosen] for part_map in maps])
        return self.clips.images[clip][order], torch.from_numpy(coverage)


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
