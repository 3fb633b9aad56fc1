"""The rendered world as data sets: one scene or clip per seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evfsam.data.sample import ABSENT, PART, REFERRING, SEMANTIC, Prompt, Sample, VideoSample
from evfsam.data.scenes import language
from evfsam.data.scenes.clips import ClipExpression, clip_expressions, make_clip
from evfsam.data.scenes.language import Expression, expressions
from evfsam.data.scenes.layout import make_scene
from evfsam.data.scenes.render import render
from evfsam.data.scenes.splits import SEEDS
from evfsam.errors import InputError

SCENE_SIZE_HW = (320, 320)
CLIP_SIZE_HW = (256, 256)
CLIP_FRAMES = 48
KINDS = {
    **{kind: f"{REFERRING}/{kind}" for kind in language.REFERRING},
    language.STUFF: f"{SEMANTIC}/stuff",
    language.THINGS: f"{SEMANTIC}/things",
    language.PARTS: PART,
    language.ABSENT: ABSENT,
}


class _Rendered:
    """What scenes and clips share: seeds, an image size, a name."""

    def __init__(self, kind: str, seeds: range, size_hw: tuple[int, int]):
        if not len(seeds) or seeds[0] < 0 or min(size_hw) < 16:
            raise InputError("Rendering needs a count from 1, a seed from 0 and images of 16 pixels or more.")
        self.seeds, self.size_hw = seeds, size_hw
        self.name = f"{kind} from seed {seeds[0]}, {size_hw[1]} x {size_hw[0]} px"

    def __len__(self) -> int:
        return len(self.seeds)


class SceneDataset(_Rendered):
    """One scene per seed, with about 20 to 40 prompts of the kinds in :data:`KINDS`.

    Args:
        seeds: which scenes. Seeds from 900000 are kept for tests (:mod:`evfsam.data.scenes.splits`).
        size_hw: of the images, in pixels.

    Raises InputError if there are no seeds, one is negative, or the images are smaller than 16 pixels.
    """

    def __init__(self, seeds: range, size_hw: tuple[int, int] = SCENE_SIZE_HW):
        super().__init__("scenes", seeds, size_hw)

    def __getitem__(self, index: int) -> Sample:
        seed = self.seeds[index]
        scene = make_scene(seed, self.size_hw[1] / self.size_hw[0])
        drawn = render(scene, self.size_hw)
        prompts = tuple(_prompt(expression, drawn.part_map) for expression in expressions(scene))
        return Sample(f"scene {seed}", drawn.image, prompts, {"seed": seed})


class ClipDataset(_Rendered):
    """One clip per seed, with one prompt: an object that vanishes and comes back where there is one.

    A clip without an object worth following has no prompt. Arguments and errors are those of :class:`SceneDataset`.
    """

    def __init__(self, seeds: range, size_hw: tuple[int, int] = CLIP_SIZE_HW, frames: int = CLIP_FRAMES):
        super().__init__("clips", seeds, size_hw)
        self.frames = frames

    def __getitem__(self, index: int) -> VideoSample:
        seed = self.seeds[index]
        clip = make_clip(seed, self.frames, self.size_hw[1] / self.size_hw[0])
        found = sorted(clip_expressions(clip), key=lambda expression: not expression.returns)
        drawn = [render(clip.frame(t), self.size_hw) for t in range(clip.frames)] if found else []
        prompts = tuple(_prompt(found[0], np.stack([frame.part_map for frame in drawn])) for _ in found[:1])
        return VideoSample(f"clip {seed}", [frame.image for frame in drawn], prompts, {"seed": seed})


def _prompt(expression: Expression | ClipExpression, part_map: np.ndarray) -> Prompt:
    mask = np.isin(part_map, expression.part_ids)
    return Prompt(expression.text, mask, KINDS[expression.kind], object_id=expression.target)


def open_scenes(split: str, root: Path | None = None) -> SceneDataset:
    """The scenes of a split at their default size; ``root`` is not used."""
    return SceneDataset(SEEDS[split])


def open_clips(split: str, root: Path | None = None) -> ClipDataset:
    """The clips of a split at their default size; ``root`` is not used."""
    return ClipDataset(SEEDS[split])
