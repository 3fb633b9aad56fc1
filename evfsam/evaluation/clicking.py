"""Words, clicks, and both: a simulated person clicks into the middle of the largest error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import cv2
import numpy as np

from evfsam.data.scenes import REFERRING
from evfsam.evaluation.metrics import MaskMetrics
from evfsam.evaluation.samples import SceneSample, Turn, scene_sample, turns
from evfsam.evaluation.workers import each
from evfsam.predictor import Predictor
from evfsam.types import PointPrompt

SIZE_HW = (320, 320)
WORDS, BOTH = "words", "words + 1 click"
CORRECTED = {1: "words + 1 correction", 3: "words + 3 corrections"}
CLICKS = {1: "1 click", 3: "3 clicks", 5: "5 clicks"}
WAYS = (WORDS, BOTH, *CORRECTED.values(), *CLICKS.values())
THINGS_A_SCENE = 4


def evaluate_clicks(
    predictor: Predictor,
    seed: int = 900_000,
    count: int = 50,
    on_scene: Callable[[int], None] | None = None,
    workers: int = 1,
) -> dict:
    """Mean IoU of single things after words, words and clicks, and one, three and five clicks without words.

    The one click beside the words is the first one without them, into the middle of the thing; a correction goes into
    the middle of what the answer before got most wrong, and so may say "not here".
    On scenes ``seed`` to ``seed + count - 1``, up to four things each, shared among ``workers`` processes
    (:mod:`evfsam.evaluation.workers`). Returns a JSON-ready dict. Raises
    InputError if there are no such scenes.
    """
    began, ious = time.perf_counter(), {way: [] for way in WAYS}
    scenes = turns(range(seed, seed + count))
    for found in each(partial(_start, SIZE_HW), predictor, scenes, workers, on_scene):
        for way, iou in found:
            ious[way].append(iou)
    return {
        "data": "scenes",
        "measure": "clicks",
        "seed": seed,
        "count": count,
        "size_hw": list(SIZE_HW),
        "seconds": round(time.perf_counter() - began, 1),
        "scores": {
            way: {"iou": round(float(np.mean(found)), 5), "samples": len(found)} for way, found in ious.items() if found
        },
    }


def _start(size_hw: tuple[int, int], predictor: Predictor) -> Callable[[Turn], list[tuple[str, float]]]:
    def ask(turn: Turn) -> list[tuple[str, float]]:
        sample = scene_sample(turn, size_hw)
        things = _one_phrase_a_thing(sample)
        return [row for phrase, target in things for row in _ask(predictor, sample.image, phrase, target)]

    return ask


def next_click(mask: np.ndarray, target: np.ndarray) -> tuple[float, float, int] | None:
    """Where a person would correct a mask, bool (H, W): x, y in pixels and 1 (inside) or 0; None if it is right.

    The point farthest from the edge of the largest piece that is missing or too much.
    """
    largest, click = 0, None
    for wrong, label in ((target & ~mask, 1), (mask & ~target, 0)):
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=8)
        if count < 2:
            continue
        piece = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        if stats[piece, cv2.CC_STAT_AREA] > largest:
            largest = stats[piece, cv2.CC_STAT_AREA]
            depth = cv2.distanceTransform(np.pad((pieces == piece).astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            click = (x + 0.5, y + 0.5, label)
    return click


def _one_phrase_a_thing(sample: SceneSample) -> list[tuple[str, np.ndarray]]:
    found = {}
    for phrase, target in zip(sample.phrases, sample.targets, strict=True):
        if phrase.kind in REFERRING and target.any():
            found.setdefault(phrase.target, (phrase.text, target))
    return list(found.values())[:THINGS_A_SCENE]


def _ask(predictor: Predictor, image: np.ndarray, phrase: str, target: np.ndarray) -> Iterator[tuple[str, float]]:
    worded = predictor.segment(image, [phrase])[0].mask
    yield WORDS, _iou(worded, target)
    nothing = np.zeros_like(target)
    yield BOTH, _iou(_clicked(predictor, image, phrase, nothing, target, 1)[0], target)
    for words, before, ways in ((phrase, worded, CORRECTED), ("", nothing, CLICKS)):
        masks = _clicked(predictor, image, words, before, target, max(ways))
        for count, way in ways.items():
            yield way, _iou(masks[count - 1], target)


def _clicked(predictor: Predictor, image, phrase: str, mask: np.ndarray, target: np.ndarray, count: int):
    """The masks after each of ``count`` clicks, each set where the mask before was most wrong."""
    clicks, masks = [], []
    for _ in range(count):
        click = next_click(mask, target)
        if click is not None:
            clicks.append(click)
            points = np.array([(x, y) for x, y, _ in clicks])
            given = PointPrompt(points, np.array([label for _, _, label in clicks]))
            mask = predictor.segment(image, [phrase], [given])[0].mask
        masks.append(mask)
    return masks


def _iou(mask: np.ndarray, target: np.ndarray) -> float:
    return MaskMetrics().update(mask, target)


def to_table(result: dict) -> str:
    lines = [f"{'prompt':20} {'things':>7} {'IoU':>7}"]
    lines += [f"{way:20} {row['samples']:>7} {row['iou']:>7.3f}" for way, row in result["scores"].items()]
    return "\n".join(lines)
