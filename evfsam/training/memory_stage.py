"""SAM-2's last step: the memory modules learn to follow things through clips, all else frozen.

Frozen, so that a checkpoint answers on pictures exactly as it did before; the memory has to speak to the decoder
as it is (an empty prompt, the frame's features bent by what is remembered).
"""

from __future__ import annotations

import torch
from torch import nn

from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import Sam2Memory
from evfsam.processing.inputs import prepare
from evfsam.training.clip_cache import ClipCache
from evfsam.training.config import Recipe
from evfsam.training.losses import mask_losses
from evfsam.training.sampling import SMALLEST_TARGET, boxes_of, generator, sample_clicks
from evfsam.training.scene_cache import coverage_of

CLIP_FRAMES = 8  # as SAM-2 trains
MEMORY_MODULES = (
    "memory_attention",
    "memory_encoder",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "mask_downsample",
    "obj_ptr_proj",
    "no_obj_ptr",
)


def memory_parameters(segmenter: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in segmenter.named_parameters() if name.startswith(MEMORY_MODULES)]


class MemoryStage(nn.Module):
    """One clip a step, ``prompts`` things of it, prompted on the first frame by box and click."""

    name = "memory"

    def __init__(self, model: EvfSam, recipe: Recipe, clips: ClipCache):
        super().__init__()
        self.segmenter, self.config = model.visual_model, recipe.memory
        self.clips, self.seed, self.spec = clips, recipe.seed, model.config.pixels
        self.segmenter.requires_grad_(False)
        for parameter in memory_parameters(self.segmenter):
            parameter.requires_grad_(True)

    def train(self, mode: bool = True) -> MemoryStage:
        # Evaluation mode throughout: prompted masks are binarised as when tracking, and nothing drops out.
        return super().train(False)

    def parameter_groups(self) -> list[dict]:
        return [{"params": memory_parameters(self.segmenter)}]

    def forward(self, step: int) -> dict[str, torch.Tensor]:
        rng = generator(self.seed, self.name, step)
        size, device = self.spec.image_size, next(self.parameters()).device
        pictures, coverage = self._sample(rng)
        coverage = coverage.to(device)
        pixels = torch.cat([prepare(picture, self.spec).segmenter_pixels for picture in pictures])
        memory = Sam2Memory(self.segmenter)
        bank, total = memory.new_bank(), {}
        for t in range(len(pictures)):
            with torch.no_grad():
                frame = memory.encode_frame(pixels[t : t + 1].to(device))
            if t == 0:
                first = coverage[0].cpu()
                points = tuple(part.to(device) for part in sample_clicks(first, 1, rng, size))
                boxes = boxes_of(first, rng, size).to(device)
                sparse, dense = self.segmenter.embed_prompts(points, boxes)
                masks = self.segmenter.decode(memory.without_memory(frame), sparse, dense, multimask=False)
            else:
                masks = memory.follow(frame, bank, t)
                for name, value in mask_losses(masks, coverage[t]).items():
                    total[name] = total.get(name, 0) + value / (len(pictures) - 1)
            memory.remember(bank, frame, t, masks, prompted=t == 0)
        return total

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


def _area(part_map, ids) -> float:
    return float(sum((part_map == i).mean() for i in ids))
