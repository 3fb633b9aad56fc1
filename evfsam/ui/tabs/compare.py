"""Checkpoints, phrases or precisions against each other on one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from evfsam.errors import InputError
from evfsam.media.bundle import bundle
from evfsam.media.export import slug
from evfsam.media.images import open_image
from evfsam.runtime import PRECISIONS as KNOWN_PRECISIONS
from evfsam.types import Segmentation
from evfsam.ui import answers, comparison, downloads, viewer
from evfsam.ui.comparison import CHECKPOINTS, PRECISIONS, PROMPTS, WAYS, Candidate, Side
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import Example, example_gallery, picked, read_examples
from evfsam.ui.head import Head
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.prompts import split_prompts
from evfsam.ui.service import ModelService
from evfsam.ui.tabs import common

TAB = "compare"
# A native slider, so that arrow keys move it as well.
SLIDE = """element.addEventListener("input", (event) => {
  event.target.closest(".evf-slider").style.setProperty("--cut", `${event.target.value}%`);
});"""
PLACED = ("the left dog", "the right dog", "the dog")  # asked of the first example
ABOUT_PLACE = (
    '<p class="evf-status">EVF-SAM reads words of place. Users of SAM 3 report that it masks all things of the kind '
    '(<a href="https://github.com/facebookresearch/sam3/issues/461">sam3#461</a>). If sam3 is on this disk, choose it '
    "beside a checkpoint to see that.</p>"
)
EMPTY = common.empty_stage(
    "See what differs",
    "Two to four checkpoints, phrases or precisions on one picture,",
    "each with its score, its time and its memory.",
)


@dataclass(frozen=True)
class Compared:
    """The answers that a session compares, and the questions that are still to be answered."""

    picture_path: str
    sides: tuple[Side, ...]
    waiting: tuple[Candidate, ...] = ()

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
    chosen = comparison.candidates(way, models or [], split_prompts(text), precisions or [], model)
    for candidate in chosen:
        service.compared_info(candidate.model)
    image = service.open(path, len(chosen))
    sides: list[Side] = []
    for candidate in chosen:
        sides.append(service.measure(candidate, image))
        yield Compared(path, tuple(sides), tuple(chosen[len(sides) :]))


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


def question(way: str, path, text, models, precisions, model: str) -> common.Question:
    """What the inputs ask for now."""
    try:
        chosen = comparison.candidates(way, models or [], split_prompts(text), precisions or [], model)
    except InputError:
        chosen = []
    asked = [(side.model, side.prompt, side.precision) for side in chosen]
    # Where checkpoints are compared, the one that is chosen for the other tabs plays no part.
    return common.Question(path, "" if way == CHECKPOINTS else model, tuple(map(" ".join, asked)))


def prompt_html(way: str, compared: Compared) -> str:
    """Which phrase all sides were asked for, as HTML; empty where phrases are compared."""
    prompt = escape(compared.sides[0].candidate.prompt)
    return "" if way == PROMPTS else f'<p class="evf-asked">Asked for “{prompt}”.</p>'


def named(compared: Compared) -> Iterator[Segmentation]:
    """The sides' answers, named as the sides are."""
    return (downloads.renamed(side.segmentation, side.candidate.label) for side in compared.sides)


def more(compared: Compared) -> Iterator[tuple[str, bytes]]:
    """What a comparison adds to the masks: figures as JSON, and one difference map per pair."""
    stem = slug(Path(compared.picture_path).stem, "picture")
    return comparison.files(compared.image, stem, compared.sides)


class Widgets:
    """The tab's components, in the order of the page."""

    def __init__(self, service: ModelService, examples: Sequence[Example]):
        self.compared, self.asked = gr.State(time_to_live=3600), gr.State(time_to_live=3600)
        self.names = [*service.models, *service.systems]
        self.known = list(KNOWN_PRECISIONS[service.runtime.device.type])
        self.local = [name for name, info in service.models.items() if not info.on_hub]
        # What can be compared at once: checkpoints if there are two without a download, else phrases.
        self.start = CHECKPOINTS if len(self.local) > 1 else PROMPTS
        with gr.Row(equal_height=False):
            with common.question_column():
                self._question(examples)
            with common.answer_column():
                self._answer()

    def _question(self, examples: Sequence[Example]) -> None:
        self.picture = common.tab_picture(TAB)
        self.way = gr.Radio(list(WAYS), value=self.start, label="Compare", elem_id="compare-way")
        self.models = gr.Dropdown(
            self.names,
            value=self.local[: comparison.MOST] if len(self.local) > 1 else self.names[: comparison.FEWEST],
            label="Checkpoints and systems",
            multiselect=True,
            max_choices=comparison.MOST,
            visible=self.start == CHECKPOINTS,
            elem_id="compare-models",
        )
        self.levels = gr.CheckboxGroup(
            self.known, value=self.known, label="Precisions", visible=False, elem_id="compare-precisions"
        )
        self.prompts = gr.Textbox(
            label="What to find",
            info=asked_info(self.start),
            placeholder="the red car, the car that is red",
            max_lines=4,
            elem_id="compare-phrases",
        )
        self.button = gr.Button("Compare", variant="primary", elem_id="compare-ask")
        captioned = [(e, ", ".join(e.compare)) for e in examples]
        self.gallery = example_gallery(captioned, "compare-examples", "Words of place", ABOUT_PLACE)

    def _answer(self) -> None:
        self.stale = common.line()
        self.prompt = common.line()
        self.grid = common.viewer(EMPTY, "compare-grid")
        self.cancel = common.cancel_button(TAB)
        self.agreement = common.line()
        with gr.Column(visible=False) as self.pairs:
            with gr.Row():
                self.first = gr.Dropdown([], label="Left", elem_id="compare-first")
                self.second = gr.Dropdown([], label="Right", elem_id="compare-second")
            self.pair = gr.HTML("", js_on_load=SLIDE, elem_id="compare-pair", elem_classes=["evf-flush"])
        self.kept = common.downloads_panel(TAB, "Masks, cut-outs, overlay, COCO JSON, figures, difference maps")


