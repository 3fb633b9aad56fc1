"""Answers in words and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.media.palette import colour_of
from evfsam.processing.text import SEMANTIC_PREFIX
from evfsam.types import Segmentation
from evfsam.ui.kept import Answer, KeptMask
from evfsam.ui.prompts import with_quotes
from evfsam.ui.viewer import Row, percent, seconds

CLICKED = "clicked thing"  # a mask that was asked for without words
LOW_SCORE = 0.5  # predicted IoU below which a mask is more likely wrong than right
WORTH_TELLING = 0.01  # of the image: a seam between two masks is no conflict


def rows(answer: Answer, threshold: float, info: CheckpointInfo) -> list[Row]:
    """One row per phrase, with its mask cut at ``threshold``, and its things."""
    made, place = [], 0
    for found, things in zip(answer.at(threshold), answer.things_at(threshold), strict=True):
        own = thing_rows(things, place)
        made.append(Row(label_of(found), found.mask, colour_of(place), found.score, notes(found, info), own))
        place += max(1, len(own))
    return made


def thing_rows(things: Sequence[Segmentation], place: int) -> tuple[Row, ...]:
    """Numbered rows; ``place``: of the first one's colour."""
    return tuple(
        Row(f"{thing.prompt} {number}", thing.mask, colour_of(place + number - 1), thing.score)
        for number, thing in enumerate(things, start=1)
    )


def label_of(segmentation: Segmentation | KeptMask) -> str:
    """The name of a row: the phrase without its prefix."""
    return segmentation.prompt.removeprefix(SEMANTIC_PREFIX) or CLICKED


def notes(segmentation: Segmentation, info: CheckpointInfo, lost: float = 0.0) -> tuple[str, ...]:
    """What the user should know before trusting a mask; ``lost``: the share of the image that others took from it."""
    found = list(map(with_quotes, segmentation.warnings))
    if lost >= WORTH_TELLING:
        found.append(f"Another category took {percent(lost)} of the picture from it.")
    elif not segmentation.mask.any():
        if info.refinement.rejects(segmentation.presence):
            found.append("Probably not in this picture.")
        else:
            found.append("Nothing here: no part of the picture passes the threshold.")
    elif segmentation.score < LOW_SCORE:
        found.append("Low confidence: the model itself expects a bad fit.")
    return tuple(found)


def common_notes(rows_: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """The rows without the notes that all of them share, and those notes."""
    if len(rows_) < 2:
        return list(rows_), ()
    shared = [note for note in rows_[0].notes if all(note in row.notes for row in rows_)]
    own = [tuple(note for note in row.notes if note not in shared) for row in rows_]
    return [replace(row, notes=notes) for row, notes in zip(rows_, own, strict=True)], tuple(shared)


def status(answer: Answer, link: str, notices: Sequence[str] = ()) -> str:
    """Notes for all rows; then the model, the device, the time and the link that asks the same again, as HTML."""
    asked = "1 phrase" if answer.asked == 1 else f"{answer.asked} phrases"
    told = "".join(f'<p class="evf-notice">{escape(notice)}</p>' for notice in notices)
    took = seconds(answer.encode_seconds + answer.decode_seconds)
    return (
        f'{told}<p class="evf-status">{escape(answer.model)} on {answer.device} ({answer.precision}) · '
        f"{asked} answered in {took} · {link_html(link)}</p>"
    )


def place_html(link: str) -> str:
    """A link that the address bar follows and nobody sees: of a picture of which nothing was asked yet."""
    return f'<a class="evf-link" href="{escape(link)}" hidden>copy link</a>'


def link_html(link: str) -> str:
    """The link that opens the page with the same question; a click copies it (``static/link.js``)."""
    return f'<a class="evf-link" href="{escape(link)}">copy link</a>'
