"""The worst answers of a model as a page of pictures and a list: what it cannot do yet.

    python -m benchmarks.failures evf-sam2-tiny

Writes ``docs/failures-NAME.png`` and ``docs/failures-NAME.md``. Cases come from test scenes. Of all answers with the
lowest IoU those count as worst where most pixels are wrong; one case a scene, and of each kind of phrase no more
than its share of the page, so that one weakness does not hide the others. What a person saw in them, and what was
tried, is kept in ``failures.md`` beside the weights and stands above the list.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evfsam.data.scenes import KINDS_OF_EXPRESSION
from evfsam.evaluation.metrics import MaskMetrics
from evfsam.evaluation.samples import scene_samples
from evfsam.media.overlay import overlay
from evfsam.predictor import Predictor

ROOT = Path(__file__).parents[1]
DOCS, CHECKPOINTS = ROOT / "docs", ROOT / "assets" / "checkpoints"
CASES, COLUMNS = 24, 4
SIZE_HW = (256, 256)
LINE, FONT_SIZE, GAP = 18, 13, 8
TRUTH, ANSWER, INK = (34, 160, 60), (220, 40, 60), (31, 35, 40)


@dataclass(frozen=True)
class Case:
    """One wrong answer."""

    seed: int
    kind: str
    phrase: str
    iou: float
    wrong_share: float  # of the picture's pixels
    image: np.ndarray
    target: np.ndarray
    mask: np.ndarray


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of a checkpoint, or its folder")
    parser.add_argument("--seed", type=int, default=900_000, help="of the first scene (default: %(default)s)")
    parser.add_argument("--count", type=int, default=100, help="of scenes (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder (default: docs)")
    args = parser.parse_args(argv)
    predictor = Predictor.from_pretrained(args.name)
    name = predictor.checkpoint.info.name
    cases = worst(list(answers(predictor, args.seed, args.count)))
    args.out.mkdir(parents=True, exist_ok=True)
    page(cases).save(args.out / f"failures-{name}.png", optimize=True)
    seen_file = CHECKPOINTS / name / "failures.md"
    seen = seen_file.read_text(encoding="utf-8") if seen_file.exists() else ""
    (args.out / f"failures-{name}.md").write_text(listing(name, cases, args.seed, args.count, seen), encoding="utf-8")
    print(args.out / f"failures-{name}.md")


def answers(predictor: Predictor, seed: int, count: int) -> Iterator[Case]:
    """Every answer on these scenes."""
    for sample in scene_samples(range(seed, seed + count), SIZE_HW):
        found = predictor.segment(sample.image, [phrase.text for phrase in sample.phrases])
        for phrase, target, answer in zip(sample.phrases, sample.targets, found, strict=True):
            iou = MaskMetrics().update(answer.mask, target)
            wrong = float((answer.mask ^ target).mean())
            yield Case(sample.seed, phrase.kind, phrase.text, iou, wrong, sample.image, target, answer.mask)


def worst(cases: list[Case], count: int = CASES) -> list[Case]:
    """By IoU, then by how much is wrong; one a scene, and each kind at most twice its even share."""
    most, chosen = -(-2 * count // len(KINDS_OF_EXPRESSION)), []
    for case in sorted(cases, key=lambda case: (round(case.iou, 2), -case.wrong_share)):
        of_kind = sum(other.kind == case.kind for other in chosen)
        if of_kind < most and case.seed not in {other.seed for other in chosen}:
            chosen.append(case)
        if len(chosen) == count:
            break
    return chosen


def page(cases: list[Case]) -> Image.Image:
    """A grid: the truth in green, the answer in red, the phrase below."""
    height, width = SIZE_HW
    cell_w, cell_h = width + GAP, height + 2 * LINE + GAP
    rows = -(-len(cases) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * cell_w + GAP, max(1, rows) * cell_h + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for number, case in enumerate(cases):
        x, y = GAP + number % COLUMNS * cell_w, GAP + number // COLUMNS * cell_h
        sheet.paste(Image.fromarray(overlay(case.image, [case.target, case.mask], [TRUTH, ANSWER])), (x, y))
        draw.text((x, y + height + 2), _fitted(f"{number + 1}. {case.phrase}", font, width), INK, font)
        draw.text((x, y + height + 2 + LINE), f"{case.kind}, IoU {case.iou:.2f}", INK, font)
    return sheet


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """As much of a caption as is no wider; the list below the page has it whole."""
    if font.getlength(text) <= width:
        return text
    while font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text.rstrip()}..."


def listing(name: str, cases: list[Case], seed: int, count: int, seen: str) -> str:
    """The page's Markdown; ``seen`` is what a person has to say of it."""
    rows = [f"| {i} | {c.kind} | {c.phrase} | {c.iou:.2f} | {c.seed} |" for i, c in enumerate(cases, start=1)]
    return f"""# Where {name} fails

The {len(cases)} worst answers on scenes {seed} to {seed + count - 1}, which no training command can reach. Green: what
was meant. Red: what was answered. Written by `python -m benchmarks.failures {name}`.

![The worst answers](failures-{name}.png)

{seen}
| | kind | phrase | IoU | scene |
|---|---|---|---|---|
{chr(10).join(rows)}
"""


if __name__ == "__main__":
    main()
