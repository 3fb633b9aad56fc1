"""A simulator of point and box prompts: a user who knows the answer clicks, draws boxes, and corrects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from evfsam.refine.point_refinement import interior_points
from evfsam.training.losses import mask_losses
from evfsam.training.sampler import PointTargets
from evfsam.types import Geometry, ImageFeatures, MaskLogits

MOST_CORRECTIONS = 4  # points after an answer
CORRECTED = 1 / 3  # of the answers; each correction costs a further answer, and first answers are to be learned too
BOXED = 0.4  # of whole things; the others get points alone

Points = tuple[torch.Tensor, torch.Tensor]  # float32 (P, N, 2) and int64 (P, N), see :meth:`EvfSam.decode`


class PointPrompts(NamedTuple):
    """P things, all prompted in the same way.

    Attributes:
        image_of_row: int64 (P,), which of some images a thing is in.
        coverage: float32 (P, g, g), 0..1.
        points: float32 (P, N, 2) and int64 (P, N), see :meth:`EvfSam.decode`; or None.
        boxes: float32 (P, 4) xyxy; or None.
        corrections: points that follow, each into an error of the answer before.
    """

    image_of_row: torch.Tensor
    coverage: torch.Tensor
    points: Points | None
    boxes: torch.Tensor | None
    corrections: int = 0


def sample_point_prompts(targets: PointTargets, rng: np.random.Generator, image_size: int) -> list[PointPrompts]:
    """Prompts for these targets: a box, a box and points, or points alone; a share of them is corrected later.

    Args:
        image_size: side of the segmenter's square in pixels; points and boxes are in these pixels.
    """
    # A box tells a window from its house; a lone point means the whole. So parts always get a box.
    boxed = targets.is_part | torch.from_numpy(rng.random(len(targets.coverage)) < BOXED)
    groups = []
    for chosen, with_box in ((boxed, True), (~boxed, False)):
        if chosen.any():
            coverage = targets.coverage[chosen]
            points = sample_points(coverage, int(rng.integers(1, 4)), rng, image_size)
            boxes = sample_boxes(coverage, rng, image_size) if with_box else None
            if with_box and rng.random() < 0.5:
                points = None
            corrections = sample_corrections(MOST_CORRECTIONS, rng)
            groups.append(PointPrompts(targets.image_of_row[chosen], coverage, points, boxes, corrections))
    return groups


def sample_points(coverage: torch.Tensor, count: int, rng: np.random.Generator, image_size: int) -> Points:
    """``count`` points for each target: the first inside, the others inside or anywhere outside.

    Args:
        coverage: (P, g, g), 0..1, with something covered in every row.

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
    return _centres(cells, grid, rng, image_size), torch.from_numpy(labels)


def sample_boxes(coverage: torch.Tensor, rng: np.random.Generator, image_size: int) -> torch.Tensor:
    """Boxes around what is covered, half of them with each side off by some per cent: float32 (P, 4) xyxy in pixels."""
    grid = coverage.shape[-1]
    boxes = []
    for mask in (coverage > 0.5) | (coverage == coverage.amax((1, 2), keepdim=True)):
        y, x = torch.nonzero(mask.any(1)).flatten(), torch.nonzero(mask.any(0)).flatten()
        boxes.append([x[0], y[0], x[-1] + 1, y[-1] + 1])
    boxes = torch.tensor(boxes, dtype=torch.float32)
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    noise = torch.from_numpy(rng.normal(0, 0.05, boxes.shape) * (rng.random((len(boxes), 1)) < 0.5)).float()
    return (boxes + sides * noise).clamp(0, grid) * (image_size / grid)


def sample_corrections(most: int, rng: np.random.Generator) -> int:
    """How many points follow: 1 to ``most`` for a share of all, else none."""
    return int(rng.integers(1, most + 1)) if rng.random() < CORRECTED else 0


