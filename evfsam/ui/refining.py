"""Answers that clicks change: one mask is asked for again, the others stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evfsam import values
from evfsam.errors import InputError
from evfsam.geometry import interior_point
from evfsam.types import PointPrompt, SpatialPrompt
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.clicking import with_drag, without
from evfsam.ui.kept import Answer
from evfsam.ui.service import ModelService


def refine(
    service: ModelService, answer: Answer | None, row: int | str | None, inside: bool, drag: tuple[float, ...]
) -> tuple[Answer, int | str]:
    """Add a click or a box to one mask and ask again for it; or ask for a new thing by them alone.

    Args:
        row: which mask, or, as "1.0", which thing of a mask that was taken apart; None for a new one.
        inside: whether a click belongs to the thing; a new thing starts with what belongs to it.
        drag: x, y where the pointer went down and x, y where it came up, in pixels of the picture.

    Returns the new answer and the row that it changed. Raises InputError for what cannot be used.
    """
    if answer is None:
        raise InputError("Bring a picture first, then click on it.")
    count = len(answer.masks)
    if row is None:
        service.limits.check_prompts(count + 1)
        return with_clicks(service, answer, count, with_drag(None, True, drag, answer.size_hw)), count
    if isinstance(row, str) and "." in row:
        return _with_thing(service, answer, row, inside, drag), row
    row = values.number(row, "row", 0, count - 1, whole=True, text=True)
    return with_clicks(service, answer, row, with_drag(answer.clicks[row], inside, drag, answer.size_hw)), row


def _with_thing(service: ModelService, answer: Answer, number: str, inside: bool, drag: tuple[float, ...]) -> Answer:
    """The answer with one thing asked for again by the point in its middle and this click."""
    row, _, place = number.partition(".")
    row = values.number(row, "row", 0, len(answer.masks) - 1, whole=True, text=True)
    mask = answer.masks[row]
    place = values.number(place, "thing", 0, len(mask.things) - 1, whole=True, text=True)
    thing = mask.things[place]
    middle = np.array([interior_point(thing.at().mask)], np.float32) + 0.5
    clicks = with_drag(SpatialPrompt(PointPrompt(middle, np.ones(1, np.int64))), inside, drag, answer.size_hw)
    again = service.answer(answer.model, answer.picture_path, MaskQuestion(("",), (clicks,)))
    things = *mask.things[:place], replace(again.masks[0], prompt=thing.prompt), *mask.things[place + 1 :]
    masks = *answer.masks[:row], replace(mask, things=things), *answer.masks[row + 1 :]
    return replace(again, masks=masks, clicks=answer.clicks, key=answer.key)


def with_clicks(service: ModelService, answer: Answer, row: int, clicks: SpatialPrompt | None) -> Answer:
    """The answer with one mask asked for again by these clicks, or a new one in the row after the last."""
    prompt = answer.prompts[row] if row < len(answer.masks) else ""
    again = service.answer(answer.model, answer.picture_path, MaskQuestion((prompt,), (clicks,)))
    masks = *answer.masks[:row], again.masks[0], *answer.masks[row + 1 :]
    all_clicks = *answer.clicks[:row], clicks, *answer.clicks[row + 1 :]
    return replace(again, masks=masks, clicks=all_clicks, key=answer.key)


def without_mark(service: ModelService, answer: Answer | None, row: int, mark: str) -> Answer:
    """The answer with one mark taken off one mask. A thing that was only clicked goes with its last mark.

    ``mark``: the index of a point, or "box". Raises InputError for a mark that is not there.
    """
    if answer is None:
        raise InputError("Ask for something first: then its marks can be removed.")
    row = values.number(row, "row", 0, len(answer.masks) - 1, whole=True, text=True)
    left = without(answer.clicks[row], mark)
    if answer.prompts[row] or _names_a_thing(left):
        return with_clicks(service, answer, row, left)
    masks, clicks = ((*kept[:row], *kept[row + 1 :]) for kept in (answer.masks, answer.clicks))
    return replace(answer, masks=masks, clicks=clicks)


def _names_a_thing(clicks: SpatialPrompt | None) -> bool:
    return bool(clicks and (clicks.box or (clicks.points and clicks.points.labels.any())))


def without_marks(service: ModelService, answer: Answer | None) -> Answer | None:
    """The words alone again; what was only clicked goes."""
    if answer is None or not any(answer.clicks):
        return answer
    named = [row for row, prompt in enumerate(answer.prompts) if prompt]
    changed = [row for row in named if answer.clicks[row]]
    kept = {row: answer.masks[row] for row in named}
    if changed:
        words = MaskQuestion(tuple(answer.prompts[row] for row in changed), (None,) * len(changed))
        again = service.answer(answer.model, answer.picture_path, words)
        kept |= dict(zip(changed, again.masks, strict=True))
    return replace(answer, masks=tuple(kept.values()), clicks=(None,) * len(kept))
