"""A thing taken apart: its parts as masks, and as a gallery of cut-outs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import gradio as gr

from evfsam.errors import InputError
from evfsam.media.annotations import COCO
from evfsam.media.export import cutout_png, slug, unique_stem
from evfsam.ui import answers, downloads, viewer
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.downloads import write_files
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import Example, example_gallery, picked, read_examples
from evfsam.ui.head import Head
from evfsam.ui.kept import DEFAULT, Answer
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.prompts import chosen_prompts
from evfsam.ui.service import ModelService
from evfsam.ui.tabs import common
from evfsam.ui.vocabulary import HUMAN, semantic_prompt, vocabulary_of

TAB = "parts"
EMPTY = common.empty_stage(
    "Take a thing apart",
    "Choose a thing and its parts; each part comes as a mask and as a cut-out.",
    "Left and right are yours, as you look at the picture.",
)


def part_names(chosen: Sequence[str] | None, typed: str | None) -> list[str]:
    """The chosen chips and the typed parts, each once. Raises InputError if there are none."""
    return chosen_prompts(chosen, typed, "part")


def ask(service: ModelService, model: str, path: str | None, thing: str | None, parts: Sequence[str]) -> Answer:
    """Parts of all things of a kind on an image file; with no thing named, the parts of anything.

    Raises EvfSamError for what cannot be used.
    """
    vocabulary = vocabulary_of(service.info(model))
    prompts = tuple(semantic_prompt(vocabulary.part_prompt((thing or "").strip(), part)) for part in parts)
    return service.answer(model, path, MaskQuestion(prompts, (None,) * len(prompts), apart=False))


def show(service: ModelService, answer: Answer, thing: str | None, parts: Sequence[str]) -> tuple[str, str]:
    """The viewer's HTML and the status line; rows are called by the part alone."""
    rows, shared = answers.rows(answer, DEFAULT, service.info(answer.model))
    rows = [replace(row, label=part) for row, part in zip(rows, parts, strict=True)]
    link = link_to(TAB, answer.picture_path, answer.model, thing=thing or "", ask=",".join(parts))
    html = viewer.stage(answer.image, answer.picture_path, rows, key=answer.key)
    return html, str(viewer.HTML.status(answer, link, shared))


def question(path, model: str, thing: str | None, chosen: Sequence[str] | None, typed: str | None) -> common.Question:
    """What the inputs ask for now."""
    try:
        return common.Question(path, model, (thing or "", *part_names(chosen, typed)))
    except InputError:
        return common.Question(path, model)


def exploded(answer: Answer, parts: Sequence[str]) -> list[tuple[str, str]]:
    """The parts that were found as (cut-out PNG, caption), cropped to what is there."""
    stem = slug(Path(answer.picture_path).stem, "picture")
    image, stems, captions = answer.image, [], []

    def pieces() -> Iterator[tuple[str, bytes]]:
        for name, part in zip(parts, downloads.bare(answer.at()), strict=True):
            stems.append(unique_stem(stem, part.prompt, stems))
            if part.mask.any():
                captions.append(f"{name} · {part.area_fraction:.1%}")
                yield f"{stems[-1]}.cutout.png", cutout_png(image, part.mask, crop=True)

    return list(zip(write_files(pieces()), captions, strict=True))


def files(answer: Answer | None, format: str = COCO, each_thing: bool = False) -> tuple[str | None, list[str]]:
    """The zip of all, and the single files; a part has no things."""
    if answer is None:
        return None, []
    return downloads.picture_files(answer.image, answer.picture_path, downloads.bare(answer.at()), format=format)


class Widgets:
    """The tab's components, in the order of the page."""

    def __init__(self, service: ModelService, examples: Sequence[Example]):
        self.answer, self.asked = gr.State(time_to_live=3600), gr.State(time_to_live=3600)
        with gr.Row(equal_height=False):
            with common.question_column():
                self._question(vocabulary_of(service.info(service.default_model)).parts, examples)
            with common.answer_column():
                self.stale = common.line()
                self.view = common.viewer(EMPTY, "parts-view")
                self.cancel = common.cancel_button(TAB)
                self.status = common.line()
                self.pieces = gr.Gallery(
                    label="Piece by piece",
                    format="png",
                    columns=4,
                    object_fit="contain",
                    fit_columns=False,
                    interactive=False,
                    visible=False,
                    buttons=["download", "fullscreen"],
                    elem_id="parts-pieces",
                )
                self.kept = common.downloads_panel(TAB, formats=True)

    def _question(self, offered: dict[str, tuple[str, ...]], examples: Sequence[Example]) -> None:
        thing = next(iter(offered), HUMAN)
        self.picture = common.tab_picture(TAB)
        self.thing = gr.Dropdown(
            list(offered),
            value=thing,
            label="Thing",
            info="Choose one, or type any other.",
            allow_custom_value=True,
            elem_id="parts-thing",
        )
        self.chips = gr.CheckboxGroup(
            list(offered.get(thing, ())),
            label="Parts",
            show_select_all=True,
            elem_id="parts-chips",
            elem_classes=["evf-chips"],
        )
        self.typed = gr.Textbox(
            label="Others",
            info="Other parts, with commas between them.",
            placeholder="handle, lid",
            elem_id="parts-typed",
        )
        self.button = gr.Button("Take apart", variant="primary", elem_id="parts-ask")
        captioned = [(e, f"{e.parts[0]}: {', '.join(e.parts[1:])}") for e in examples]
        self.gallery = example_gallery(captioned, "parts-examples")


