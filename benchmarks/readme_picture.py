"""Makes the README's first image: a drawn scene and photographs with prompts and masks, none of them trained on.

    python -m benchmarks.readme_picture

The scene has a test seed; the photographs are scikit-image's. The prompts are examples that work well. The command also
prints how often prompts on such images are answered at least half right, from the ``scores.json`` beside the weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from evfsam import Predictor
from evfsam.checkpoints.registry import BUNDLED_FOLDER
from evfsam.media.images import open_image
from evfsam.media.overlay import colour_of, overlay

ROOT = Path(__file__).parents[1]
DRAWINGS, PHOTOGRAPHS = "evf-sam2-tiny", "evf-sam2-tiny-coco"
PANELS = (
    (DRAWINGS, "meadow.jpg", ("large red bus left of the car", "little white bus", "the bird above the white bus")),
    (PHOTOGRAPHS, "cat.jpg", ("the cat",)),
    (PHOTOGRAPHS, "astronaut.jpg", ("[semantic] person",)),
)
COUNTED = (
    (DRAWINGS, "scenes", "referring", "phrases on drawn scenes"),
    (PHOTOGRAPHS, "coco:held-out", "semantic", "categories on photographs"),
    (PHOTOGRAPHS, "coco:held-out", "semantic/person", "people on photographs"),
)
PANEL_SIZE = (640, 427)  # width, height in pixels
GAP, LINE, FONT_SIZE = 16, 40, 24
INK = (31, 35, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures" / "segmented.jpg")
    args = parser.parse_args()
    predictors = {name: Predictor.from_pretrained(name) for name in (DRAWINGS, PHOTOGRAPHS)}
    panels = [panel(predictors[model], ROOT / "assets" / "examples" / name, texts) for model, name, texts in PANELS]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    beside(panels).save(args.out, quality=90)
    print(args.out)
    for model, data, kind, what in COUNTED:
        print(f"{what}: {share_found(model, data, kind):.0%} with an IoU of at least 0.5")


def share_found(model: str, data: str, kind: str) -> float:
    """The share of prompts of one kind with an IoU of at least 0.5, from a checkpoint's newest report on some data."""
    reports = json.loads((BUNDLED_FOLDER / model / "scores.json").read_text(encoding="utf-8"))
    return [r["scores"]["model"][kind]["p50"] for r in reports if r["data"].startswith(data)][-1]


def panel(predictor: Predictor, path: Path, prompts: tuple[str, ...]) -> Image.Image:
    """The image with its masks, and below it one line per prompt in the colour of its mask."""
    image = open_image(path)
    results = predictor.segment(image, prompts)
    width, height = PANEL_SIZE
    sheet = Image.new("RGB", (width, height + GAP + LINE * len(prompts)), "white")
    drawn = Image.fromarray(overlay(image, [result.mask for result in results]))
    sheet.paste(ImageOps.pad(drawn, PANEL_SIZE, Image.Resampling.LANCZOS, color="white", centering=(0, 0)))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_SIZE)
    for row, result in enumerate(results):
        y = height + GAP + LINE * row
        draw.rounded_rectangle((2, y + 2, 2 + FONT_SIZE, y + 2 + FONT_SIZE), 6, fill=colour_of(row))
        draw.text((FONT_SIZE + GAP, y), result.prompt, INK, font)
        if not result.mask.any():
            draw.text((width - 8, y), "nothing found", INK, font, anchor="ra")
    return sheet


def beside(panels: list[Image.Image]) -> Image.Image:
    """Panels in a row, aligned at the top."""
    height = max(panel.height for panel in panels)
    row = [np.pad(panel, ((0, height - panel.height), (0, GAP), (0, 0)), constant_values=255) for panel in panels]
    return Image.fromarray(np.hstack(row)[:, :-GAP])


if __name__ == "__main__":
    main()
