"""From which presence on a phrase is believed to name something, chosen on validation scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from evfsam.checkpoints.load import load_checkpoint
from evfsam.data.scenes import VALIDATION
from evfsam.evaluation.runner import SIZE_HW
from evfsam.evaluation.samples import Turn, scene_sample, turns
from evfsam.evaluation.workers import each
from evfsam.predictor import Predictor
from evfsam.refine.rejection import presence_logits
from evfsam.runtime import choose_runtime

# Of the phrases that name something, at most this share may be denied. Users are promised 5 % at most, and nine in ten
# of the things that are not there told; some kinds of phrases are denied more often than the mean, and refusing what is
# there costs more than a mask too many, which is seen to be wrong. So little more than the second promise needs.
DENIED = 0.035


def presence_threshold(checkpoint: Path, scenes: int, workers: int = 1) -> float:
    """The highest threshold that denies at most :data:`DENIED` of what is there.

    Args:
        checkpoint: folder of the published layout.
        scenes: how many of the validation seeds are asked about.
        workers: processes that share them, see :mod:`evfsam.evaluation.workers`.
    """
    predictor = Predictor(load_checkpoint(checkpoint), choose_runtime("cpu"))
    presences = [
        presence for found in each(_start, predictor, turns(VALIDATION[:scenes]), workers) for presence in found
    ]
    return round(float(np.quantile(presences, DENIED)), 4)


def _start(predictor: Predictor) -> Callable[[Turn], list[float]]:
    def presences(turn: Turn) -> list[float]:
        sample = scene_sample(turn, SIZE_HW)
        there = [phrase.text for phrase, target in zip(sample.phrases, sample.targets, strict=True) if target.any()]
        masks, _ = predictor.decode(predictor.encode(sample.image), there, [None] * len(there))
        return presence_logits(masks).sigmoid().tolist()

    return presences