def layout(service: ModelService, head: Head) -> common.Linked:
    """The tab's contents."""
    examples = [example for example in read_examples() if example.parts]
    w = Widgets(service, examples)
    shown = [w.answer, w.view, w.status, w.pieces, w.asked, w.kept.panel]

    def fresh(model, path):
        return [
            None,
            common.picture_html(service, path, EMPTY),
            str(viewer.HTML.link(link_to(TAB, path, model), hidden=True)),
            gr.update(value=None, visible=False),
            None,
            gr.update(visible=False),
        ]

    def check(path, model, thing, chosen, text):
        named = common.valid(lambda typed: service.limits.check_prompts(len(part_names(chosen, typed))), text)
        return [common.valid(service.has_picture, path), common.ANY, common.ANY, common.ANY, named]

    def on_ask(path, model, thing, chosen, text, progress=common.PROGRESS):
        parts = part_names(chosen, text)
        answer = ask(service, model, path, thing, parts)
        cut = exploded(answer, parts)
        asked, pieces = question(path, model, thing, chosen, text), gr.update(value=cut, visible=bool(cut))
        return answer, *show(service, answer, thing, parts), pieces, asked, gr.update(visible=False)

    def offer(model, thing, chosen=()):
        """The chips of a thing, those of them chosen that are in ``chosen``; none are shown where none are known."""
        known = list(vocabulary_of(service.info(model)).parts.get(thing, ()))
        return gr.update(choices=known, value=[part for part in chosen or () if part in known], visible=bool(known))

    def on_model(model, thing, chosen):
        known = vocabulary_of(service.info(model)).parts
        name = thing if thing in known else next(iter(known), HUMAN)
        return gr.update(choices=list(known), value=name), offer(model, name, chosen)

    def on_thing(model, thing):
        return offer(model, thing)

    def filled(model, path, thing, parts):
        offered = vocabulary_of(service.info(model)).parts.get(thing, ())
        return path, thing, offer(model, thing, parts), ", ".join(part for part in parts if part not in offered)

    def on_example(model, own, event: gr.EventData):
        example = picked(examples, event)
        routed = head.route(example.is_photograph, model, own)
        path, (thing, *parts) = str(example.file), example.parts
        return *routed, *filled(routed[0], path, thing, parts), *fresh(routed[0], path)

    linked = [w.picture, w.thing, w.chips, w.typed]
    inputs = [w.picture, head.model, w.thing, w.chips, w.typed]
    started = [*head.outputs, *linked, *shown]
    chosen = w.gallery.select(on_example, head.inputs, started, queue=False, **common.FREE)
    head.model.change(with_user_errors(on_model), [head.model, w.thing, w.chips], [w.thing, w.chips], **common.FREE)
    w.thing.input(with_user_errors(on_thing), [head.model, w.thing], w.chips, **common.FREE)
    triggers = [w.button.click, w.typed.submit, chosen.success]
    done = common.ask_on(triggers, on_ask, inputs, shown, check, w.view)
    common.cancel_on(w.cancel, done)
    watched = common.watch(question, inputs, w.asked, w.stale, "“Take apart”")
    kept = [w.answer, *w.kept.options]
    for asked in done:
        asked.success(common.keep(files), kept, w.kept.outputs, **common.FREE)
    gr.on([one.input for one in w.kept.options], common.keep(files), kept, w.kept.outputs, **common.FREE)

    def values(query):
        named = query.get("model")
        parts = [part for part in query.get("ask", "").split(",") if part]
        known = named if named in service.models else service.default_model
        return list(filled(known, linked_picture(query), query.get("thing", ""), parts))

    return common.Linked(TAB, linked, values, w.picture, fresh, shown, watched)
