"""Questions about one image, step by step, so that the work can stop between two steps."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np

from evfsam.predictor import Predictor
from evfsam.things import Asked, iter_separate, read
from evfsam.types import EncodedImage, Segmentation, SpatialPrompt
from evfsam.ui.kept import KeptMask
from evfsam.ui.label_map import LabelMap, Settler


def masks(
    predictor: Predictor,
    image: np.ndarray,
    prompts: Sequence[str],
    clicks: Sequence[SpatialPrompt | None],
    thresholds: Sequence[float],
    most_bytes: int,
    most_things: int,
) -> Iterator[KeptMask | None]:
    """None when the image is encoded and after each step on a thing, then a mask per prompt.

    Args:
        clicks: for each prompt, the points and the box that refine it, or None.
        thresholds: the probabilities at which masks will be cut.
        most_bytes: of a prompt's mask and its things.
        most_things: per prompt; 0 to take no mask apart.
    """
    encoded = predictor.encode(image)
    yield None
    points = [by_hand and by_hand.points for by_hand in clicks]
    boxes = [by_hand and by_hand.box for by_hand in clicks]
    asked = [read(prompt, predictor.info) if prompt.strip() else Asked("", "", False) for prompt in prompts]
    found = predictor.iter_segment(encoded, [one.text for one in asked], points, boxes)
    for prompt, one, by_hand, mask in zip(prompts, asked, clicks, found, strict=True):
        apart = one.apart and not by_hand and most_things
        kept = KeptMask.of(replace(mask, prompt=prompt), thresholds, most_bytes // 2 if apart else most_bytes)
        if apart:
            kept = yield from _apart(predictor, encoded, mask, kept, most_bytes // 2, most_things)
        yield kept


def label_map(
    predictor: Predictor, image: np.ndarray, prompts: Sequence[str], most_things: int
) -> Iterator[LabelMap | None]:
    """None when the image is encoded and after each step on a mask, then the label map."""
    encoded = predictor.encode(image)
    yield None
    settler = Settler(image.shape[:2])
    for found in predictor.iter_segment(encoded, prompts):
        settler.add(found)
        yield None
    settled, kept = settler.settled(), []
    for mask in settled.masks:
        if most_things and read(mask.prompt, predictor.info).apart:
            mask = yield from _apart(predictor, encoded, mask.at(), mask, None, most_things)
        kept.append(mask)
    yield replace(settled, masks=tuple(kept))


def _apart(
    predictor: Predictor,
    encoded: EncodedImage,
    found: Segmentation,
    kept: KeptMask,
    most_bytes: int | None,
    most_things: int,
) -> Generator[None, None, KeptMask]:
    """None after each step; returns the mask with its things."""
    things, most = [], most_bytes and most_bytes // most_things
    for thing in iter_separate(predictor, encoded, found, most_things):
        if thing is not None:
            things.append(KeptMask.of(thing, kept.thresholds, most))
        yield None
    return replace(kept, things=tuple(things))
