"""Everything of a category at once: one label map, with a legend and how much of the picture each covers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import gradio as gr

from evfsam.errors import InputError
from evfsam.media.annotations import COCO
from evfsam.media.export import slug
from evfsam.media.palette import hex_of
from evfsam.ui import answers, viewer
from evfsam.ui.asking import LabelQuestion
from evfsam.ui.downloads import bare, picture_files
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import Example, example_gallery, picked, read_examples
from evfsam.ui.head import Head
from evfsam.ui.kept import DEFAULT, UNLABELLED, Answer
from evfsam.ui.label_map import labels_png
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.prompts import chosen_prompts
from evfsam.ui.service import ModelService
from evfsam.ui.several import Several
from evfsam.ui.tabs import common
from evfsam.ui.viewer import Row
from evfsam.ui.vocabulary import semantic_prompt, vocabulary_of

TAB = "semantic"
EMPTY = common.empty_stage(
    "Label everything of a kind",
    "Choose categories, or type your own, and every pixel gets at most one of them.",
    "The prefix “[semantic]” is added for you.",
)
CONTESTED = (255, 255, 255)


def categories(chosen: Sequence[str] | None, typed: str | None) -> list[str]:
    """The chosen chips and the typed categories, each once. Raises InputError if there are none."""
    return chosen_prompts(chosen, typed, "category")


def ask(service: ModelService, model: str, path: str | None, names: Sequence[str]) -> Answer:
    """Categories on an image file. Raises EvfSamError for what cannot be used."""
    prompts = dict.fromkeys(semantic_prompt(name) for name in names)
    return service.answer(model, path, LabelQuestion(tuple(prompts)))


def show(service: ModelService, answer: Answer) -> tuple[str, str]:
    """The label map as the viewer's HTML, and the status line."""
    rows, shared = answers.rows(answer, DEFAULT, service.info(answer.model))
    labels = [row.label for row in rows]
    contested = answer.labels.contested.at().mask
    if contested.mean() >= answers.WORTH_TELLING:
        told_so = ("Several categories claimed these pixels. The one that is surest got them.",)
        rows.append(Row("claimed by several", contested, CONTESTED, None, told_so))
    link = link_to(TAB, answer.picture_path, answer.model, ask=",".join(labels))
    covered = f'<p class="evf-status">{answer.labels.covered:.1%} of the picture is labelled.</p>'
    html = viewer.stage(answer.image, answer.picture_path, rows, key=answer.key)
    return html, f"{covered}{viewer.HTML.status(answer, link, shared)}"


def question(path: str | None, model: str, chosen: Sequence[str] | None, typed: str | None) -> common.Question:
    """What the inputs ask for now."""
    try:
        return common.Question(path, model, tuple(categories(chosen, typed)))
    except InputError:
        return common.Question(path, model)


def files(answer: Answer | None, format: str = COCO, each_thing: bool = False) -> tuple[str | None, list[str]]:
    """The zip of all, and one by one: masks, cut-outs, overlay, annotations, label map and legend."""
    if answer is None:
        return None, []
    options = {"things": answer.things_at(), "each_thing": each_thing, "things_drawn": False, "format": format}
    return picture_files(answer.image, answer.picture_path, bare(answer.at()), _label_files(answer), **options)


def _label_files(answer: Answer) -> Iterator[tuple[str, bytes]]:
    stem, labels = slug(Path(answer.picture_path).stem, "picture"), answer.labels.labels()
    legend = [
        {
            "value": i,
            "category": answers.label_of(mask),
            "colour": hex_of(i),
            "share": round(float((labels == i).mean()), 6),
        }
        for i, mask in enumerate(answer.masks)
    ]
    yield f"{stem}.labels.png", labels_png(labels)
    yield f"{stem}.labels.json", json.dumps({"labels": legend, "unlabelled": UNLABELLED}, indent=1).encode()


