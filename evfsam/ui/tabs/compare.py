"""Checkpoints, phrases or precisions against each other on one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr
import numpy as np

from evfsam.errors import InputError
from evfsam.media.overlay import overlay
from evfsam.media.palette import colour_of
from evfsam.runtime import PRECISIONS as KNOWN_PRECISIONS
from evfsam.ui import comparison, downloads
from evfsam.ui.comparison import CHECKPOINTS, PHRASES, PRECISIONS, WAYS, Side
from evfsam.ui.components import picture_input
from evfsam.ui.errors import told
from evfsam.ui.examples import example_gallery, read_examples
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.phrases import split_phrases
from evfsam.ui.state import Workbench
from evfsam.ui.tabs import common
from evfsam.ui.viewer import to_view

TAB = "compare"
EMPTY = common.empty_stage(
    "See what differs",
    "Two to four checkpoints, phrases or precisions on one picture,",
    "each with its score, its time and its memory.",
)


@dataclass(frozen=True)
class Compared:
    """What a session compares."""

    picture_rgb: np.ndarray
    picture_path: str
    sides: tuple[Side, ...]

    @property
    def labels(self) -> list[str]:
        return [side.candidate.label for side in self.sides]


def compare(
    bench: Workbench,
    way: str,
    path: str | None,
    text: str,
    models: Sequence[str],
    precisions: Sequence[str],
    model: str,
    progress: gr.Progress | None = None,
) -> Compared:
    """Ask every side in turn. Raises EvfSamError for what cannot be compared."""
    chosen = comparison.candidates(way, models or [], split_phrases(text), precisions or [], model)
    picture_rgb = bench.open(path)
    sides = []
    for i, candidate in enumerate(chosen):
        if progress:
            progress((i, len(chosen)), desc=f"Asking {candidate.label}", unit="answers")
        sides.append(bench.measure(candidate, picture_rgb))
    return Compared(picture_rgb, path, tuple(sides))


def pair(compared: Compared | None, first: str, second: str) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Two sides over each other: (overlay, overlay) for the slider, and where they differ."""
    if compared is None:
        raise InputError("Compare something first.")
    picture, a, b = compared.picture_rgb, *(_side(compared, label) for label in (first, second))
    masks = (a.segmentation.mask, b.segmentation.mask)
    drawn = tuple(
        to_view(overlay(picture, [mask], [colour_of(compared.labels.index(side.candidate.label))]))
        for mask, side in zip(masks, (a, b), strict=True)
    )
    return drawn, comparison.difference_map(picture, *masks)


def files(compared: Compared | None) -> tuple[str | None, list[str]]:
    """The zip of all, and the single files."""
    if compared is None:
        return None, []
    named = [downloads.renamed(side.segmentation, side.candidate.label) for side in compared.sides]
    return downloads.picture_files(compared.picture_rgb, compared.picture_path, named)


def _side(compared: Compared, label: str) -> Side:
    return next((side for side in compared.sides if side.candidate.label == label), compared.sides[0])


def layout(bench: Workbench, model: gr.Dropdown) -> common.Linked:
    """The tab's contents; ``model`` is the dropdown that all tabs share."""
    examples = read_examples()
    compared = gr.State(time_to_live=3600)
    names, precisions = list(bench.models), list(KNOWN_PRECISIONS[bench.runtime.device.type])
    local = [name for name, info in bench.models.items() if not info.on_hub]
    # What can be compared at once: checkpoints if there are two without a download, else phrases.
    start = CHECKPOINTS if len(local) > 1 else PHRASES
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            picture = picture_input(elem_id="compare-picture")
            way = gr.Radio(list(WAYS), value=start, label="Compare", elem_id="compare-way")
            models = gr.Dropdown(
                names,
                value=local[: comparison.MOST] if len(local) > 1 else names[: comparison.FEWEST],
                label="Checkpoints",
                multiselect=True,
                max_choices=comparison.MOST,
                visible=start == CHECKPOINTS,
                elem_id="compare-models",
            )
            levels = gr.CheckboxGroup(
                precisions, value=precisions, label="Precisions", visible=False, elem_id="compare-precisions"
            )
            phrases = gr.Textbox(
                label="What to find",
                info="One phrase; two to four of them, with commas, to compare phrases.",
                placeholder="the red car, the car that is red",
                max_lines=4,
                elem_id="compare-phrases",
            )
            button = gr.Button("Compare", variant="primary", elem_id="compare-ask")
            gallery = example_gallery([(e.picture, ", ".join(e.refer)) for e in examples], "compare-examples")
        with gr.Column(scale=8, min_width=320):
            grid = gr.HTML(EMPTY, elem_id="compare-grid", elem_classes=["evf-flush"])
            agreement = common.line()
            with gr.Column(visible=False) as pairs:
                with gr.Row():
                    first = gr.Dropdown([], label="Left", elem_id="compare-first")
                    second = gr.Dropdown([], label="Right", elem_id="compare-second")
                slider = gr.ImageSlider(
                    label="Drag to compare",
                    format="png",
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="compare-slider",
                )
                difference = gr.Image(
                    label="Where they differ: orange for the left one alone, blue for the right one alone",
                    format="png",
                    interactive=False,
                    buttons=["fullscreen", "download"],
                    elem_id="compare-difference",
                )
            kept = common.downloads_panel(TAB)

    def on_compare(way, path, text, models, levels, model, progress=common.PROGRESS):
        found = compare(bench, way, path, text, models, levels, model, progress)
        asked = ", ".join(split_phrases(text))
        link = link_to(TAB, path, model, by=way, ask=asked, of=",".join(models or []))
        told_link = f'<p class="evf-status"><a href="{link}">link to this comparison</a></p>'
        drawn, differs = pair(found, found.labels[0], found.labels[1])
        visible = gr.update(visible=True)
        return (
            found,
            comparison.grid_html(found.picture_rgb, found.sides),
            comparison.iou_html(found.sides) + told_link,
            visible,
            gr.update(choices=found.labels, value=found.labels[0]),
            gr.update(choices=found.labels, value=found.labels[1]),
            drawn,
            differs,
            visible,
        )

    def on_way(way):
        return gr.update(visible=way == CHECKPOINTS), gr.update(visible=way == PRECISIONS)

    def on_example(way, event: gr.EventData):
        example = examples[int(event._data["index"])]
        asked = example.refer[: comparison.MOST] if way == PHRASES else example.refer[:1]
        return str(example.picture), ", ".join(asked)

    way.change(on_way, way, [models, levels], queue=False, **common.FREE)
    chosen = gallery.select(on_example, way, [picture, phrases], queue=False, **common.FREE)
    for event in (button.click, phrases.submit, chosen.success):
        asked = event(
            told(on_compare),
            [way, picture, phrases, models, levels, model],
            [compared, grid, agreement, pairs, first, second, slider, difference, kept.panel],
            show_progress_on=grid,
            scroll_to_output=True,
            **common.ON_GPU,
        )
        asked.success(told(files), compared, kept.outputs, **common.FREE)
    for event in (first.input, second.input):
        event(told(pair), [compared, first, second], [slider, difference], **common.FREE)

    def values(query):
        of = [name for name in query.get("of", "").split(",") if name in bench.models]
        by = query.get("by") if query.get("by") in WAYS else start
        return [linked_picture(query), by, gr.update(value=of) if of else gr.skip(), query.get("ask", "")]

    return common.Linked(TAB, [picture, way, models, phrases], values)
