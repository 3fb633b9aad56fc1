"""SAM-2's last step: the memory learns to follow things through clips, and the mask decoder to listen to it.

The image encoder and all that reads words stay as they are. The decoder learns, for it has never been asked without a
prompt; trials that froze it too learned next to nothing. So that it forgets neither words nor pointing, every step asks
it for both on a picture as well.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import FrameFeatures, Sam2Memory, memory_parameters
from evfsam.processing.inputs import segmenter_pixels
from evfsam.processing.text import PAD_ID
from evfsam.training.clip_cache import ClipCache
from evfsam.training.config import Recipe
from evfsam.training.init import initialise_memory
from evfsam.training.losses import mask_losses
from evfsam.training.phrases import PhraseReader, WordBatch
from evfsam.training.pointing import pointing_losses
from evfsam.training.sampling import (
    SMALLEST_TARGET,
    Clicker,
    Pointing,
    boxes_of,
    generator,
    sample_clicks,
    sample_pointing,
    sample_targets,
)
from evfsam.training.scene_cache import coverage_of
from evfsam.types import MaskLogits

CLIP_FRAMES = 8  # as SAM-2 trains
# Of the frames, those remembered as they truly are rather than as they were answered: at first nearly all answers are
# wrong, and a memory of wrong answers teaches not to look there.
TRUTH_SHARE = 0.4
SURE_LOGIT = 10.0
DECODER_RATE = 0.3  # of the memory's
PICTURE_PROMPTS = 6
PICTURE_WEIGHT = 0.5


class MemoryBatch(NamedTuple):
    """P things in some clips of T frames each, and phrases and pointing on some pictures.

    Attributes:
        frame_pixels: float32 (clips, T, 3, S, S).
        first: the things where the clips begin, ``scene_of_row`` telling the clip; by box and click.
        coverage: float32 (T, P, g, g), 0..1.
        truth: for each frame, whether it is remembered as it truly is.
        words, pointing: of the pictures.
    """

    step: int
    frame_pixels: torch.Tensor
    first: Pointing
    coverage: torch.Tensor
    truth: list[bool]
    words: WordBatch
    pointing: list[Pointing]


class MemoryStage(nn.Module):
    """``scenes`` clips a step, ``prompts`` things of each, prompted on the first frame; and as many pictures."""

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
        initialise_memory(segmenter, torch.cat([segmenter_pixels(p, self.spec)[0] for p in pictures]))

    def train(self, mode: bool = True) -> MemoryStage:
        # Evaluation mode throughout: prompted masks are binarised as when tracking, and nothing drops out.
        return super().train(False)

    def parameter_groups(self) -> list[dict]:
        return [
            {"params": self.learning},
            {"params": self.decoder, "lr": self.config.learning_rate * DECODER_RATE},
        ]

    def batch(self, step: int) -> MemoryBatch:
        rng, size = generator(self.seed, self.name, step), self.spec.image_size
        sampled = [self._sample(rng) for _ in range(self.config.scenes)]
        pixels = torch.stack(
            [torch.cat([segmenter_pixels(picture, self.spec)[0] for picture in clip]) for clip, _ in sampled]
        )
        clip_of_row = torch.cat([torch.full((things.shape[1],), i) for i, (_, things) in enumerate(sampled)])
        coverage = torch.cat([things for _, things in sampled], 1)
        at_first = (sample_clicks(coverage[0], 1, rng, size), boxes_of(coverage[0], rng, size))
        truth = [bool(rng.random() < TRUTH_SHARE) for _ in range(CLIP_FRAMES)]
        words = self.reader.sample(replace(self.config, prompts=PICTURE_PROMPTS), rng, both_copies=True)
        targets = sample_targets(self.reader.cache, words.scenes.numpy(), PICTURE_PROMPTS, rng, size // 4)
        first = Pointing(clip_of_row, coverage[0], *at_first)
        return MemoryBatch(step, pixels, first, coverage, truth, words, sample_pointing(targets, rng, size))

    def forward(self, batch: MemoryBatch) -> dict[str, torch.Tensor]:
        losses = self._clip_losses(batch)
        worded, pointed = self._picture_losses(batch)
        losses["worded_iou"], losses["pointed_iou"] = worded["iou"], pointed["iou"]
        losses["loss"] = losses["loss"] + PICTURE_WEIGHT * (worded["loss"] + pointed["loss"])
        return losses

    def _clip_losses(self, batch: MemoryBatch) -> dict[str, torch.Tensor]:
        segmenter, clip_of_row = self.model.visual_model, batch.first.scene_of_row
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

    def _picture_losses(self, batch: MemoryBatch) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Of words, and of clicks and boxes, on pictures without a memory."""
        model, words = self.model, batch.words
        rows, ids = words.scene_of_row, words.token_ids
        with torch.no_grad():
            prompt_tokens = model.project(model.mm_extractor(words.encoder_pixels[rows], ids, ids.eq(PAD_ID)))
            features = model.encode_image(words.segmenter_pixels)
        worded = mask_losses(model.decode(features.select(rows), prompt_tokens, multimask=False), words.coverage)
        clicker = Clicker(generator(self.seed, f"{self.name} clicks", batch.step), self.spec.image_size)
        return worded, pointing_losses(model.visual_model, features, batch.pointing, clicker)

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
