"""Answers as rows, with what the user should know of each."""

from __future__ import annotations

from dataclasses import replace

from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.media.palette import colour_of
from evfsam.processing.text import SEMANTIC_PREFIX
from evfsam.types import Segmentation
from evfsam.ui.kept import Answer, KeptMask
from evfsam.ui.prompts import with_quotes
from evfsam.ui.viewer import Row

CLICKED = "clicked thing"  # a mask that was asked for without words
LOW_SCORE = 0.5  # predicted IoU below which a mask is more likely wrong than right
WORTH_TELLING = 0.01  # of the image: a seam between two masks is no conflict


def rows(answer: Answer, threshold: float, info: CheckpointInfo) -> tuple[list[Row], list[str]]:
    """One row per mask, cut at ``threshold``, with its things; and the notes that all rows share, which none has then.

    The things of a label map are folded, and their colours follow those of all categories.
    """
    labels, made = answer.labels, []
    place = len(answer.masks) if labels else 0  # of the next colour
    for i, mask in enumerate(answer.masks):
        found = mask.at(threshold)
        things = tuple(
            Row(f"{thing.prompt} {number}", thing.at(threshold).mask, colour_of(place + number - 1), thing.score)
            for number, thing in enumerate(mask.things, start=1)
        )
        told, colour = notes(found, info, labels.lost[i] if labels else 0.0), colour_of(i if labels else place)
        made.append(Row(label_of(mask), found.mask, colour, found.score, told, things, unfolded=not labels))
        place += len(things) if labels else max(1, len(things))
    shared = [note for note in made[0].notes if all(note in row.notes for row in made)] if len(made) > 1 else []
    own = [tuple(note for note in row.notes if note not in shared) for row in made]
    return [replace(row, notes=notes) for row, notes in zip(made, own, strict=True)], shared


def label_of(segmentation: Segmentation | KeptMask) -> str:
    """The name of a row: the phrase without its prefix."""
    return segmentation.prompt.removeprefix(SEMANTIC_PREFIX) or CLICKED


def notes(segmentation: Segmentation, info: CheckpointInfo, lost: float = 0.0) -> tuple[str, ...]:
    """What the user should know before trusting a mask; ``lost``: the share of the image that others took from it."""
    found = list(map(with_quotes, segmentation.warnings))
    if lost >= WORTH_TELLING:
        found.append(f"Another category took {lost:.1%} of the picture from it.")
    elif not segmentation.mask.any():
        if info.refinement.rejects(segmentation.presence):
            found.append("Probably not in this picture.")
        else:
            found.append("Nothing here: no part of the picture passes the threshold.")
    elif segmentation.score < LOW_SCORE:
        found.append("Low confidence: the model itself expects a bad fit.")
    return tuple(found)
