"""Photographs of people: mean IoU by prompt beside the no-model floor, and people by place in composed pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from evfsam.data.ccp import Pack, Photo, composed_sample, read_pack, read_photo
from evfsam.data.scenes import COLOUR, PLACE, RELATION, SIZE
from evfsam.evaluation.answers import FLOOR_SIZE_HW, SEEN_OFTEN, MeanMask, fit_mean_mask
from evfsam.evaluation.metrics import MaskMetrics
from evfsam.evaluation.workers import each
from evfsam.predictor import Predictor

COMPOSED_KINDS = (PLACE, COLOUR, SIZE, RELATION)
COMPOSED_HEIGHT = 320  # pixels
ASPECTS = (0.75, 1.0, 4 / 3, 1.5)  # width over height of composed pictures, in turn
PEOPLE = (2, 3)


@dataclass
class PhotoScores:
    """IoUs by prompt, of the model and of the floor, and metrics of composed pictures by kind and by people."""

    model: dict[str, list[float]] = field(default_factory=dict)
    floor: dict[str, list[float]] = field(default_factory=dict)
    composed: dict[str, MaskMetrics] = field(default_factory=dict)

    def merge(self, other: PhotoScores) -> None:
        """Add what another picture gave."""
        for mine, others in ((self.model, other.model), (self.floor, other.floor)):
            for prompt, ious in others.items():
                mine.setdefault(prompt, []).extend(ious)
        for name, metrics in other.composed.items():
            self.composed.setdefault(name, MaskMetrics()).merge(metrics)


def evaluate_photographs(
    predictor: Predictor,
    folder: Path,
    count: int | None = None,
    composed: int = 100,
    on_picture: Callable[[int], None] | None = None,
    workers: int = 1,
) -> dict:
    """Score a model on the val split of a pack.

    Args:
        folder: of the pack, see :mod:`evfsam.data.ccp`.
        count: photographs, all of the split by default.
        composed: pictures of two or three people of the split, made up from seeds 0 to ``composed`` - 1.
        on_picture: told the number of pictures done after each.
        workers: processes that share the pictures, see :mod:`evfsam.evaluation.workers`.

    A prompt is asked of the photographs that are annotated with it: what is not annotated may still be there.
    The floor is the mean mask of the prompt on the train split above the threshold that is best there. Returns a
    JSON-ready dict. Raises InputError if the folder holds no pack.
    """
    began = time.perf_counter()
    pack, scores = read_pack(folder), PhotoScores()
    photos = pack.photos["val"][:count]
    floors = floor_masks(pack, {prompt for photo in photos for prompt in photo.targets})
    for one in each(partial(_start, pack, floors), predictor, [*photos, *range(composed)], workers, on_picture):
        scores.merge(one)
    return {
        "data": "ccp",
        "split": "val",
        "count": len(photos),
        "composed": composed,
        "seconds": round(time.perf_counter() - began, 1),
        "prompts": {
            prompt: {"iou": _mean(ious), "floor": _mean(scores.floor.get(prompt)), "samples": len(ious)}
            for prompt, ious in sorted(scores.model.items(), key=lambda item: -len(item[1]))
        },
        "composed_scores": {
            name: {"giou": round(metrics.compute().giou, 5), "samples": metrics.samples}
            for name, metrics in sorted(scores.composed.items())
        },
    }


def floor_masks(pack: Pack, prompts: set[str]) -> dict[str, MeanMask]:
    """The best constant mask of each prompt on the train split; none for prompts with fewer than ten."""
    height, width = FLOOR_SIZE_HW
    masks: dict[str, list[np.ndarray]] = {prompt: [] for prompt in prompts}
    for photo in pack.photos["train"]:
        asked = prompts & photo.targets.keys()
        if asked:
            small = cv2.resize(read_photo(photo)[1], (width, height), interpolation=cv2.INTER_NEAREST)
            for prompt in asked:
                masks[prompt].append(np.isin(small, photo.targets[prompt]))
    return {prompt: fit_mean_mask(np.stack(found)) for prompt, found in masks.items() if len(found) >= SEEN_OFTEN}


def _start(pack: Pack, floors: dict[str, MeanMask], predictor: Predictor) -> Callable[[Photo | int], PhotoScores]:
    """Asks about a photograph, or about the composed picture of a seed."""

    def ask(picture: Photo | int) -> PhotoScores:
        scores = PhotoScores()
        if isinstance(picture, Photo):
            _ask_photo(predictor, picture, floors, scores)
        else:
            _ask_composed(predictor, pack, picture, scores)
        return scores

    return ask


def _ask_photo(predictor: Predictor, photo, floors: dict[str, MeanMask], scores: PhotoScores) -> None:
    if not photo.targets:
        return
    image, label_map = read_photo(photo)
    answers = predictor.segment(image, list(photo.targets))
    for (prompt, labels), answer in zip(photo.targets.items(), answers, strict=True):
        target = np.isin(label_map, labels)
        scores.model.setdefault(prompt, []).append(MaskMetrics().update(answer.mask, target))
        if prompt in floors:
            floor = MaskMetrics().update(floors[prompt].at(target.shape), target)
            scores.floor.setdefault(prompt, []).append(floor)


def _ask_composed(predictor: Predictor, pack: Pack, seed: int, scores: PhotoScores) -> None:
    aspect, people = ASPECTS[seed % len(ASPECTS)], PEOPLE[seed % len(PEOPLE)]
    size_hw = (COMPOSED_HEIGHT, round(COMPOSED_HEIGHT * aspect))
    sample = composed_sample(pack, "val", np.random.default_rng(seed), size_hw, aspect, people)
    phrases = [expression for expression in sample.expressions if expression.kind in COMPOSED_KINDS]
    if not phrases:
        return
    answers = predictor.segment(sample.image, [phrase.text for phrase in phrases])
    for phrase, answer in zip(phrases, answers, strict=True):
        target = np.isin(sample.part_map, phrase.part_ids)
        for name in (phrase.kind, f"{phrase.kind}, {len(sample.people)} people"):
            scores.composed.setdefault(name, MaskMetrics()).update(answer.mask, target)


def _mean(values: list[float] | None) -> float | None:
    return round(float(np.mean(values)), 5) if values else None


def to_table(result: dict) -> str:
    """Lines of text: a row a prompt, most frequent first, then the composed pictures."""
    width = max(map(len, [*result["prompts"], *result["composed_scores"], "prompt"]))
    lines = [f"{'prompt'.ljust(width)} {'photos':>7} {'IoU':>7} {'floor':>7}"]
    for prompt, row in result["prompts"].items():
        floor = "-" if row["floor"] is None else f"{row['floor']:.3f}"
        lines.append(f"{prompt.ljust(width)} {row['samples']:>7} {row['iou']:>7.3f} {floor:>7}")
    if result["composed_scores"]:
        lines.append(f"{'people in composed pictures'.ljust(width)} {'phrases':>7} {'gIoU':>7}")
    for name, row in result["composed_scores"].items():
        lines.append(f"{name.ljust(width)} {row['samples']:>7} {row['giou']:>7.3f}")
    return "\n".join(lines)