def asked_info(way: str) -> str:
    """How many phrases a comparison takes."""
    return "Two to four phrases, with commas between them." if way == PROMPTS else "Only the first phrase is used."


def layout(service: ModelService, head: Head) -> common.Linked:
    """The tab's contents."""
    examples = read_examples()
    examples.append(replace(examples[0], compare=PLACED))
    w = Widgets(service, examples)
    hidden, visible = gr.update(visible=False), gr.update(visible=True)
    shown = [w.compared, w.prompt, w.grid, w.agreement, w.pairs, w.asked, w.kept.panel]

    def fresh(model, path):
        html = common.picture_html(service, path, EMPTY)
        return [None, "", html, str(viewer.HTML.link(link_to(TAB, path, model), hidden=True)), hidden, None, hidden]

    def check(way, path, text, models, levels, model):
        def enough(text):
            comparison.candidates(way, models or [], split_prompts(text), levels or [], model)

        said = common.valid(enough, text)
        return [common.ANY, common.valid(service.has_picture, path), said, *[common.ANY] * 3]

    def on_compare(way, path, text, models, levels, model, progress=common.PROGRESS):
        nothing = [gr.skip()] * 3
        for found in compare(service, way, path, text, models, levels, model):
            rows = [service.compared_info(side.candidate.model) for side in found.sides]
            notes = [answers.notes(side.segmentation, row) for side, row in zip(found.sides, rows, strict=True)]
            grid_html = comparison.grid_html(found.image, found.sides, notes, found.waiting)
            yield found, prompt_html(way, found), grid_html, "", hidden, None, hidden, *nothing
        of = {CHECKPOINTS: models, PRECISIONS: levels}.get(way) or []
        link = link_to(TAB, path, model, by=way, ask=", ".join(split_prompts(text)), of=",".join(of))
        table = f'<p class="evf-status">{viewer.HTML.link(link)}</p>{comparison.iou_html(found.sides)}'
        asked = question(way, path, text, models, levels, model)
        left, right, *_ = found.labels
        yield (
            *(found, gr.skip(), gr.skip(), table, visible, asked, hidden),
            gr.update(choices=found.labels, value=left),
            gr.update(choices=found.labels, value=right),
            pair(found, left, right),
        )

    def on_way(way):
        return (
            gr.update(visible=way == CHECKPOINTS),
            gr.update(visible=way == PRECISIONS),
            gr.update(info=asked_info(way)),
        )

    def on_example(way, model, event: gr.EventData):
        example = picked(examples, event)
        way = PROMPTS if example.compare == PLACED else way
        asked = example.compare if way == PROMPTS else example.compare[:1]
        return str(example.file), ", ".join(asked), way, *fresh(model, str(example.file))

    inputs = [w.way, w.picture, w.prompts, w.models, w.levels, head.model]
    w.way.change(on_way, w.way, [w.models, w.levels, w.prompts], queue=False, **common.FREE)
    started = [w.picture, w.prompts, w.way, *shown]
    chosen = w.gallery.select(on_example, [w.way, head.model], started, queue=False, **common.FREE)
    done = common.ask_on(
        [w.button.click, w.prompts.submit, chosen.success],
        on_compare,
        inputs,
        [*shown, w.first, w.second, w.pair],
        check,
        w.grid,
    )
    common.cancel_on(w.cancel, done)
    watched = common.watch(question, inputs, w.asked, w.stale, "Compare")
    for asked in done:
        asked.success(common.keep(files), w.compared, w.kept.outputs, **common.FREE)
    for event in (w.first.input, w.second.input):
        event(with_user_errors(pair), [w.compared, w.first, w.second], w.pair, **common.FREE)

    def values(query):
        by = query.get("by") if query.get("by") in WAYS else w.start
        of = query.get("of", "").split(",")
        named = gr.update(value=[name for name in of if name in w.names]) if by == CHECKPOINTS else gr.skip()
        level = gr.update(value=[name for name in of if name in w.known]) if by == PRECISIONS else gr.skip()
        return [linked_picture(query), by, named, level, query.get("ask", "")]

    linked = [w.picture, w.way, w.models, w.levels, w.prompts]
    return common.Linked(TAB, linked, values, w.picture, fresh, shown, watched)
