"""The example pictures and clips, with what to ask of them in each tab."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TypeVar

import gradio as gr
import numpy as np
from PIL import Image

from evfsam import values
from evfsam.media.images import open_image
from evfsam.media.video import VideoReader
from evfsam.resources import ASSETS
from evfsam.ui.viewer import picture_uri

T = TypeVar("T")
FOLDER = ASSETS / "examples"
DRAWN = "Examples"
PHOTOGRAPHS = "Photographs"
CHOOSE = """
element.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-index]");
  if (!chosen) return;
  trigger("select", { index: Number(chosen.dataset.index), value: null });
  // On a phone the answer to an example stands far above it.
  const view = element.closest(".evf-more") && element.closest(".tabitem").querySelector(".evf-view");
  const { top } = view ? view.getBoundingClientRect() : { top: 0 };
  if (top < 0 || top > innerHeight / 2) view.scrollIntoView();
});
element.dataset.ready = "yes";
"""


@dataclass(frozen=True)
class Example:
    """A picture and what to ask of it.

    Attributes:
        file: where it is.
        seed: of the scene it shows, None for a photograph.
        size: (width, height) in pixels.
        refer: phrases for the referring tab.
        semantic: categories for the semantic tab.
        parts: a thing and its parts; empty where none is asked for.
        compare: phrases to hold against each other; for checkpoints or precisions the first one alone.
    """

    file: Path
    seed: int | None
    size: tuple[int, int]
    refer: tuple[str, ...]
    semantic: tuple[str, ...]
    parts: tuple[str, ...]
    compare: tuple[str, ...]

    @property
    def is_photograph(self) -> bool:
        return self.seed is None


@dataclass(frozen=True)
class ExampleClip:
    """A clip and what to follow in it.

    Attributes:
        file: where it is.
        seed: of the scene in motion that it shows.
        size: (width, height) in pixels.
        frames: how many.
        fps: of them a second.
        follow: phrases for objects on the first frame.
    """

    file: Path
    seed: int
    size: tuple[int, int]
    frames: int
    fps: int
    follow: tuple[str, ...]


def read_clips(folder: Path = FOLDER) -> list[ExampleClip]:
    """All example clips."""
    rows = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
    return [
        ExampleClip(
            folder / row["clip"], row["seed"], tuple(row["size"]), row["frames"], row["fps"], tuple(row["follow"])
        )
        for row in rows
    ]


def picked(rows: Sequence[T], event: gr.EventData) -> T:
    """The example that a click in the gallery names. Raises InputError for any other."""
    return rows[values.number(event._data["index"], "example", 0, len(rows) - 1, whole=True)]


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
            tuple(row["compare"]),
        )
        for row in rows
    ]


def example_gallery(
    captioned: Sequence[tuple[Example | ExampleClip, str]], elem_id: str, last: str = "", told: str = ""
) -> gr.HTML:
    """Thumbnails to choose from; ``select`` brings the index.

    Args:
        captioned: (example, what will be asked) each.
        last: a title of its own for the last example.
        told: HTML below all of them.
    """
    groups = {DRAWN: "", PHOTOGRAPHS: "", last: ""}
    for i, (example, caption) in enumerate(captioned):
        alone = bool(last) and i == len(captioned) - 1
        groups[last if alone else PHOTOGRAPHS if example.seed is None else DRAWN] += (
            f'<button type="button" data-index="{i}"><img alt="" src="{_thumbnail(example.file)}">'
            f"<span>{escape(caption)}</span></button>"
        )
    return gr.HTML(
        "".join(
            f'<p class="evf-label">{title}</p><div class="evf-examples">{items}</div>'
            for title, items in groups.items()
            if items
        )
        + told,
        js_on_load=CHOOSE,
        elem_id=elem_id,
        elem_classes=["evf-flush", "evf-more"],
    )


@lru_cache
def _thumbnail(path: Path) -> str:
    image = Image.fromarray(VideoReader(path).frame(0) if path.suffix == ".mp4" else open_image(path))
    image.thumbnail((320, 320))
    return picture_uri(np.asarray(image))
