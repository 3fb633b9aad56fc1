"""Ask about many scenes and keep score by kind of phrase."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evfsam.data.scenes import KINDS_OF_EXPRESSION, REFERRING
from evfsam.evaluation.answers import Answer, ceiling_answer, exchanged_answer, floor_answer, model_answers
from evfsam.evaluation.metrics import MaskMetrics, MaskScores
from evfsam.evaluation.samples import SceneSample, scene_samples
from evfsam.predictor import Predictor

SIZE_HW = (320, 320)
ALL_REFERRING = "referring"

Scores = dict[str, dict[str, MaskScores]]


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
) -> SceneEvaluation:
    """Score a model on scenes ``seed`` to ``seed + count - 1`` of the rendered world, by kind of phrase.

    Args:
        size_hw: of the pictures, in pixels; masks are compared at this size.
        exchange: also with another scene's picture in the multimodal encoder, and with its own, both without
            denying any phrase: the drop from "undenied" to "exchanged" is what the fusion contributes.
        floor: also the best constant masks, without any model.
        ceiling: also the segmenter prompted by the true box and a true point.
        on_scene: told the number of scenes done after each.

    Raises InputError if there are no such scenes.
    """
    began = time.perf_counter()
    own = model_answers(predictor)
    answers: dict[str, Answer] = {"model": own["model"]}
    if exchange:
        answers["undenied"] = own["undenied"]
        answers["exchanged"] = exchanged_answer(predictor)
    if floor:
        answers["floor"] = floor_answer()
    if ceiling:
        answers["ceiling"] = ceiling_answer(predictor)
    seeds = range(seed, seed + count)
    scores = score(scene_samples(seeds, size_hw), answers, on_scene)
    return SceneEvaluation(seeds, size_hw, scores, time.perf_counter() - began)


def score(
    samples: Iterable[SceneSample], answers: dict[str, Answer], on_scene: Callable[[int], None] | None = None
) -> Scores:
    """Kind of phrase -> who answers -> scores; kinds and answers without a sample are left out."""
    metrics: dict[str, dict[str, MaskMetrics]] = {}
    for done, sample in enumerate(samples, start=1):
        for who, answer in answers.items():
            _add(metrics, who, sample, answer(sample))
        if on_scene:
            on_scene(done)
    _add_referring(metrics, tuple(answers))
    order = (ALL_REFERRING, *KINDS_OF_EXPRESSION)
    return {kind: {who: m.compute() for who, m in metrics[kind].items()} for kind in order if kind in metrics}


def _add(metrics: dict[str, dict[str, MaskMetrics]], who: str, sample: SceneSample, masks: Sequence) -> None:
    for phrase, target, mask in zip(sample.phrases, sample.targets, masks, strict=True):
        if mask is not None:
            metrics.setdefault(phrase.kind, {}).setdefault(who, MaskMetrics()).update(mask, target)


def _add_referring(metrics: dict[str, dict[str, MaskMetrics]], names: tuple[str, ...]) -> None:
    for kind in REFERRING:
        for who in names:
            if who in metrics.get(kind, {}):
                metrics.setdefault(ALL_REFERRING, {}).setdefault(who, MaskMetrics()).merge(metrics[kind][who])
