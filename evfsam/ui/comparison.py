"""Two to four answers on one picture, side by side: what differs, and what each costs."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np
from PIL import Image

from evfsam.errors import InputError
from evfsam.geometry import mask_iou
from evfsam.media.export import slug
from evfsam.media.overlay import difference, overlay
from evfsam.media.palette import RGB, colour_of
from evfsam.types import Segmentation
from evfsam.ui.kept import KeptMask
from evfsam.ui.viewer import TEMPLATES, picture_uri, to_view

FEWEST, MOST = 2, 4
CHECKPOINTS, PROMPTS, PRECISIONS = "checkpoints", "phrases", "precisions"
WAYS = (CHECKPOINTS, PROMPTS, PRECISIONS)


@dataclass(frozen=True)
class Candidate:
    """One side of a comparison: its label, and the question to a checkpoint."""

    label: str
    model: str
    prompt: str
    precision: str


@dataclass(frozen=True, eq=False)
class Side:
    """One side's answer.

    Attributes:
        kept: its mask, compressed.
        encode_seconds, decode_seconds: measured without features that were kept from an earlier question.
        weight_bytes: memory of the checkpoint's weights at this precision.
    """

    candidate: Candidate
    kept: KeptMask
    encode_seconds: float
    decode_seconds: float
    weight_bytes: int

    @property
    def segmentation(self) -> Segmentation:
        """The answer at full size, made anew each time."""
        return self.kept.at()


def candidates(
    way: str, models: Sequence[str], prompts: Sequence[str], precisions: Sequence[str], model: str
) -> list[Candidate]:
    """The sides of a comparison by ``way``. What is not compared is ``model``, the first phrase and "auto".

    Raises InputError unless there are two to four.
    """
    if way not in WAYS:
        raise InputError(f"There is no comparison by {way!r}; choose one of {', '.join(WAYS)}.")
    prompt = prompts[0]
    sides = {
        CHECKPOINTS: [Candidate(name, name, prompt, "auto") for name in dict.fromkeys(models)],
        PROMPTS: [Candidate(text, model, text, "auto") for text in prompts],
        PRECISIONS: [Candidate(name, model, prompt, name) for name in dict.fromkeys(precisions)],
    }[way]
    if not FEWEST <= len(sides) <= MOST:
        raise InputError(f"Choose {FEWEST} to {MOST} {way} to compare, not {len(sides)}.")
    return sides


def pairwise_iou(sides: Sequence[Side]) -> np.ndarray:
    """Intersection over union of the masks of each two sides, float (n, n); 1 if both are empty."""
    masks = [side.segmentation.mask for side in sides]
    return np.array([[mask_iou(a, b) for b in masks] for a in masks])


def difference_map(image: np.ndarray, masks: tuple[np.ndarray, np.ndarray], colours: tuple[RGB, RGB]) -> np.ndarray:
    """:func:`evfsam.media.overlay.difference` at the size of the screen: uint8 (h, w, 3)."""
    a, b = masks
    return difference(to_view(image), (to_view(a), to_view(b)), colours)


def pair_html(image: np.ndarray, sides: Sequence[Side], first: int, second: int) -> str:
    """Two sides over each other with a slider between them, and below it where they differ."""
    places = first, second
    names, masks = zip(*((sides[i].candidate.label, sides[i].segmentation.mask) for i in places), strict=True)
    colours = colour_of(first), colour_of(second)
    left, right = (
        picture_uri(overlay(to_view(image), [to_view(mask)], [colour]))
        for mask, colour in zip(masks, colours, strict=True)
    )
    difference = picture_uri(difference_map(image, masks, colours))
    return str(HTML.pair(left, right, difference, names, places, image.shape[:2]))


def files(image: np.ndarray, stem: str, sides: Sequence[Side]) -> Iterator[tuple[str, bytes]]:
    """What a comparison adds to the masks, as (file name, content): a difference map per pair, and figures as JSON."""
    labels = [side.candidate.label for side in sides]
    for i, j in combinations(range(len(sides)), 2):
        masks = sides[i].segmentation.mask, sides[j].segmentation.mask
        drawn = Image.fromarray(difference_map(image, masks, (colour_of(i), colour_of(j))))
        buffer = io.BytesIO()
        drawn.save(buffer, "png")
        yield f"{stem}.difference.{slug(labels[i], str(i))}.{slug(labels[j], str(j))}.png", buffer.getvalue()
    document = {"sides": [figures(side) for side in sides], "iou": pairwise_iou(sides).round(6).tolist()}
    yield f"{stem}.comparison.json", json.dumps(document, ensure_ascii=False, indent=1).encode()


def figures(side: Side) -> dict[str, Any]:
    """The measurements of a side, for JSON."""
    candidate, found = side.candidate, side.segmentation
    return {
        "label": candidate.label,
        "model": candidate.model,
        "phrase": candidate.prompt,
        "precision": candidate.precision,
        "score": round(found.score, 6),
        "area": round(found.area_fraction, 6),
        "encode_seconds": side.encode_seconds,
        "decode_seconds": side.decode_seconds,
        "weight_bytes": side.weight_bytes,
    }


def grid_html(
    image: np.ndarray, sides: Sequence[Side], notes: Sequence[tuple[str, ...]], waiting: Sequence[Candidate] = ()
) -> str:
    """Every side's mask over the image, with its score, area, time, memory and notes; empty cards for those to come."""
    shown, count = picture_uri(to_view(image)), len(sides) + len(waiting)
    made = ((side.candidate.label, side, side.segmentation, own) for side, own in zip(sides, notes, strict=True))
    cards = chain(made, ((candidate.label, None, None, ()) for candidate in waiting))
    columns = 2 if count == MOST else count
    return str(HTML.grid(shown, image.shape[:2], cards, columns, zlib.crc32(shown.encode())))


def iou_html(sides: Sequence[Side]) -> str:
    """Pairwise IoU as a table."""
    return str(HTML.agreement([side.candidate.label for side in sides], pairwise_iou(sides)))


def megabytes(count: int) -> str:
    """A size as people write it."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


TEMPLATES.filters["megabytes"] = megabytes
HTML = TEMPLATES.get_template("comparison.html").module
