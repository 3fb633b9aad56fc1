"""The worst answers of an evaluation on one image, so that a person sees what a model cannot do yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evfsam.data.sample import Dataset, VideoSample
from evfsam.evaluation.answerers import model
from evfsam.evaluation.metrics import Counts
from evfsam.evaluation.records import Record
from evfsam.evaluation.runner import in_lower_case
from evfsam.media.overlay import overlay
from evfsam.predictor import Predictor

COLUMNS = 4
CELL = 256  # pixels: longest side of an image
LINE, FONT_SIZE, GAP = 18, 13, 8
TRUTH, ANSWER, INK = (34, 160, 60), (220, 40, 60), (31, 35, 40)


@dataclass(frozen=True)
class Case:
    """One answer beside its truth: image, uint8 (H, W, 3), masks, bool (H, W), and what to write below them."""

    image: np.ndarray
    target: np.ndarray
    answer: np.ndarray
    text: str
    caption: str


def worst_records(records: Sequence[Record], count: int) -> list[Record]:
    """The model's answers with the lowest IoU; among equal ones those with most wrong pixels.

    One per sample, and of each kind at most twice its even share, so that one weakness does not hide the others.
    """
    own = [record for record in records if record.answerer == "model"]
    most = -(-2 * count // max(1, len({record.kind for record in own})))
    chosen: list[Record] = []
    for record in sorted(own, key=lambda record: (round(record.counts.iou, 2), -_wrong_pixels(record))):
        of_kind = sum(other.kind == record.kind for other in chosen)
        if len(chosen) < count and of_kind < most and record.index not in {other.index for other in chosen}:
            chosen.append(record)
    return chosen


def _wrong_pixels(record: Record) -> int:
    return record.counts.union - record.counts.intersection if isinstance(record.counts, Counts) else 0


def answer_again(predictor: Predictor, dataset: Dataset, records: Sequence[Record], lower_case: bool) -> Iterator[Case]:
    """Read the samples of the records again and ask the model once more, for its masks.

    Of a clip the worst frame is shown. ``lower_case``: texts are asked as with ``reference_quirks``.
    """
    ask = model(predictor)
    for record in records:
        sample = in_lower_case(dataset[record.index]) if lower_case else dataset[record.index]
        mask, prompt = ask(sample, _no_other)[record.number], sample.prompts[record.number]
        caption = f"{prompt.kind}, IoU {record.counts.iou:.2f}, {sample.name}"
        if isinstance(sample, VideoSample):
            t = int(np.argmin(record.counts.j))
            yield Case(sample.frames[t], prompt.mask[t], mask[t], prompt.text, f"{caption}, frame {t}")
        else:
            yield Case(sample.image, prompt.mask, mask, prompt.text, caption)


def contact_sheet(cases: Sequence[Case]) -> Image.Image:
    """A grid, RGB: the truth in green, the answer in red, the prompt below."""
    cell_w, cell_h = CELL + GAP, CELL + 2 * LINE + GAP
    rows = max(1, -(-len(cases) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * cell_w + GAP, rows * cell_h + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for number, case in enumerate(cases):
        x, y = GAP + number % COLUMNS * cell_w, GAP + number // COLUMNS * cell_h
        scale = CELL / max(case.target.shape)
        size = tuple(max(1, round(side * scale)) for side in case.target.shape[::-1])
        image = cv2.resize(case.image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        masks = [
            cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
            for mask in (case.target, case.answer)
        ]
        sheet.paste(Image.fromarray(overlay(image, masks, [TRUTH, ANSWER])), (x, y))
        draw.text((x, y + CELL + 2), _fitted(f"{number + 1}. {case.text}", font), INK, font)
        draw.text((x, y + CELL + 2 + LINE), _fitted(case.caption, font), INK, font)
    return sheet


def _fitted(text: str, font) -> str:
    """As much of a caption as is no wider than a cell."""
    if font.getlength(text) <= CELL:
        return text
    while font.getlength(f"{text}...") > CELL:
        text = text[:-1]
    return f"{text.rstrip()}..."


def _no_other() -> None:
    """The model needs no other sample."""
