"""Say what you see, get its mask: phrases and clicks on one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import gradio as gr
import numpy as np

from evfsam import values
from evfsam.errors import InputError
from evfsam.media.overlay import overlay
from evfsam.media.palette import colour_of
from evfsam.types import SpatialPrompt
from evfsam.ui import answers, downloads, viewer
from evfsam.ui.clicking import ADD, REMOVE, clicks_from_text, clicks_to_text, with_drag
from evfsam.ui.components import picture_input
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import example_gallery, read_examples
from evfsam.ui.heat import beside_html, heat_over
from evfsam.ui.kept import DEFAULT, HIGHEST, LOWEST, STEP, THRESHOLDS
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.phrases import split_phrases
from evfsam.ui.service import Answer, ModelService
from evfsam.ui.tabs import common

TAB = "refer"
EMPTY = common.empty_stage(
    "Say what you see, get its mask",
    "Bring a picture, type what to find in it and press <kbd>Enter</kbd>.",
    "Or take one of the examples.",
)


def ask(
    service: ModelService,
    model: str,
    path: str | None,
    text: str,
    by_hand: str = "",
    thresholds: Sequence[float] = THRESHOLDS,
) -> Answer:
    """Phrases on an image file, refined by a link's clicks if any. Raises EvfSamError for what cannot be used."""
    phrases = split_phrases(text)
    return service.answer(model, path, phrases, clicks_from_text(by_hand, len(phrases)), thresholds)


def threshold_of(value: object, text: bool = False) -> float:
    """The threshold of the slider, or of a link if ``text``. Raises InputError for what it does not offer."""
    return values.number(value, "threshold", LOWEST, HIGHEST, text=text)


def show(service: ModelService, answer: Answer | None, threshold: float) -> tuple[str, str]:
    """The viewer's HTML and the status line, masks cut at ``threshold``; without the model."""
    if answer is None:
        return EMPTY, ""
    threshold = threshold_of(threshold)
    rows, shared = answers.common_notes(answers.rows(answer, threshold, service.info(answer.model)))
    asked = {"ask": ", ".join(answer.phrases), "threshold": f"{threshold:g}", "clicks": clicks_to_text(answer.clicks)}
    link = link_to(TAB, answer.picture_path, answer.model, **asked)
    html = viewer.stage(answer.image, answer.picture_name, rows, answer.clicks, refining=True)
    return html, answers.status(answer, link, shared)


def refine(
    service: ModelService, answer: Answer | None, row: int | None, inside: bool, drag: tuple[float, ...]
) -> Answer:
    """Add a click or a box to one phrase and ask again for that phrase.

    Args:
        row: which phrase; may be None where there is only one.
        inside: whether a click belongs to the thing.
        drag: x, y where the pointer went down and x, y where it came up, in pixels of the picture.

    Raises InputError if there is nothing to refine yet, or it is not clear what.
    """
    if answer is None:
        raise InputError("Ask for something first, then correct its mask by clicks.")
    if row is None and len(answer.masks) > 1:
        raise InputError("Several masks are shown: choose the one to correct by its row below the picture.")
    row = values.number(row, "row", 0, len(answer.masks) - 1, whole=True, default=0, text=True)
    clicks = with_drag(answer.clicks[row], inside, drag, answer.size_hw)
    return with_clicks(service, answer, row, clicks)


def with_clicks(service: ModelService, answer: Answer, row: int, clicks: SpatialPrompt | None) -> Answer:
    """The answer with one phrase asked again, refined by these clicks or by none."""
    again = service.answer(answer.model, answer.picture_path, [answer.phrases[row]], [clicks])
    masks, all_clicks = list(answer.masks), list(answer.clicks)
    masks[row], all_clicks[row] = again.masks[0], clicks
    return replace(again, masks=tuple(masks), clicks=tuple(all_clicks))


def forget_clicks(service: ModelService, answer: Answer | None) -> Answer | None:
    """The words alone again."""
    for row, clicks in enumerate(answer.clicks if answer else ()):
        if clicks is not None:
            answer = with_clicks(service, answer, row, None)
    return answer


def attention(service: ModelService, answer: Answer | None, phrase: str | None, threshold: float) -> str:
    """The attention of [CLS] for one of the answer's phrases, beside the mask, as HTML."""
    if answer is None:
        raise InputError("Ask for something first, then see where the model looked.")
    row = answer.phrases.index(phrase) if phrase in answer.phrases else 0
    mask = answer.masks[row].at(threshold_of(threshold)).mask
    weights = service.attention(answer.model, answer.picture_path, answer.phrases[row])
    image = viewer.to_view(answer.image)
    mask = viewer.to_view(mask * np.uint8(255)) > 127
    return beside_html(overlay(image, [mask], [colour_of(row)]), heat_over(image, weights), answer.phrases[row])


