"""Questions about one image, step by step, so that the work can stop between two steps.

Several questions share one encoding of the image, and their prompts are one batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evfsam.errors import InputError
from evfsam.media.images import open_image
from evfsam.predictor import Predictor
from evfsam.processing.inputs import spatial_prompts
from evfsam.things import Asked, iter_separate
from evfsam.together import decode_together
from evfsam.types import EncodedImage, Segmentation, SpatialPrompt
from evfsam.ui.kept import THRESHOLDS, KeptMask, LabelMap
from evfsam.ui.label_map import Settler
from evfsam.ui.limits import Limits
from evfsam.ui.turns import ClientGoneError, Waiter

NO_WORDS = Asked("", "", False)  # of a thing that was only clicked


@dataclass(frozen=True)
class LabelQuestion:
    """Which of some categories each pixel belongs to: a mask per category, and the label map."""

    prompts: tuple[str, ...]

    @property
    def clicks(self) -> tuple[None, ...]:
        return (None,) * len(self.prompts)

    def finish(
        self,
        predictor: Predictor,
        encoded: EncodedImage,
        asked: Sequence[Asked],
        found: Iterator[Segmentation],
        limits: Limits,
    ) -> Iterator[Masks | None]:
        """None after each step on a mask, then the masks and the label map."""
        size_hw = encoded.geometry.original_size_hw
        most_things = limits.things_per_prompt(size_hw, len(self.prompts))
        settler = Settler(size_hw)
        for mask in found:
            settler.add(mask)
            yield None
        settled, kept = settler.settled(), []
        for mask, one in zip(settled.masks, asked, strict=True):
            if most_things and one.apart:
                mask = yield from _apart(predictor, encoded, mask.at(), mask, None, most_things)
            kept.append(mask)
        yield tuple(kept), settled


@dataclass(frozen=True)
class MaskQuestion:
    """A mask per prompt.

    Attributes:
        clicks: for each prompt, the points and the box that refine it, or None.
        thresholds: the probabilities at which masks will be cut.
        apart: whether masks are taken apart into things where the prompt asks for all of a kind.
    """

    prompts: tuple[str, ...]
    clicks: tuple[SpatialPrompt | None, ...]
    thresholds: tuple[float, ...] = THRESHOLDS
    apart: bool = True

    def finish(
        self,
        predictor: Predictor,
        encoded: EncodedImage,
        asked: Sequence[Asked],
        found: Iterator[Segmentation],
        limits: Limits,
    ) -> Iterator[Masks | None]:
        """None after each step on a mask or a thing, then a mask per prompt."""
        most_bytes = limits.kept_bytes // (2 * limits.prompts)  # the other half is for what can be undone
        size_hw = encoded.geometry.original_size_hw
        masks = []
        for by_hand, one, mask in zip(self.clicks, asked, found, strict=True):
            apart = self.apart and one.apart and not by_hand
            most_things = limits.things_per_prompt(size_hw, len(self.prompts)) if apart else 0
            most = most_bytes // 2 if most_things else most_bytes
            kept = KeptMask.of(mask, self.thresholds, most)
            if most_things:
                kept = yield from _apart(predictor, encoded, mask, kept, most, most_things)
            masks.append(kept)
            yield None
        yield tuple(masks), None


Masks = tuple[tuple[KeptMask, ...], LabelMap | None]  # what a question ends with
Question = MaskQuestion | LabelQuestion
Read = tuple[Question, Sequence[Asked]]  # a question, and how each of its prompts is read
Step = tuple[int | None, Masks | Exception | None]


@dataclass(frozen=True)
class Answered:
    """What came of a question, and the seconds it took. Questions that were answered together share the encoding."""

    masks: tuple[KeptMask, ...]
    labels: LabelMap | None
    size_hw: tuple[int, int]
    encode_seconds: float
    decode_seconds: float


def settle(waiters: Sequence[Waiter], picture_path: str, limits: Limits, answer: Callable[..., Iterator[Step]]) -> None:
    """Settle the answers of all that wait with questions about one image. Stops once nobody waits.

    Args:
        waiters: their questions are of the kind ``Read``. A question that is too large for an image of this size, or
            has a point or box outside of it, gets the error.
        answer: of (image, questions, gone), the steps of :func:`answers`.

    Raises InputError if the image cannot be opened.
    """
    image = open_image(picture_path, limits.pixels)
    size_hw = image.shape[:2]
    for waiter in waiters:
        question, asked = waiter.question
        try:
            limits.check_prompts(waiter.prompts, size_hw)
            if any(question.clicks):
                points = [by_hand and by_hand.points for by_hand in question.clicks]
                boxes = [by_hand and by_hand.box for by_hand in question.clicks]
                clicks = spatial_prompts(points, boxes, len(asked), size_hw)
                waiter.question = replace(question, clicks=tuple(clicks)), asked
        except InputError as error:
            waiter.answer.set_exception(error)
    waiters = [waiter for waiter in waiters if not waiter.answer.done()]
    if not waiters:
        return
    gone: set[int] = set()
    shared, own, start = [], [0.0] * len(waiters), time.perf_counter()
    for i, item in answer(image, [waiter.question for waiter in waiters], gone):
        seconds, start = time.perf_counter() - start, time.perf_counter()
        if i is None:
            shared.append(seconds)
        else:
            own[i] += seconds
        if isinstance(item, Exception):
            waiters[i].answer.set_exception(item)
        elif item is not None:
            waiters[i].answer.set_result(Answered(*item, size_hw, shared[0], shared[1] + own[i]))
        for row, waiter in enumerate(waiters):
            try:
                waiter.client.check()
            except ClientGoneError as error:
                if not waiter.answer.done():
                    waiter.answer.set_exception(error)
            if waiter.answer.done():
                gone.add(row)
        if len(gone) == len(waiters):
            break


def answers(
    predictor: Predictor, image: np.ndarray, questions: Sequence[Read], limits: Limits, gone: Collection[int] = ()
) -> Iterator[Step]:
    """Questions about an image, answered together.

    Args:
        gone: indices of questions that nobody waits for any more. The caller may add some after any step.

    Yields (None, None) after a step for all questions: the image is encoded, the prompts are decoded. Yields (i, None)
    after a step for question i, and last its masks, or the error that it ended with. An error in one question does
    not touch the others.
    """
    encoded = predictor.encode(image)
    yield None, None
    batch = [([one.text for one in asked], question.clicks) for question, asked in questions]
    decoded = decode_together(predictor, encoded, batch)
    yield None, None
    for i, ((question, asked), part) in enumerate(zip(questions, decoded, strict=True)):
        if i in gone:
            continue
        if isinstance(part, Exception):
            yield i, part
            continue
        masks, rows, warnings = part
        found = (
            replace(predictor.finish(masks, row, encoded, one.text, warnings[row], by_hand), prompt=prompt)
            for row, one, prompt, by_hand in zip(rows, asked, question.prompts, question.clicks, strict=True)
        )
        try:
            for item in question.finish(predictor, encoded, asked, found, limits):
                yield i, item
                if i in gone:
                    break
        except Exception as error:
            yield i, error


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