class Widgets:
    """The tab's components, in the order of the page."""

    def __init__(self, service: ModelService, examples: Sequence[Example]):
        self.answer, self.asked = gr.State(time_to_live=3600), gr.State(time_to_live=3600)
        with gr.Row(equal_height=False):
            with common.question_column():
                self.picture = common.tab_picture(TAB)
                self.chips = gr.CheckboxGroup(
                    _chips(service, service.default_model),
                    label="Categories",
                    show_select_all=True,
                    elem_id="semantic-chips",
                    elem_classes=["evf-chips"],
                )
                self.typed = gr.Textbox(
                    label="Others",
                    info="Other categories, with commas between them.",
                    placeholder="traffic light, wheel",
                    elem_id="semantic-typed",
                )
                self.button = gr.Button("Label the picture", variant="primary", elem_id="semantic-ask")
                self.several = Several(TAB)
                self.several.question()
                self.gallery = example_gallery([(e, ", ".join(e.semantic)) for e in examples], "semantic-examples")
            with common.answer_column():
                self.stale = common.line()
                self.view = common.viewer(EMPTY, "semantic-view")
                self.cancel = common.cancel_button(TAB)
                self.status = common.line()
                label = "Label map and legend, masks, cut-outs, overlay, annotations"
                self.kept = common.downloads_panel(TAB, label, formats=True, things=True)
                self.several.gallery()


def layout(service: ModelService, head: Head) -> common.Linked:
    """The tab's contents."""
    examples = read_examples()
    w = Widgets(service, examples)
    shown = [w.answer, w.view, w.status, w.asked, w.kept.panel]

    def fresh(model, path):
        html = common.picture_html(service, path, EMPTY)
        return [
            None,
            html,
            str(viewer.HTML.link(link_to(TAB, path, model), hidden=True)),
            None,
            gr.update(visible=False),
        ]

    def check(path, model, chosen, text):
        named = common.valid(lambda typed: service.limits.check_prompts(len(categories(chosen, typed))), text)
        return [common.valid(service.has_picture, path), common.ANY, common.ANY, named]

    def on_ask(path, model, chosen, text, progress=common.PROGRESS):
        answer = ask(service, model, path, categories(chosen, text))
        asked = question(path, model, chosen, text)
        return answer, *show(service, answer), asked, gr.update(visible=False)

    def on_model(model, chosen):
        offered = _chips(service, model)
        return gr.update(choices=offered, value=[chip for chip in chosen or [] if chip in offered])

    def on_example(model, own, event: gr.EventData):
        example = picked(examples, event)
        routed = head.route(example.is_photograph, model, own)
        path = str(example.file)
        return *routed, path, *_split(service, routed[0], example.semantic), *fresh(routed[0], path)

    inputs = [w.picture, head.model, w.chips, w.typed]
    filled = [*head.outputs, w.picture, w.chips, w.typed, *shown]
    chosen = w.gallery.select(on_example, head.inputs, filled, queue=False, **common.FREE)
    head.model.change(with_user_errors(on_model), [head.model, w.chips], w.chips, **common.FREE)
    done = common.ask_on(
        [w.button.click, w.typed.submit, chosen.success],
        on_ask,
        inputs,
        shown,
        check,
        w.view,
    )
    common.cancel_on(w.cancel, done)
    watched = common.watch(question, inputs, w.asked, w.stale, "“Label the picture”")
    kept = [w.answer, *w.kept.options]
    for asked in done:
        asked.success(common.keep(files), kept, w.kept.outputs, **common.FREE)
    gr.on([one.input for one in w.kept.options], common.keep(files), kept, w.kept.outputs, **common.FREE)

    def ask_all(model, chosen, text):
        names = categories(chosen, text)
        return lambda path: ask(service, model, path, names), {"things_drawn": False}

    w.several.ask_on(service.limits, ask_all, [head.model, w.chips, w.typed])

    def values(query):
        named = query.get("model")
        known = named if named in service.models else service.default_model
        names = [name for name in query.get("ask", "").split(",") if name]
        return [linked_picture(query), *_split(service, known, names)]

    return common.Linked(TAB, [w.picture, w.chips, w.typed], values, w.picture, fresh, shown, watched)


def _chips(service: ModelService, model: str) -> list[str]:
    return list(vocabulary_of(service.info(model)).categories)


def _split(service: ModelService, model: str, names: Sequence[str]) -> tuple[dict, str]:
    """Names that are chips of this checkpoint, beside all of its chips, and the others as typed text."""
    offered = _chips(service, model)
    others = [name for name in names if name not in offered]
    return gr.update(choices=offered, value=[name for name in names if name in offered]), ", ".join(others)
