"""Answers in words and rows: what is said of a mask, and what is not hidden."""

from __future__ import annotations

from html import escape

from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.media.palette import colour_of
from evfsam.types import Segmentation
from evfsam.ui.state import Answer
from evfsam.ui.viewer import Row, percent

LOW_SCORE = 0.5  # predicted IoU below which a mask is more likely wrong than right


def rows(answer: Answer, threshold: float, info: CheckpointInfo) -> list[Row]:
    """One row a phrase, with its masks cut at ``threshold``."""
    return [
        Row(s.prompt or "clicks alone", s.mask, colour_of(i), s.score, notes(s, info))
        for i, s in enumerate(answer.at(threshold))
    ]


def notes(segmentation: Segmentation, info: CheckpointInfo) -> tuple[str, ...]:
    """What the user should know before trusting a mask."""
    found = list(segmentation.warnings)
    if not segmentation.mask.any():
        found.append("Nothing here: no part of the picture passes the threshold.")
    elif _seems_absent(segmentation, info):
        found.append(f"Probably not in this picture (presence {percent(segmentation.presence)}).")
    elif segmentation.score < LOW_SCORE:
        found.append("Low confidence: the model itself expects this mask to fit badly.")
    return tuple(found)


def _seems_absent(segmentation: Segmentation, info: CheckpointInfo) -> bool:
    # The published weights never learned it on phrases: only a checkpoint that says so is believed.
    return "presence" in info.capabilities and segmentation.presence is not None and segmentation.presence < 0.5


def status(answer: Answer) -> str:
    """Model, device and time taken, as HTML."""
    timed, count = answer.timed, len(answer.segmentations)
    asked = "1 phrase" if count == 1 else f"{count} phrases"
    picture = f"picture encoded in {seconds(timed.encode_seconds)}"
    return (
        f'<p class="evf-status">{escape(answer.model)} on {answer.device} ({answer.precision}) · {picture} · '
        f"{asked} answered in {seconds(timed.decode_seconds)}</p>"
    )


def seconds(value: float) -> str:
    """A duration as people write it."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
