"""From which presence on a phrase is believed to name something, chosen on validation scenes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from evfsam.checkpoints.load import load_checkpoint
from evfsam.data.scenes import VALIDATION
from evfsam.data.scenes.dataset import SceneDataset
from evfsam.evaluation.workers import parallel_map
from evfsam.predictor import Predictor
from evfsam.refine.rejection import presence_logits
from evfsam.runtime import choose_runtime

# Of the phrases that name something, at most this share may be denied. Users are promised 5 % at most, and nine in ten
# of the things that are not there told; some kinds of phrases are denied more often than the mean, and refusing what is
# there costs more than a mask too many, which is seen to be wrong. So little more than the second promise needs.
DENIED = 0.035


def presence_threshold(checkpoint: Path, scenes: int, workers: int = 1) -> float:
    """The highest threshold that rejects at most :data:`DENIED` of what is there.

    Args:
        checkpoint: folder of the published layout.
        scenes: how many of the validation seeds are asked about.
        workers: processes that share them, see :mod:`evfsam.evaluation.workers`.
    """
    predictor = Predictor(load_checkpoint(checkpoint), choose_runtime("cpu"))
    start = partial(_start, SceneDataset(VALIDATION[:scenes]))
    presences = [p for found in parallel_map(start, predictor, range(scenes), workers) for p in found]
    return round(float(np.quantile(presences, DENIED)), 4)


def _start(dataset: SceneDataset, predictor: Predictor) -> Callable[[int], list[float]]:
    def presences(index: int) -> list[float]:
        sample = dataset[index]
        there = [prompt.text for prompt in sample.prompts if prompt.mask.any()]
        masks, _ = predictor.decode(predictor.encode(sample.image), there, [None] * len(there))
        return presence_logits(masks).sigmoid().tolist()

    return presences
