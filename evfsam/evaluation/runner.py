"""Ask about many scenes and keep score by kind of phrase."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from evfsam.data.scenes import KINDS_OF_EXPRESSION, REFERRING
from evfsam.evaluation.answers import Answer, ceiling_answer, exchanged_answer, floor_answer, model_answers
from evfsam.evaluation.metrics import MaskMetrics, MaskScores
from evfsam.evaluation.samples import SceneSample, Turn, scene_sample, turns
from evfsam.evaluation.workers import each
from evfsam.predictor import Predictor

SIZE_HW = (320, 320)
ALL_REFERRING = "referring"

Scores = dict[str, dict[str, MaskScores]]
Sums = dict[str, dict[str, MaskMetrics]]  # as Scores, of some samples, to be added up


@dataclass(frozen=True)
class SceneEvaluation:
    """What :func:`evaluate_scenes` found.

    Attributes:
        seeds: of the scenes, as a range.
        size_hw: of the pictures, in pixels.
        scores: kind of phrase -> who answers ("model", "undenied", "exchanged", "floor", "ceiling") -> scores;
            besides the kinds of ``evfsam.data.scenes`` there is "referring", all phrases that name one thing.
        seconds: for all of it, rendering included.
    """

    seeds: range
    size_hw: tuple[int, int]
    scores: Scores
    seconds: float


def evaluate_scenes(
    predictor: Predictor,
    seed: int = 900_000,
    count: int = 500,
    size_hw: tuple[int, int] = SIZE_HW,
    exchange: bool = False,
    floor: bool = False,
    ceiling: bool = False,
    on_scene: Callable[[int], None] | None = None,
    workers: int = 1,
) -> SceneEvaluation:
    """Score a model on scenes ``seed`` to ``seed + count - 1`` of the rendered world, by kind of phrase.

    Args:
        size_hw: of the pictures, in pixels; masks are compared at this size.
        exchange: also with another scene's picture in the multimodal encoder, and with its own, both without
            denying any phrase: the drop from "undenied" to "exchanged" is what the fusion contributes.
        floor: also the best constant masks, without any model.
        ceiling: also the segmenter prompted by the true box and a true point.
        on_scene: told the number of scenes done after each.
        workers: processes that share the scenes, see :mod:`evfsam.evaluation.workers`.

    Raises InputError if there are no such scenes.
    """
    began = time.perf_counter()
    seeds = range(seed, seed + count)
    scenes = turns(seeds)
    start = partial(_start, size_hw, exchange, floor_answer() if floor else None, ceiling)
    scores = _scores(each(start, predictor, scenes, workers, on_scene))
    return SceneEvaluation(seeds, size_hw, scores, time.perf_counter() - began)


def _start(
    size_hw: tuple[int, int], exchange: bool, floor: Answer | None, ceiling: bool, predictor: Predictor
) -> Callable[[Turn], Sums]:
    own = model_answers(predictor)
    answers: dict[str, Answer] = {"model": own["model"]}
    if exchange:
        answers["undenied"] = own["undenied"]
        answers["exchanged"] = exchanged_answer(predictor)
    if floor:
        answers["floor"] = floor
    if ceiling:
        answers["ceiling"] = ceiling_answer(predictor)
    return lambda turn: _sums(scene_sample(turn, size_hw), answers)


def score(samples: Iterable[SceneSample], answers: dict[str, Answer]) -> Scores:
    """Kind of phrase -> who answers -> scores; kinds and answers without a sample are left out."""
    return _scores(_sums(sample, answers) for sample in samples)


def _sums(sample: SceneSample, answers: dict[str, Answer]) -> Sums:
    sums: Sums = {}
    for who, answer in answers.items():
        for phrase, target, mask in zip(sample.phrases, sample.targets, answer(sample), strict=True):
            if mask is not None:
                sums.setdefault(phrase.kind, {}).setdefault(who, MaskMetrics()).update(mask, target)
    return sums


def _scores(samples: Iterable[Sums]) -> Scores:
    metrics: Sums = {}
    for sums in samples:
        for kind, row in sums.items():
            _merge(metrics.setdefault(kind, {}), row)
    for kind in REFERRING:
        if kind in metrics:
            _merge(metrics.setdefault(ALL_REFERRING, {}), metrics[kind])
    order = (ALL_REFERRING, *KINDS_OF_EXPRESSION)
    return {kind: {who: m.compute() for who, m in metrics[kind].items()} for kind in order if kind in metrics}


def _merge(row: dict[str, MaskMetrics], other: dict[str, MaskMetrics]) -> None:
    for who, metrics in other.items():
        row.setdefault(who, MaskMetrics()).merge(metrics)
