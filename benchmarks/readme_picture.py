"""Makes the README's first image: example scenes with prompts and masks.

    python -m benchmarks.readme_picture

The scenes have test seeds, so the model was not trained on them. The prompts are examples that work well; the model
card gives the scores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evfsam import DEFAULT_MODEL, Predictor
from evfsam.media.images import open_image
from evfsam.media.overlay import colour_of, overlay

ROOT = Path(__file__).parents[1]
PANELS = (
    ("meadow.jpg", ("large red bus left of the car", "little white bus", "the bird above the white bus")),
    ("street.jpg", ("the right dog", "yellow balloon", "the bus")),
    ("village.jpg", ("[semantic] sky", "[semantic] cloud", "[semantic] sand")),
)
PANEL_SIZE = (640, 427)  # width, height in pixels
GAP, LINE, FONT_SIZE = 16, 40, 24
INK = (31, 35, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures" / "segmented.jpg")
    args = parser.parse_args()
    predictor = Predictor.from_pretrained(args.model)
    panels = [panel(predictor, ROOT / "assets" / "examples" / name, prompts) for name, prompts in PANELS]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    beside(panels).save(args.out, quality=90)
    print(args.out)


def panel(predictor: Predictor, path: Path, prompts: tuple[str, ...]) -> Image.Image:
    """The image with its masks, and below it one line per prompt in the colour of its mask."""
    image = open_image(path)
    results = predictor.segment(image, prompts)
    width, height = PANEL_SIZE
    sheet = Image.new("RGB", (width, height + GAP + LINE * len(prompts)), "white")
    drawn = Image.fromarray(overlay(image, [result.mask for result in results]))
    sheet.paste(drawn.resize(PANEL_SIZE, Image.Resampling.LANCZOS))
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
