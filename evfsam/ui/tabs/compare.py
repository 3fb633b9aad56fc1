"""Checkpoints, phrases or precisions against each other on one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from evfsam.errors import InputError
from evfsam.media.export import bundle, slug
from evfsam.media.images import open_image
from evfsam.runtime import PRECISIONS as KNOWN_PRECISIONS
from evfsam.types import Segmentation
from evfsam.ui import answers, comparison, downloads
from evfsam.ui.comparison import CHECKPOINTS, PHRASES, PRECISIONS, WAYS, Side
from evfsam.ui.components import picture_input
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import example_gallery, read_examples
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.phrases import split_phrases
from evfsam.ui.service import ModelService
from evfsam.ui.tabs import common

TAB = "compare"
# A native slider, so that arrow keys move it as well.
SLIDE = """element.addEventListener("input", (event) => {
  event.target.closest(".evf-slider").style.setProperty("--cut", `${event.target.value}%`);
});"""
EMPTY = common.empty_stage(
    "See what differs",
    "Two to four checkpoints, phrases or precisions on one picture,",
    "each with its score, its time and its memory.",
)


@dataclass(frozen=True)
class Compared:
    """The answers that a session compares."""

    picture_path: str
    sides: tuple[Side, ...]

    @property
    def image(self) -> np.ndarray:
        """uint8 (H, W, 3), read again from its file."""
        return open_image(self.picture_path)

    @property
    def labels(self) -> list[str]:
        return [side.candidate.label for side in self.sides]


def compare(
    service: ModelService,
    way: str,
    path: str | None,
    text: str,
    models: Sequence[str],
    precisions: Sequence[str],
    model: str,
) -> Iterator[Compared]:
    """Ask every side in turn; after each, what there is by then. Raises EvfSamError for what cannot be compared."""
    chosen = comparison.candidates(way, models or [], split_phrases(text), precisions or [], model)
    for candidate in chosen:
        service.info(candidate.model)
    image = service.open(path, len(chosen))
    sides: list[Side] = []
    for candidate in chosen:
        sides.append(service.measure(candidate, image))
        yield Compared(path, tuple(sides))


def pair(compared: Compared | None, first: str, second: str) -> str:
    """Two sides over each other, and where they differ, as HTML."""
    if compared is None:
        raise InputError("Compare something first.")
    places = [compared.labels.index(label) if label in compared.labels else 0 for label in (first, second)]
    return comparison.pair_html(compared.image, compared.sides, *places)


def files(compared: Compared | None) -> tuple[str | None, list[str]]:
    """The zip of all, and the single files."""
    if compared is None:
        return None, []
    return downloads.picture_files(compared.image, compared.picture_path, named(compared), more(compared))


def contents(compared: Compared) -> Iterator[tuple[str, bytes]]:
    """Every file as (name, content)."""
    yield from bundle(compared.image, named(compared), Path(compared.picture_path).name)
    yield from more(compared)


def named(compared: Compared) -> Iterator[Segmentation]:
    """The sides' answers, named as the sides are."""
    return (downloads.renamed(side.segmentation, side.candidate.label) for side in compared.sides)


def more(compared: Compared) -> Iterator[tuple[str, bytes]]:
    """What a comparison adds to the masks: figures as JSON, and one difference map per pair."""
    stem = slug(Path(compared.picture_path).stem, "picture")
    return comparison.files(compared.image, stem, compared.sides)


def layout(service: ModelService, model: gr.Dropdown) -> common.Linked:
    """The tab's contents; ``model`` is the dropdown that all tabs share."""
    examples = read_examples()
    compared = gr.State(time_to_live=3600)
    names, precisions = list(service.models), list(KNOWN_PRECISIONS[service.runtime.device.type])
    local = [name for name, info in service.models.items() if not info.on_hub]
    # What can be compared at once: checkpoints if there are two without a download, else phrases.
    start = CHECKPOINTS if len(local) > 1 else PHRASES
    with gr.Row(equal_height=False):
        with common.question_column():
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
            gallery = example_gallery([(e, ", ".join(e.compare)) for e in examples], "compare-examples")
        with common.answer_column():
            grid = gr.HTML(EMPTY, elem_id="compare-grid", elem_classes=["evf-flush", "evf-view"])
            cancel = common.cancel_button(TAB)
            agreement = common.line()
            with gr.Column(visible=False) as pairs:
                with gr.Row():
                    first = gr.Dropdown([], label="Left", elem_id="compare-first")
                    second = gr.Dropdown([], label="Right", elem_id="compare-second")
                pair_view = gr.HTML("", js_on_load=SLIDE, elem_id="compare-pair", elem_classes=["evf-flush"])
            kept = common.downloads_panel(TAB, "Masks, cut-outs, overlay, COCO JSON, figures, difference maps")

    def check(way, path, text, models, levels, model):
        def enough(text):
            comparison.candidates(way, models or [], split_phrases(text), levels or [], model)

        said = common.valid(enough, text)
        return [common.ANY, common.valid(service.has_picture, path), said, *[common.ANY] * 3]

    def on_compare(way, path, text, models, levels, model, progress=common.PROGRESS):
        hidden = gr.update(visible=False)
        for found in compare(service, way, path, text, models, levels, model):
            notes = [answers.notes(side.segmentation, service.info(side.candidate.model)) for side in found.sides]
            grid_html = comparison.grid_html(found.image, found.sides, notes)
            yield found, grid_html, "", hidden, *[gr.skip()] * 3, hidden
        of = {CHECKPOINTS: models, PRECISIONS: levels}.get(way) or []
        link = link_to(TAB, path, model, by=way, ask=", ".join(split_phrases(text)), of=",".join(of))
        told_link = f'<p class="evf-status"><a href="{escape(link)}">link to this comparison</a></p>'
        left, right, *_ = found.labels
        visible = gr.update(visible=True)
        yield (
            found,
            gr.skip(),
            comparison.iou_html(found.sides) + told_link,
            visible,
            gr.update(choices=found.labels, value=left),
            gr.update(choices=found.labels, value=right),
            pair(found, left, right),
            hidden,
        )

    def on_way(way):
        return gr.update(visible=way == CHECKPOINTS), gr.update(visible=way == PRECISIONS)

    def on_example(way, event: gr.EventData):
        example = examples[int(event._data["index"])]
        asked = example.compare if way == PHRASES else example.compare[:1]
        return str(example.file), ", ".join(asked)

    inputs = [picture, way, models, levels, phrases]
    way.change(on_way, way, [models, levels], queue=False, **common.FREE)
    chosen = gallery.select(on_example, way, [picture, phrases], queue=False, **common.FREE)
    done = common.ask_on(
        [button.click, phrases.submit, chosen.success],
        on_compare,
        [way, picture, phrases, models, levels, model],
        [compared, grid, agreement, pairs, first, second, pair_view, kept.panel],
        check,
        grid,
    )
    cancel.click(None, None, None, cancels=done, queue=False, **common.FREE)
    for asked in done:
        asked.success(common.keep(files), compared, kept.outputs, **common.FREE)
    for event in (first.input, second.input):
        event(with_user_errors(pair), [compared, first, second], pair_view, **common.FREE)

    def values(query):
        by = query.get("by") if query.get("by") in WAYS else start
        of = query.get("of", "").split(",")
        named = gr.update(value=[name for name in of if name in service.models]) if by == CHECKPOINTS else gr.skip()
        level = gr.update(value=[name for name in of if name in precisions]) if by == PRECISIONS else gr.skip()
        return [linked_picture(query), by, named, level, query.get("ask", "")]

    return common.Linked(TAB, inputs, values)
