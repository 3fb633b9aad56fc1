"""Questions about one image, step by step, so that the work can stop between two steps.

Several questions share one encoding of the image, and their prompts are one batch.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evfsam import values
from evfsam.errors import EvfSamError, InputError
from evfsam.predictor import Predictor
from evfsam.processing.inputs import spatial_prompts
from evfsam.things import Asked, iter_separate, read
from evfsam.types import EncodedImage, MaskLogits, Segmentation, SpatialPrompt
from evfsam.ui.kept import KeptMask
from evfsam.ui.label_map import LabelMap, Settler
from evfsam.ui.limits import Limits
from evfsam.ui.turns import ClientGoneError, Waiter


@dataclass(frozen=True)
class LabelQuestion:
    """Which of some categories each pixel belongs to; its answer is a :class:`LabelMap`."""

    prompts: tuple[str, ...]

    @property
    def clicks(self) -> tuple[None, ...]:
        return (None,) * len(self.prompts)

    def texts(self, predictor: Predictor) -> list[str]:
        """What the checkpoint is asked for."""
        return list(self.prompts)

    def finish(
        self, predictor: Predictor, encoded: EncodedImage, found: Iterator[Segmentation], limits: Limits
    ) -> Iterator[LabelMap | None]:
        """None after each step on a mask, then the label map."""
        size_hw = encoded.geometry.original_size_hw
        most_things = limits.things_per_prompt(size_hw, len(self.prompts))
        settler = Settler(size_hw)
        for mask in found:
            settler.add(mask)
            yield None
        settled, kept = settler.settled(), []
        for mask in settled.masks:
            if most_things and read(mask.prompt, predictor.info).apart:
                mask = yield from _apart(predictor, encoded, mask.at(), mask, None, most_things)
            kept.append(mask)
        yield replace(settled, masks=tuple(kept))


@dataclass(frozen=True)
class MaskQuestion:
    """A mask per prompt; the answer is a tuple of :class:`KeptMask`.

    Attributes:
        clicks: for each prompt, the points and the box that refine it, or None.
        thresholds: the probabilities at which masks will be cut.
        apart: whether masks are taken apart into things where the prompt asks for all of a kind.
    """

    prompts: tuple[str, ...]
    clicks: tuple[SpatialPrompt | None, ...]
    thresholds: tuple[float, ...]
    apart: bool

    def texts(self, predictor: Predictor) -> list[str]:
        """What the checkpoint is asked for."""
        return [one.text for one in self._read(predictor)]

    def _read(self, predictor: Predictor) -> list[Asked]:
        return [read(prompt, predictor.info) if prompt.strip() else Asked("", "", False) for prompt in self.prompts]

    def finish(
        self, predictor: Predictor, encoded: EncodedImage, found: Iterator[Segmentation], limits: Limits
    ) -> Iterator[tuple[KeptMask, ...] | None]:
        """None after each step on a mask or a thing, then a mask per prompt."""
        most_bytes = limits.kept_bytes // (2 * limits.prompts)  # the other half is for what can be undone
        size_hw = encoded.geometry.original_size_hw
        most_things = limits.things_per_prompt(size_hw, len(self.prompts)) if self.apart else 0
        masks = []
        for prompt, by_hand, one, mask in zip(self.prompts, self.clicks, self._read(predictor), found, strict=True):
            apart = one.apart and not by_hand and most_things
            most = most_bytes // 2 if apart else most_bytes
            kept = KeptMask.of(replace(mask, prompt=prompt), self.thresholds, most)
            if apart:
                kept = yield from _apart(predictor, encoded, mask, kept, most, most_things)
            masks.append(kept)
            yield None
        yield tuple(masks)


Question = MaskQuestion | LabelQuestion
Step = tuple[int | None, Any]


@dataclass(frozen=True)
class Answered:
    """What came of a question, and the seconds it took. Questions that were answered together share the encoding."""

    answer: Any
    size_hw: tuple[int, int]
    encode_seconds: float
    decode_seconds: float


def answers(
    predictor: Predictor, image: np.ndarray, questions: Sequence[Question], limits: Limits, gone: Collection[int] = ()
) -> Iterator[Step]:
    """Questions about an image, answered together.

    Args:
        gone: indices of questions that nobody waits for any more. The caller may add some after any step.

    Yields (None, None) after a step for all questions: the image is encoded, the prompts are decoded. Yields (i, None)
    after a step for question i, and last its answer, or the error that it ended with. An error in one question does
    not touch the others.
    """
    encoded = predictor.encode(image)
    yield None, None
    decoded = _decode(predictor, encoded, questions)
    yield None, None
    for i, (question, found) in enumerate(zip(questions, decoded, strict=True)):
        if i in gone:
            continue
        if isinstance(found, Exception):
            yield i, found
            continue
        try:
            for item in question.finish(predictor, encoded, found, limits):
                yield i, item
                if i in gone:
                    break
        except Exception as error:
            yield i, error


def within(limits: Limits, size_hw: tuple[int, int], waiters: Sequence[Waiter]) -> list[Waiter]:
    """Those who ask no more than the limits allow on an image of this size; the others are told."""
    for waiter in waiters:
        try:
            limits.check_image(size_hw, waiter.prompts)
        except InputError as error:
            waiter.answer.set_exception(error)
    return [waiter for waiter in waiters if not waiter.answer.done()]


def settle(waiters: Sequence[Waiter], steps: Iterator[Step], size_hw: tuple[int, int], gone: set[int]) -> None:
    """Settle the answers of all that wait by the steps of :func:`answers`. Stops once nobody waits.

    ``gone``: as in :func:`answers`; this adds to it.
    """
    shared, own, start = [], [0.0] * len(waiters), time.perf_counter()
    for i, item in steps:
        seconds, start = time.perf_counter() - start, time.perf_counter()
        if i is None:
            shared.append(seconds)
        else:
            own[i] += seconds
        if isinstance(item, Exception):
            waiters[i].answer.set_exception(item)
        elif item is not None:
            waiters[i].answer.set_result(Answered(item, size_hw, shared[0], shared[1] + own[i]))
        for waiter in waiters:
            if not waiter.answer.done() and not waiter.client.waits():
                waiter.answer.set_exception(ClientGoneError())
        gone |= {row for row, waiter in enumerate(waiters) if waiter.answer.done()}
        if len(gone) == len(waiters):
            break


def _decode(
    predictor: Predictor, encoded: EncodedImage, questions: Sequence[Question]
) -> list[Iterator[Segmentation] | Exception]:
    """For each question a mask per prompt, each made when it is taken, or the error that it ended with."""
    read: list[tuple[list[str], list[SpatialPrompt | None]] | Exception] = []
    for question in questions:
        points = [by_hand and by_hand.points for by_hand in question.clicks]
        boxes = [by_hand and by_hand.box for by_hand in question.clicks]
        try:
            texts = values.prompts(question.texts(predictor))
            read.append((texts, spatial_prompts(points, boxes, len(texts), encoded.geometry.original_size_hw)))
        except EvfSamError as error:
            read.append(error)
    decoded = iter(predictor.decode_many(encoded, [one for one in read if not isinstance(one, Exception)]))
    found: list[Iterator[Segmentation] | Exception] = []
    for one in read:
        part = one if isinstance(one, Exception) else next(decoded)
        found.append(part if isinstance(part, Exception) else _finished(predictor, encoded, *one, *part))
    return found


def _finished(
    predictor: Predictor,
    encoded: EncodedImage,
    texts: Sequence[str],
    spatial: Sequence[SpatialPrompt | None],
    masks: MaskLogits,
    warnings: Sequence[tuple[str, ...]],
) -> Iterator[Segmentation]:
    for i, text in enumerate(texts):
        yield predictor.finish(masks, i, encoded, text, warnings[i], text_only=spatial[i] is None)


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
