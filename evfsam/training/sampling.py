"""Batches from the cached scenes: a pure function of (seed, stage, step), so that a run resumes exactly."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from evfsam.refine.point_refinement import interior_points
from evfsam.training.config import StageConfig
from evfsam.training.scene_cache import OUTSIDE, SceneCache, coverage_of
from evfsam.training.variety import vary_phrase, vary_picture
from evfsam.types import Geometry

SMALLEST_TARGET = 0.002  # of the picture; below this a click could hardly hit it
MOST_CORRECTIONS = 4  # clicks after an answer
CORRECTED = 1 / 3  # of the answers that might be; each costs further answers, and the first ones are to be learned too


@dataclass(frozen=True)
class PhraseBatch:
    """B scenes and P phrases in all.

    Attributes:
        scenes: int64 (B,), rows of the cache.
        scene_of_row: int64 (P,), which of the B scenes a phrase belongs to.
        phrases: P phrases.
        coverage: float32 (P, g, g), 0..1, over the segmenter's square.
        token_coverage: float32 (P, t, t), 0..1, over the picture itself, as the encoder's stretched copy has it.
    """

    scenes: np.ndarray
    scene_of_row: torch.Tensor
    phrases: list[str]
    coverage: torch.Tensor
    token_coverage: torch.Tensor


@dataclass(frozen=True)
class Targets:
    """P things to be pointed at in some scenes.

    Attributes:
        scene_of_row: int64 (P,), which of the scenes it is in.
        coverage: float32 (P, g, g), 0..1.
        is_part: bool (P,), a part of a thing rather than the whole.
    """

    scene_of_row: torch.Tensor
    coverage: torch.Tensor
    is_part: torch.Tensor


class Pointing(NamedTuple):
    """P things pointed at, all in the same way.

    Attributes:
        scene_of_row: int64 (P,), which of some scenes it is in.
        coverage: float32 (P, g, g), 0..1.
        points: float32 (P, N, 2) and int64 (P, N), see :meth:`EvfSam.decode`; or None.
        boxes: float32 (P, 4) xyxy; or None.
        corrections: clicks that follow, each into what the answer before got wrong.
    """

    scene_of_row: torch.Tensor
    coverage: torch.Tensor
    points: tuple[torch.Tensor, torch.Tensor] | None
    boxes: torch.Tensor | None
    corrections: int = 0


def generator(seed: int, stage: str, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), step])


def sample_phrases(
    cache: SceneCache, config: StageConfig, rng: np.random.Generator, grid: int, tokens: int, variety: float = 0.0
) -> PhraseBatch:
    """Phrases of all kinds in the recipe's shares, as far as each scene has them; a share of them in other words.

    Args:
        grid, tokens: cells a side of the coverage maps, g and t.
    """
    scenes = rng.integers(len(cache), size=config.scenes)
    phrases, coverage, token_coverage = [], [], []
    for scene in scenes:
        by_kind: dict[str, list] = {}
        for expression in cache.expressions[scene]:
            by_kind.setdefault(expression.kind, []).append(expression)
        kinds = sorted(by_kind)
        shares = np.array([config.shares[kind] for kind in kinds])
        for kind in rng.choice(kinds, size=config.prompts, p=shares / shares.sum()):
            expression = by_kind[kind][rng.integers(len(by_kind[kind]))]
            varied = variety and rng.random() < variety
            phrases.append(vary_phrase(expression, rng) if varied else expression.text)
            coverage.append(coverage_of(cache.square_map(scene), expression.part_ids, grid))
            token_coverage.append(coverage_of(cache.part_map(scene), expression.part_ids, tokens))
    rows = torch.arange(config.scenes).repeat_interleave(config.prompts)
    maps = (torch.from_numpy(np.stack(each)) for each in (coverage, token_coverage))
    return PhraseBatch(scenes, rows, phrases, *maps)


def read_pictures(cache: SceneCache, scenes, rng: np.random.Generator, variety: float = 0.0) -> list[np.ndarray]:
    """Pictures of these rows, uint8 (H, W, 3) each; a share of them in other light or worse."""
    pictures = [cache.image(scene) for scene in scenes]
    return [vary_picture(p, rng) if variety and rng.random() < variety else p for p in pictures]


def sample_targets(cache: SceneCache, scenes: np.ndarray, prompts: int, rng: np.random.Generator, grid: int) -> Targets:
    """Things, pieces of stuff and parts to be pointed at, ``prompts`` of them in each of these rows of the cache.

    Args:
        scenes: int64 (B,).
        grid: side of the coverage maps, in cells.

    A picture in which all things are tiny is asked for its largest part.
    """
    coverage, is_part = [], []
    for scene in scenes:
        part_map = cache.square_map(scene)
        wholes, parts = wholes_and_parts(part_map, cache.things[scene])
        for _ in range(prompts):
            part = bool(parts) and rng.random() < 0.3
            pool = parts if part else wholes
            coverage.append(coverage_of(part_map, pool[rng.integers(len(pool))], grid))
            is_part.append(part)
    rows = torch.arange(len(scenes)).repeat_interleave(prompts)
    return Targets(rows, torch.from_numpy(np.stack(coverage)), torch.tensor(is_part))


def wholes_and_parts(part_map: np.ndarray, things: Sequence[tuple[int, ...]]) -> tuple[list, list]:
    """What of a scene is large enough to be pointed at, as part indices: whole things, and single parts of them.

    Args:
        part_map: uint8 (h, w).
        things: of that scene, see :class:`SceneCache`.
    """
    areas = np.bincount(part_map.ravel(), minlength=256) / part_map.size
    wholes = [ids for ids in things if areas[list(ids)].sum() > SMALLEST_TARGET]
    wholes = wholes or [(int(areas[:OUTSIDE].argmax()),)]
    return wholes, [(i,) for ids in wholes if len(ids) > 1 for i in ids if areas[i] > SMALLEST_TARGET]


def sample_clicks(coverage: torch.Tensor, count: int, rng: np.random.Generator, image_size: int):
    """Clicks by a person who knows the answer: the first inside, the others inside or just anywhere outside.

    Args:
        coverage: (P, g, g), 0..1, with something covered in every row.
        count: clicks a row.

    Returns points for :meth:`EvfSam.decode`: float32 (P, count, 2) in pixels, int64 (P, count).
    """
    rows, grid = len(coverage), coverage.shape[-1]
    flat = coverage.flatten(1).numpy()
    cells, labels = np.empty((rows, count), np.int64), np.ones((rows, count), np.int64)
    labels[:, 1:] = rng.random((rows, count - 1)) < 0.5
    for row in range(rows):
        inside = np.flatnonzero(flat[row] > 0.95)
        if not len(inside):
            inside = [flat[row].argmax()]
        outside = np.flatnonzero(flat[row] < 0.05)
        if not len(outside):
            labels[row] = 1
        for i in range(count):
            pool = inside if labels[row, i] else outside
            cells[row, i] = pool[rng.integers(len(pool))]
    xy = np.stack([cells % grid, cells // grid], -1) + rng.uniform(0.2, 0.8, (rows, count, 2))
    return torch.from_numpy(xy * (image_size / grid)).float(), torch.from_numpy(labels)


class Clicker:
    """Clicks that follow from an answer, by a person who knows better or by the package itself.

    Coverage and answers are float (P, g, g), the first 0..1, the others logits, on any device; points are given there,
    float32 (P, 1, 2) in pixels of the segmenter's square and int64 (P, 1): 1 inside, 0 outside.
    """

    def __init__(self, rng: np.random.Generator, image_size: int):
        self.rng, self.image_size = rng, image_size

    def corrections(self, coverage: torch.Tensor, mask_logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One click a row anywhere in what an answer got wrong; inside where it got all right."""
        grid = coverage.shape[-1]
        wanted, answered = (part.flatten(1).cpu().numpy() > at for part, at in ((coverage, 0.5), (mask_logits, 0)))
        cells, labels = np.empty((len(coverage), 1), np.int64), np.ones((len(coverage), 1), np.int64)
        for row in range(len(coverage)):
            wrong = np.flatnonzero(wanted[row] != answered[row])
            pool = wrong if len(wrong) else [coverage[row].flatten().argmax().item()]
            cells[row] = pool[self.rng.integers(len(pool))]
            labels[row] = wanted[row, cells[row]] if len(wrong) else 1
        xy = np.stack([cells % grid, cells // grid], -1) + self.rng.uniform(0.2, 0.8, (len(coverage), 1, 2))
        points = torch.from_numpy(xy * (self.image_size / grid)).float()
        return points.to(coverage.device), torch.from_numpy(labels).to(coverage.device)

    def second_clicks(
        self, one_thing: torch.Tensor, coverage: torch.Tensor, mask_logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One click a row besides the words, which have been answered once.

        Half of the phrases that name one thing (``one_thing``: bool (P,)) click into their own answer, right or wrong,
        as users' phrases do (:class:`evfsam.predictor.Predictor`); all others as :meth:`corrections`.
        """
        points, labels = self.corrections(coverage, mask_logits)
        own = one_thing & torch.from_numpy(self.rng.random(len(coverage)) < 0.5).to(one_thing.device)
        surest = interior_points(mask_logits.cpu(), Geometry(*[(self.image_size, self.image_size)] * 3))
        points = torch.where(own.view(-1, 1, 1), surest.to(points.device), points)
        return points, torch.where(own.view(-1, 1), 1, labels)


def sample_corrections(most: int, rng: np.random.Generator) -> int:
    """How many clicks follow: 1 to ``most`` for a share of all, else none."""
    return int(rng.integers(1, most + 1)) if rng.random() < CORRECTED else 0


def boxes_of(coverage: torch.Tensor, rng: np.random.Generator, image_size: int) -> torch.Tensor:
    """Boxes around what is covered, drawn by a hand that is off by some per cent: float32 (P, 4) xyxy pixels."""
    grid = coverage.shape[-1]
    boxes = []
    for mask in (coverage > 0.5) | (coverage == coverage.amax((1, 2), keepdim=True)):
        y, x = torch.nonzero(mask.any(1)).flatten(), torch.nonzero(mask.any(0)).flatten()
        boxes.append([x[0], y[0], x[-1] + 1, y[-1] + 1])
    boxes = torch.tensor(boxes, dtype=torch.float32)
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    noise = torch.from_numpy(rng.normal(0, 0.05, boxes.shape)).float()
    return (boxes + sides * noise).clamp(0, grid) * (image_size / grid)


def sample_pointing(targets: Targets, rng: np.random.Generator, image_size: int) -> list[Pointing]:
    """How a person would point at them: some by a box, or a box and clicks, the others by clicks alone; then correct.

    Args:
        image_size: of the segmenter's square input, in pixels; clicks and boxes are in these.
    """
    # A box tells a window from its house; a lone click means the whole. So parts always get a box.
    boxed = targets.is_part | torch.from_numpy(rng.random(len(targets.coverage)) < 0.4)
    groups = []
    for chosen, with_box in ((boxed, True), (~boxed, False)):
        if chosen.any():
            coverage = targets.coverage[chosen]
            points = sample_clicks(coverage, int(rng.integers(1, 4)), rng, image_size)
            boxes = boxes_of(coverage, rng, image_size) if with_box else None
            if with_box and rng.random() < 0.5:
                points = None
            corrections = sample_corrections(MOST_CORRECTIONS, rng)
            groups.append(Pointing(targets.scene_of_row[chosen], coverage, points, boxes, corrections))
    return groups
