"""A simulated user who clicks into the middle of the largest error, with text or without."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from evfsam.data.sample import REFERRING, Sample
from evfsam.evaluation.answerers import Answerer, Masks, point_prompt, segment
from evfsam.geometry import interior_point
from evfsam.predictor import Predictor
from evfsam.types import SpatialPrompt

OBJECTS_PER_IMAGE = 4


def clicked(predictor: Predictor, count: int, text: bool = False, corrects: bool = False) -> Answerer:
    """The mask after ``count`` clicks, each set where the mask before was most wrong.

    Up to four objects per image are clicked, each for the first referring prompt that names it.

    Args:
        predictor: the model.
        count: clicks per object.
        text: whether the prompt's text stays beside the clicks.
        corrects: whether the first click corrects the answer to the text alone, and so may say "not here". Otherwise
            it goes into the middle of the object.
    """

    def answer(sample: Sample, other: Callable) -> Masks:
        masks: list[np.ndarray | None] = [None] * len(sample.prompts)
        for i in first_prompts(sample):
            prompt = sample.prompts[i]
            mask = segment(predictor, sample.image, [prompt.text])[0] if corrects else np.zeros_like(prompt.mask)
            points: tuple[tuple[float, float, int], ...] = ()
            for _ in range(count):
                click = next_click(mask, prompt.mask)
                if click is None:
                    break
                points += (click,)
                hint = SpatialPrompt(point_prompt(points))
                mask = segment(predictor, sample.image, [prompt.text if text else ""], [hint])[0]
            masks[i] = mask
        return masks

    return answer


def first_prompts(sample: Sample) -> list[int]:
    """Which prompts are the first ones that name an object of the image; prompts without object_id count alone."""
    first: dict[object, int] = {}
    for i, prompt in enumerate(sample.prompts):
        if prompt.kind.split("/")[0] == REFERRING and prompt.mask.any():
            first.setdefault(("alone", i) if prompt.object_id is None else prompt.object_id, i)
    return list(first.values())[:OBJECTS_PER_IMAGE]


def next_click(mask: np.ndarray, target: np.ndarray) -> tuple[float, float, int] | None:
    """Where a user would correct a mask, bool (H, W): x, y in pixels and 1 (inside) or 0; None if it is right.

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
            x, y = interior_point(pieces == piece)
            click = (x + 0.5, y + 0.5, label)
    return click