def files(answer: Answer | None, threshold: float) -> tuple[str | None, list[str]]:
    """The zip of all, and the single files."""
    if answer is None:
        return None, []
    return downloads.picture_files(answer.image, answer.picture_name, answer.at(threshold_of(threshold)))


def layout(service: ModelService, model: gr.Dropdown) -> common.Linked:
    """The tab's contents; ``model`` is the dropdown that all tabs share."""
    examples = read_examples()
    answer, by_hand = gr.State(time_to_live=3600), gr.State("")
    with gr.Row(equal_height=False):
        with common.question_column():
            picture = picture_input(elem_id="refer-picture")
            phrases = gr.Textbox(
                label="What to find",
                info="One phrase, or several: a comma or a line (Shift+Enter) between them.",
                placeholder="the red car, the person on the left",
                max_lines=8,
                elem_id="refer-phrases",
            )
            button = gr.Button("Segment", variant="primary", elem_id="refer-ask")
            gallery = example_gallery([(e, ", ".join(e.refer)) for e in examples], "refer-examples")
        with common.answer_column():
            view = common.viewer(EMPTY, "refer-view", refining=True)
            cancel = common.cancel_button(TAB)
            status = common.line()
            with gr.Row(visible=False, equal_height=True) as tools:
                threshold = gr.Slider(
                    LOWEST,
                    HIGHEST,
                    DEFAULT,
                    step=STEP,
                    label="Threshold",
                    info="Lower takes in more, higher keeps only what the model is sure of.",
                    elem_id="refer-threshold",
                )
                with gr.Group():
                    inside = gr.Radio(
                        [ADD, REMOVE],
                        value=ADD,
                        label="What I click on the picture …",
                        info="A click corrects a mask, a drag draws a box around the thing.",
                        elem_id="refer-inside",
                    )
                    forget = gr.Button("Forget clicks", size="sm", elem_id="refer-forget")
            kept = common.downloads_panel(TAB)
            with gr.Accordion("Where the model looked", open=False, visible=False) as looked:
                which = gr.Dropdown([], label="Phrase", interactive=True)
                heat = gr.HTML("", elem_id="refer-attention", elem_classes=["evf-flush"])

    def check(model, path, text, *others):
        typed = common.valid(lambda text: service.limits.check_prompts(len(split_phrases(text))), text)
        return [common.ANY, common.valid(service.has_picture, path), typed, *[common.ANY] * len(others)]

    def on_ask(model, path, text, threshold, by_hand, progress=common.PROGRESS):
        threshold_of(threshold)
        answer = ask(service, model, path, text, by_hand)
        visible, hidden, folded = gr.update(visible=True), gr.update(visible=False), gr.update(visible=True, open=False)
        choices = gr.update(choices=answer.phrases, value=answer.phrases[0])
        return (answer, *show(service, answer, threshold), visible, hidden, folded, choices, "", "")

    def on_show(answer, threshold):
        return show(service, answer, threshold)

    def on_select(answer, inside, threshold, event: gr.EventData):
        row, drag = event._data["value"], event._data["index"]
        answer = refine(service, answer, row, inside == ADD, drag)
        return answer, *show(service, answer, threshold)

    def on_forget(answer, threshold):
        answer = forget_clicks(service, answer)
        return answer, *show(service, answer, threshold)

    def on_attention(answer, phrase, threshold):
        return attention(service, answer, phrase, threshold)

    def on_example(event: gr.EventData):
        chosen = examples[int(event._data["index"])]
        return str(chosen.file), ", ".join(chosen.refer)

    chosen = gallery.select(on_example, None, [picture, phrases], queue=False, **common.FREE)
    shown = [answer, view, status]
    done = common.ask_on(
        [button.click, phrases.submit, chosen.success],
        on_ask,
        [model, picture, phrases, threshold, by_hand],
        [*shown, tools, kept.panel, looked, which, heat, by_hand],
        check,
        view,
    )
    refining = {"show_progress": "minimal", **common.ON_GPU}
    done.append(view.select(with_user_errors(on_select), [answer, inside, threshold], shown, **refining))
    done.append(forget.click(with_user_errors(on_forget), [answer, threshold], shown, **refining))
    cancel.click(None, None, None, cancels=done, queue=False, **common.FREE)
    threshold.input(
        with_user_errors(on_show), [answer, threshold], [view, status], trigger_mode="always_last", **common.FREE
    )
    for event in (*(asked.success for asked in done), threshold.release):
        event(common.keep(files), [answer, threshold], kept.outputs, **common.FREE)
    for event in (looked.expand, which.input):
        event(with_user_errors(on_attention), [answer, which, threshold], heat, **common.ON_GPU)

    def from_link(query):
        try:
            cut = threshold_of(query.get("threshold", DEFAULT), text=True)
        except InputError:  # a link that somebody changed by hand
            cut = DEFAULT
        return [linked_picture(query), query.get("ask", ""), cut, query.get("clicks", "")]

    return common.Linked(TAB, [picture, phrases, threshold, by_hand], from_link)
