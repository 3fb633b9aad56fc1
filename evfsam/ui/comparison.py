"""Two to four answers on one picture, side by side: what differs, and what each costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from evfsam.errors import InputError
from evfsam.media.overlay import overlay
from evfsam.media.palette import RGB, colour_of
from evfsam.types import Segmentation
from evfsam.ui.viewer import layer_uri, percent, picture_uri, seconds, to_view

FEWEST, MOST = 2, 4
CHECKPOINTS, PHRASES, PRECISIONS = "checkpoints", "phrases", "precisions"
WAYS = (CHECKPOINTS, PHRASES, PRECISIONS)


@dataclass(frozen=True)
class Candidate:
    """One side of a comparison: what to ask whom, and how to call it."""

    label: str
    model: str
    phrase: str
    precision: str


@dataclass(frozen=True, eq=False)
class Side:
    """One side's answer.

    Attributes:
        weight_bytes: what the checkpoint's weights take at this precision.
        encode_seconds, decode_seconds: measured with nothing remembered of the picture.
    """

    candidate: Candidate
    segmentation: Segmentation
    encode_seconds: float
    decode_seconds: float
    weight_bytes: int


def candidates(
    way: str, models: Sequence[str], phrases: Sequence[str], precisions: Sequence[str], model: str
) -> list[Candidate]:
    """The sides of a comparison by ``way``; what is not compared is ``model``, the first phrase, "auto".

    Raises InputError unless there are two to four.
    """
    if way not in WAYS:
        raise InputError(f"There is no comparison by {way!r}; choose one of {', '.join(WAYS)}.")
    phrase = phrases[0]
    sides = {
        CHECKPOINTS: [Candidate(name, name, phrase, "auto") for name in dict.fromkeys(models)],
        PHRASES: [Candidate(text, model, text, "auto") for text in phrases],
        PRECISIONS: [Candidate(name, model, phrase, name) for name in dict.fromkeys(precisions)],
    }[way]
    if not FEWEST <= len(sides) <= MOST:
        raise InputError(f"Choose {FEWEST} to {MOST} {way} to compare, not {len(sides)}.")
    return sides


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks, bool (H, W); 1 if both are empty: they agree."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def pairwise_iou(sides: Sequence[Side]) -> np.ndarray:
    """float (n, n), symmetric, 1 on the diagonal."""
    masks = [side.segmentation.mask for side in sides]
    return np.array([[iou(a, b) for b in masks] for a in masks])


def difference_map(picture_rgb: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The picture in grey, with what only one of two masks takes in that one's colour: uint8 (h, w, 3)."""
    view = to_view(picture_rgb)
    grey = np.repeat(view.mean(2, keepdims=True) * 0.6 + 60, 3, axis=2).clip(0, 255).astype(np.uint8)
    only_a, only_b = (to_view(mask * np.uint8(255)) > 127 for mask in (a & ~b, b & ~a))
    return overlay(grey, [only_a, only_b], [colour_of(0), colour_of(1)], fill_opacity=0.8, outline_px=0)


def grid_html(picture_rgb: np.ndarray, sides: Sequence[Side]) -> str:
    """Every side's picture with its score, area, time and memory."""
    picture = picture_uri(to_view(picture_rgb))
    height, width = picture_rgb.shape[:2]
    ratio = f"aspect-ratio: {width} / {height}; --ratio: {width / height:.5f}"
    return f'<div class="evf-grid">{"".join(_cards(sides, picture, ratio))}</div>'


def _cards(sides: Sequence[Side], picture: str, ratio: str) -> Iterator[str]:
    for i, side in enumerate(sides):
        found, colour, label = side.segmentation, colour_of(i), escape(side.candidate.label)
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in found.warnings)
        yield (
            f'<article><div class="evf-stage" style="{ratio}"><img class="picture" alt="" src="{picture}">'
            f'<img class="layer" alt="Mask of {label}" src="{layer_uri(found.mask, colour)}"></div>'
            f"<h3>{_swatch(colour)}{label}</h3><dl>"
            f"<div><dt>Score</dt><dd>{found.score:.2f}</dd></div>"
            f"<div><dt>Area</dt><dd>{percent(found.area_fraction)}</dd></div>"
            f"<div><dt>Picture</dt><dd>{seconds(side.encode_seconds)}</dd></div>"
            f"<div><dt>Phrase</dt><dd>{seconds(side.decode_seconds)}</dd></div>"
            f"<div><dt>Weights</dt><dd>{megabytes(side.weight_bytes)}</dd></div></dl>{notes}</article>"
        )


def iou_html(sides: Sequence[Side]) -> str:
    """Pairwise IoU as a table."""
    names = [_swatch(colour_of(i)) + escape(side.candidate.label) for i, side in enumerate(sides)]
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = ""
    for i, (name, values) in enumerate(zip(names, pairwise_iou(sides), strict=True)):
        cells = "".join(f"<td>{'' if i == j else f'{value:.2f}'}</td>" for j, value in enumerate(values))
        rows += f'<tr><th scope="row">{name}</th>{cells}</tr>'
    caption = "<caption>Agreement (IoU of each pair of masks)</caption>"
    return (
        f'<div class="evf-scroll"><table class="evf-table">{caption}'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _swatch(colour: RGB) -> str:
    return f'<i class="swatch" style="background: rgb{colour}"></i>'


def megabytes(count: int) -> str:
    """A size as people write it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
