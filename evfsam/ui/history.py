"""Undo and redo of what a session sees: clicks, phrases and the threshold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evfsam.ui.kept import Answer

STEPS = 20  # that can be undone, at most
TOGETHER_S = 1.0  # changes of the threshold that follow each other this fast are one step


@dataclass(frozen=True)
class Step:
    """What the page shows at a time.

    Attributes:
        answer: with its clicks.
        threshold: at which its masks are cut, 0..1.
        text: of the box for phrases.
        asked: the question that was answered.
        at_s: when, in seconds of any clock.
    """

    answer: Answer
    threshold: float
    text: str
    asked: Any = None
    at_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class History:
    """The step that is shown, those before it and those that were undone."""

    now: Step | None = None
    past: tuple[Step, ...] = ()
    future: tuple[Step, ...] = ()

    def then(self, step: Step, most_bytes: int) -> History:
        """The history with one more step. It keeps at most ``most_bytes`` of masks; the oldest steps go first.

        Another picture starts anew.
        """
        now = self.now
        if now is None or now.answer.picture_path != step.answer.picture_path:
            return History(step)
        if now.answer is step.answer and now.threshold == step.threshold:
            return self
        past = self.past
        moving = past and past[-1].answer is now.answer is step.answer and step.at_s - now.at_s < TOGETHER_S
        past = past if moving else (*past, now)[-STEPS:]
        while past and _bytes((*past, step)) > most_bytes:
            past = past[1:]
        return History(step, past)

    def undo(self) -> History:
        """One step back; the same history if there is none."""
        return History(self.past[-1], self.past[:-1], (self.now, *self.future)) if self.past else self

    def redo(self) -> History:
        """One step forward; the same history if there is none."""
        return History(self.future[0], (*self.past, self.now), self.future[1:]) if self.future else self


def _bytes(steps: tuple[Step, ...]) -> int:
    """Of all masks of these steps; a mask that several of them share counts once."""
    masks = [one for step in steps for mask in step.answer.masks for one in (mask, *mask.things)]
    return sum(len(levels) for levels in {id(mask.levels): mask.levels for mask in masks}.values())
