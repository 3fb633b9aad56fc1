"""Who answers: the model, the model with an exchanged picture, the floor and the ceiling.

An answer takes a sample and gives a mask a phrase, bool (H, W), or None where it has nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from evfsam.data.scenes import VALIDATION
from evfsam.evaluation.samples import SceneSample, scene_samples
from evfsam.geometry import box_of, interior_point
from evfsam.predictor import Predictor
from evfsam.types import PointPrompt, Segmentation, SpatialPrompt

Answer = Callable[[SceneSample], list[np.ndarray | None]]

FLOOR_SEEDS = VALIDATION[:100]
FLOOR_SIZE_HW = (64, 64)
SEEN_OFTEN = 10  # scenes after which a phrase gets a constant of its own


def model_answers(predictor: Predictor) -> dict[str, Answer]:
    """What the model says of picture and phrases: "model" as users get it, "undenied" with no phrase denied.

    The model is asked once for both. They are the same for a checkpoint that denies nothing.
    """
    info = predictor.info
    # At 0 nothing is denied, yet a segmenter that says presence with the mask is still taken to do so.
    asked = _never_rejecting(predictor)
    last: list = [None, None]  # a sample and its answers

    def ask(sample: SceneSample) -> list[Segmentation]:
        if last[0] is not sample:
            last[:] = sample, asked.segment(sample.image, [phrase.text for phrase in sample.phrases])
        return last[1]

    def believed(sample: SceneSample) -> list[np.ndarray]:
        return [result.mask for result in ask(sample)]

    def answer(sample: SceneSample) -> list[np.ndarray]:
        results = ask(sample)
        rejects = info.refinement.rejects
        return [np.zeros_like(found.mask) if rejects(found.presence) else found.mask for found in results]

    return {"model": answer, "undenied": believed}


def exchanged_answer(predictor: Predictor) -> Answer:
    """The exchange test: the multimodal encoder sees another scene, the segmenter the right one.

    If that changes little, the words alone do the work and early fusion is unused. Nothing is denied here, so
    that what falls is the pointing, not the trust in an answer: to be compared with the answers "undenied".
    """
    predictor = predictor.with_refinement(replace(predictor.info.refinement, reject_below=None))

    def answer(sample: SceneSample) -> list[np.ndarray]:
        other = predictor.encode(sample.other_image)
        exchanged = replace(predictor.encode(sample.image), encoder_pixels=other.encoder_pixels)
        results = predictor.segment(exchanged, [phrase.text for phrase in sample.phrases])
        return [result.mask for result in results]

    return answer


def ceiling_answer(predictor: Predictor) -> Answer:
    """The segmenter told where: the true box and the point deepest inside, no words.

    It has nothing to say of phrases that name nothing.
    """

    def answer(sample: SceneSample) -> list[np.ndarray | None]:
        there = [i for i, target in enumerate(sample.targets) if target.any()]
        clicks = [true_clicks(sample.targets[i]) for i in there]
        points, boxes = [c.points for c in clicks], [c.box for c in clicks]
        results = predictor.segment(sample.image, [""] * len(there), points, boxes) if there else []
        masks: list[np.ndarray | None] = [None] * len(sample.phrases)
        for i, result in zip(there, results, strict=True):
            masks[i] = result.mask
        return masks

    return answer


def true_clicks(target: np.ndarray) -> SpatialPrompt:
    """The bounding box of a mask, bool (H, W), not empty, and its point farthest from any edge."""
    x, y = interior_point(target)
    return SpatialPrompt(PointPrompt(np.array([[x + 0.5, y + 0.5]]), np.array([1])), box_of(target))


def _never_rejecting(predictor: Predictor) -> Predictor:
    refinement = predictor.info.refinement
    return (
        predictor
        if refinement.reject_below is None
        else predictor.with_refinement(replace(refinement, reject_below=0.0))
    )


@dataclass(frozen=True)
class MeanMask:
    """The best constant answer to a kind of phrase: where its mean mask, 0..1, exceeds a threshold."""

    mean: np.ndarray
    threshold: float

    def at(self, size_hw: tuple[int, int]) -> np.ndarray:
        height, width = size_hw
        return cv2.resize(self.mean, (width, height), interpolation=cv2.INTER_LINEAR) > self.threshold


def fit_mean_mask(targets: np.ndarray) -> MeanMask:
    """The threshold with the highest gIoU on these masks, bool (N, h, w); 1 stands for the empty answer."""
    mean = targets.mean(0, dtype=np.float32)
    thresholds = (*np.arange(0.0, 1.0, 0.05), 1.0)
    return MeanMask(mean, max(thresholds, key=lambda threshold: _giou(mean > threshold, targets)))


def _giou(constant: np.ndarray, targets: np.ndarray) -> float:
    union = (targets | constant).sum((1, 2))
    return float(np.where(union, (targets & constant).sum((1, 2)) / np.maximum(union, 1), 1.0).mean())


@dataclass(frozen=True)
class FloorAnswer:
    """No model at all: the mean mask of a phrase seen often ("[semantic] sky"), else that of its kind.

    ``constants``: (kind, phrase) -> its mean mask; the phrase is empty for the kind as a whole.
    """

    constants: dict[tuple[str, str], MeanMask]

    def __call__(self, sample: SceneSample) -> list[np.ndarray | None]:
        found = [self.constants.get((p.kind, p.text)) or self.constants.get((p.kind, "")) for p in sample.phrases]
        return [constant and constant.at(sample.image.shape[:2]) for constant in found]


def floor_answer(seeds: Sequence[int] = FLOOR_SEEDS) -> FloorAnswer:
    """The floor, fitted on scenes that are not evaluated."""
    targets: dict[tuple[str, str], list[np.ndarray]] = {}
    for sample in scene_samples(seeds, FLOOR_SIZE_HW):
        for phrase, target in zip(sample.phrases, sample.targets, strict=True):
            targets.setdefault((phrase.kind, phrase.text), []).append(target)
            targets.setdefault((phrase.kind, ""), []).append(target)
    return FloorAnswer(
        {
            (kind, text): fit_mean_mask(np.stack(masks))
            for (kind, text), masks in targets.items()
            if not text or len(masks) >= SEEN_OFTEN
        }
    )
