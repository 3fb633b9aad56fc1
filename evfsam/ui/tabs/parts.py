"""A thing taken apart: its parts as masks, and as a gallery of cut-outs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import gradio as gr

from evfsam.media.export import cutout_png, slug, unique_stem
from evfsam.media.palette import colour_of
from evfsam.ui import answers, downloads, viewer
from evfsam.ui.components import picture_input
from evfsam.ui.downloads import write_files
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import example_gallery, read_examples
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.phrases import chosen_phrases
from evfsam.ui.service import Answer, ModelService
from evfsam.ui.tabs import common
from evfsam.ui.viewer import Row, percent
from evfsam.ui.vocabulary import HUMAN, semantic_phrase, vocabulary_of

TAB = "parts"
EMPTY = common.empty_stage(
    "Take a thing apart",
    "Choose a thing and its parts; each part comes as a mask and as a cut-out.",
    "Left and right are yours, as you look at the picture.",
)


def part_names(chosen: Sequence[str] | None, typed: str | None) -> list[str]:
    """The chosen chips and the typed parts, each once. Raises InputError if there are none."""
    return chosen_phrases(chosen, typed, "part")


def ask(service: ModelService, model: str, path: str | None, thing: str | None, parts: Sequence[str]) -> Answer:
    """Parts of all things of a kind on an image file; with no thing named, the parts of anything.

    Raises EvfSamError for what cannot be used.
    """
    vocabulary = vocabulary_of(service.info(model))
    return service.answer(
        model, path, [semantic_phrase(vocabulary.part_phrase((thing or "").strip(), part)) for part in parts]
    )


def show(service: ModelService, answer: Answer, thing: str | None, parts: Sequence[str]) -> tuple[str, str]:
    """The viewer's HTML and the status line; rows are called by the part alone."""
    info = service.info(answer.model)
    rows = [
        Row(part, s.mask, colour_of(i), s.score, answers.notes(s, info))
        for i, (part, s) in enumerate(zip(parts, answer.at(), strict=True))
    ]
    rows, shared = answers.common_notes(rows)
    link = link_to(TAB, answer.picture_path, answer.model, thing=thing or "", ask=",".join(parts))
    html = viewer.stage(answer.image, answer.picture_name, rows)
    return html, answers.status(answer, link, shared)


def exploded(answer: Answer, parts: Sequence[str]) -> list[tuple[str, str]]:
    """The parts that were found as (cut-out PNG, caption), cropped to what is there."""
    stem = slug(answer.picture_name.rsplit(".", 1)[0], "picture")
    image, stems, captions = answer.image, [], []

    def pieces() -> Iterator[tuple[str, bytes]]:
        for name, part in zip(parts, downloads.bare(answer.at()), strict=True):
            stems.append(unique_stem(stem, part.prompt, stems))
            if part.mask.any():
                captions.append(f"{name} · {percent(part.area_fraction)}")
                yield f"{stems[-1]}.cutout.png", cutout_png(image, part.mask, crop=True)

    return list(zip(write_files(pieces()), captions, strict=True))


def files(answer: Answer | None) -> tuple[str | None, list[str]]:
    """The zip of all, and the single files."""
    if answer is None:
        return None, []
    return downloads.picture_files(answer.image, answer.picture_name, downloads.bare(answer.at()))


def layout(service: ModelService, model: gr.Dropdown) -> common.Linked:
    """The tab's contents; ``model`` is the dropdown that all tabs share."""
    examples = [example for example in read_examples() if example.parts]
    answer = gr.State(time_to_live=3600)
    first = vocabulary_of(service.info(service.default_model)).parts
    with gr.Row(equal_height=False):
        with common.question_column():
            picture = picture_input(elem_id="parts-picture")
            thing = gr.Dropdown(
                list(first),
                value=next(iter(first), None),
                label="Thing",
                info="Choose one, or type any other.",
                allow_custom_value=True,
                elem_id="parts-thing",
            )
            chips = gr.CheckboxGroup(
                list(next(iter(first.values()), ())), label="Parts", elem_id="parts-chips", elem_classes=["evf-chips"]
            )
            typed = gr.Textbox(label="Others", info="Any other part, with a comma between them.", elem_id="parts-typed")
            button = gr.Button("Take apart", variant="primary", elem_id="parts-ask")
            gallery = example_gallery(
                [(e, f"{e.parts[0]}: {', '.join(e.parts[1:])}") for e in examples], "parts-examples"
            )
        with common.answer_column():
            view = common.viewer(EMPTY, "parts-view")
            cancel = common.cancel_button(TAB)
            status = common.line()
            pieces = gr.Gallery(
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
            kept = common.downloads_panel(TAB)

    def check(model, path, thing, chosen, text):
        named = common.valid(lambda typed: service.limits.check_prompts(len(part_names(chosen, typed))), text)
        return [common.ANY, common.valid(service.has_picture, path), common.ANY, common.ANY, named]

    def on_ask(model, path, thing, chosen, text, progress=common.PROGRESS):
        parts = part_names(chosen, text)
        answer = ask(service, model, path, thing, parts)
        cut = exploded(answer, parts)
        hidden = gr.update(visible=False)
        return answer, *show(service, answer, thing, parts), gr.update(value=cut, visible=bool(cut)), hidden

    def on_model(model):
        known = vocabulary_of(service.info(model)).parts
        name = next(iter(known), HUMAN)
        things = gr.update(choices=list(known), value=name)
        return things, gr.update(choices=list(known.get(name, ())), value=[])

    def on_thing(model, thing):
        return gr.update(choices=list(vocabulary_of(service.info(model)).parts.get(thing, ())), value=[])

    def filled(model, path, thing, parts):
        offered = list(vocabulary_of(service.info(model)).parts.get(thing, ()))
        chips = gr.update(choices=offered, value=[part for part in parts if part in offered])
        return path, thing, chips, ", ".join(part for part in parts if part not in offered)

    def on_example(model, event: gr.EventData):
        example = examples[int(event._data["index"])]
        return filled(model, str(example.file), example.parts[0], example.parts[1:])

    inputs = [picture, thing, chips, typed]
    chosen = gallery.select(on_example, model, inputs, queue=False, **common.FREE)
    model.change(with_user_errors(on_model), model, [thing, chips], **common.FREE)
    thing.input(with_user_errors(on_thing), [model, thing], chips, **common.FREE)
    triggers = [button.click, typed.submit, chosen.success]
    shown = [answer, view, status, pieces, kept.panel]
    done = common.ask_on(triggers, on_ask, [model, *inputs], shown, check, view)
    cancel.click(None, None, None, cancels=done, queue=False, **common.FREE)
    for asked in done:
        asked.success(common.keep(files), answer, kept.outputs, **common.FREE)

    def values(query):
        named = query.get("model")
        parts = [part for part in query.get("ask", "").split(",") if part]
        known = named if named in service.models else service.default_model
        return list(filled(known, linked_picture(query), query.get("thing", ""), parts))

    return common.Linked(TAB, inputs, values)
