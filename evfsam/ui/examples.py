"""The example pictures, with what to ask of them in each tab."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from evfsam.ui.viewer import picture_uri

FOLDER = Path(__file__).parents[2] / "assets" / "examples"
CHOOSE = """
element.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-index]");
  if (chosen) trigger("select", { index: Number(chosen.dataset.index), value: null });
});
element.dataset.ready = "yes";
"""


@dataclass(frozen=True)
class Example:
    """A picture and what to ask of it.

    Attributes:
        picture: its file.
        seed: of the scene it shows, None for a photograph.
        size: (width, height) in pixels.
        refer: phrases for the referring tab.
        semantic: categories for the semantic tab.
        parts: a thing and its parts; empty where none is asked for.
    """

    picture: Path
    seed: int | None
    size: tuple[int, int]
    refer: tuple[str, ...]
    semantic: tuple[str, ...]
    parts: tuple[str, ...]


def read_examples(folder: Path = FOLDER) -> list[Example]:
    """All examples; the rendered pictures come first, the bundled checkpoint knows them."""
    rows = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    return [
        Example(
            folder / row["picture"],
            row["seed"],
            tuple(row["size"]),
            tuple(row["refer"]),
            tuple(row["semantic"]),
            tuple(row["parts"] or ()),
        )
        for row in rows
    ]


def example_gallery(captioned: Sequence[tuple[Path, str]], elem_id: str) -> gr.HTML:
    """Thumbnails to choose from: (picture, what will be asked) each; ``select`` brings the index."""
    items = "".join(
        f'<button type="button" data-index="{i}"><img alt="" src="{_thumbnail(picture)}">'
        f"<span>{escape(caption)}</span></button>"
        for i, (picture, caption) in enumerate(captioned)
    )
    return gr.HTML(
        f'<p class="evf-label">Examples</p><div class="evf-examples">{items}</div>',
        js_on_load=CHOOSE,
        elem_id=elem_id,
        elem_classes=["evf-flush"],
    )


@lru_cache
def _thumbnail(path: Path) -> str:
    with Image.open(path) as picture:
        picture.thumbnail((320, 320))
        return picture_uri(np.asarray(picture.convert("RGB")))