def _centres(cells: np.ndarray, grid: int, rng: np.random.Generator, image_size: int) -> torch.Tensor:
    """Cell numbers (P, N) -> somewhere near the middle of each cell, float32 (P, N, 2) in pixels."""
    xy = np.stack([cells % grid, cells // grid], -1) + rng.uniform(0.2, 0.8, (*cells.shape, 2))
    return torch.from_numpy(xy * (image_size / grid)).float()


class PointSimulator:
    """Points that follow from an answer.

    Coverage and answers are float (P, g, g), the first 0..1, the others logits, on any device. Points come back on
    that device: float32 (P, 1, 2) in pixels of the segmenter's square, int64 (P, 1), 1 inside and 0 outside.
    """

    def __init__(self, rng: np.random.Generator, image_size: int):
        self.rng, self.image_size = rng, image_size

    def corrections(self, coverage: torch.Tensor, mask_logits: torch.Tensor) -> Points:
        """One point for each answer, anywhere in its errors; inside the target where there is no error."""
        wanted, answered = (part.flatten(1).cpu().numpy() > at for part, at in ((coverage, 0.5), (mask_logits, 0)))
        cells, labels = np.empty((len(coverage), 1), np.int64), np.ones((len(coverage), 1), np.int64)
        for row in range(len(coverage)):
            wrong = np.flatnonzero(wanted[row] != answered[row])
            pool = wrong if len(wrong) else [coverage[row].flatten().argmax().item()]
            cells[row] = pool[self.rng.integers(len(pool))]
            labels[row] = wanted[row, cells[row]] if len(wrong) else 1
        points = _centres(cells, coverage.shape[-1], self.rng, self.image_size)
        return points.to(coverage.device), torch.from_numpy(labels).to(coverage.device)

    def second_points(self, one_thing: torch.Tensor, coverage: torch.Tensor, mask_logits: torch.Tensor) -> Points:
        """One point for each prompt in words, after its first answer.

        For half of the prompts that name one thing (``one_thing``: bool (P,)) the point lies in the middle of the
        answer, right or wrong, as it does when a checkpoint refines its own answer. The others are corrected.
        """
        points, labels = self.corrections(coverage, mask_logits)
        own = one_thing & torch.from_numpy(self.rng.random(len(coverage)) < 0.5).to(one_thing.device)
        surest = interior_points(mask_logits.cpu(), Geometry(*[(self.image_size, self.image_size)] * 3))
        points = torch.where(own.view(-1, 1, 1), surest.to(points.device), points)
        return points, torch.where(own.view(-1, 1), 1, labels)


def corrected(
    decode: Callable[[Points], MaskLogits],
    rules: Sequence[Callable[[torch.Tensor, torch.Tensor], Points]],
    coverage: torch.Tensor,
    mask_logits: torch.Tensor,
    points: Points | None = None,
) -> MaskLogits:
    """The answer after some more points, each set by the answer before it.

    Segment Anything trains so (arXiv 2304.02643, appendix A, "training algorithm"), but with gradients from every
    answer; here only the last one has them.

    Args:
        decode: all points so far -> masks of P prompts.
        rules: one for each point to add: coverage, logits -> one point for each prompt.
        coverage: float (P, g, g), 0..1, the truth.
        mask_logits: (P, g, g), the first answer.
        points: those that the first answer followed from.
    """
    learning = torch.is_grad_enabled()
    for number, rule in enumerate(rules, 1):
        more = rule(coverage, mask_logits.detach().float())
        points = more if points is None else tuple(torch.cat(pair, 1) for pair in zip(points, more, strict=True))
        with torch.set_grad_enabled(learning and number == len(rules)):
            answer = decode(points)
        mask_logits = answer.low_res_masks
    return answer


def point_losses(
    segmenter: nn.Module, features: ImageFeatures, prompts: Sequence[PointPrompts], simulator: PointSimulator
) -> dict[str, torch.Tensor]:
    """Mean losses of masks from points, boxes, or both; with corrections, of the first and the last answer.

    Args:
        features: of B images, as ``encode_image`` gives them.
        prompts: in these images.
        simulator: sets the corrections.

    Returns scalar tensors by name, as :func:`mask_losses`.
    """
    count = sum(len(group.coverage) for group in prompts)
    total: dict[str, torch.Tensor] = {}
    for group in prompts:
        seen = features.select(group.image_of_row)

        def decode(points, seen=seen, boxes=group.boxes) -> MaskLogits:
            return segmenter.decode(seen, *segmenter.embed_prompts(points, boxes), multimask=False)

        answers = [decode(group.points)]
        if group.corrections:
            rules = [simulator.corrections] * group.corrections
            answers.append(corrected(decode, rules, group.coverage, answers[0].low_res_masks, group.points))
        share = len(group.coverage) / count / len(answers)
        for answer in answers:
            for name, loss in mask_losses(answer, group.coverage).items():
                total[name] = total.get(name, 0) + loss * share
    return total
