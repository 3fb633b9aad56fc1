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
from evfsam.ui.examples import CHOOSE, Example, example_gallery, read_examples
from evfsam.ui.head import Head
from evfsam.ui.heat import beside_html, heat_over
from evfsam.ui.kept import DEFAULT, HIGHEST, LOWEST, STEP, THRESHOLDS, Answer
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.phrases import split_phrases
from evfsam.ui.service import ModelService
from evfsam.ui.tabs import common
from evfsam.ui.word_chips import with_word, words_html

TAB = "refer"
EMPTY = common.empty_stage(
    "Say what you see, get its mask",
    "Bring a picture, type what to find in it and press <kbd>Enter</kbd>.",
    "Or take one of the examples.",
)
HOW_TO_CLICK = (
    "Click inside a mask to choose it; then clicks correct it and a drag draws a box. "
    "Anywhere else, a click masks what is there. Esc lets go, Ctrl+Z takes back."
)
CLICK_FIRST = '<p class="evf-status">Type what to find, or click on a thing in the picture.</p>'
WAIT = '<p class="evf-status">One moment …</p>'


def ask(
    service: ModelService,
    model: str,
    path: str | None,
    text: str,
    by_hand: str = "",
    thresholds: Sequence[float] = THRESHOLDS,
) -> Answer:
    """Phrases on an image file; a link's clicks refine them, or stand alone. Raises EvfSamError for unusable ones."""
    phrases = phrases_of(text, by_hand)
    clicks = clicks_from_text(by_hand, len(phrases))
    return service.answer(model, path, phrases + [""] * (len(clicks) - len(phrases)), clicks, thresholds)


def phrases_of(text: str, by_hand: str = "") -> list[str]:
    """The typed phrases. Raises InputError if there are none, unless there are clicks."""
    return [] if by_hand and not text.strip() else split_phrases(text)


def question(path: str | None, model: str, text: str) -> common.Question:
    """What the inputs ask for now."""
    try:
        return common.Question(path, model, tuple(split_phrases(text)))
    except InputError:
        return common.Question(path, model)


def threshold_of(value: object, text: bool = False) -> float:
    """The threshold of the slider, or of a link if ``text``. Raises InputError for what it does not offer."""
    return values.number(value, "threshold", LOWEST, HIGHEST, text=text)


def show(service: ModelService, answer: Answer | None, threshold: float, chosen: int | None = None) -> tuple[str, str]:
    """The viewer's HTML and the status line, masks cut at ``threshold``; without the model."""
    if answer is None:
        return EMPTY, ""
    threshold = threshold_of(threshold)
    rows, shared = answers.common_notes(answers.rows(answer, threshold, service.info(answer.model)))
    html = viewer.stage(
        answer.image, answer.picture_name, rows, answer.clicks, refining=True, key=answer.key, chosen=chosen
    )
    if not answer.masks:
        return html, CLICK_FIRST
    words = ", ".join(filter(None, answer.phrases))
    asked = {"ask": words, "threshold": f"{threshold:g}", "clicks": clicks_to_text(answer.clicks)}
    return html, answers.status(answer, link_to(TAB, answer.picture_path, answer.model, **asked), shared)


def refine(
    service: ModelService, answer: Answer | None, row: int | None, inside: bool, drag: tuple[float, ...]
) -> tuple[Answer, int]:
    """Add a click or a box to one mask and ask again for it; or ask for a new thing by them alone.

    Args:
        row: which mask; None for a new one.
        inside: whether a click belongs to the thing; a new thing starts with what belongs to it.
        drag: x, y where the pointer went down and x, y where it came up, in pixels of the picture.

    Returns the new answer and the row that it changed. Raises InputError for what cannot be used.
    """
    if answer is None:
        raise InputError("Bring a picture first, then click on it.")
    count = len(answer.masks)
    if row is None:
        service.limits.check_prompts(count + 1)
        return with_clicks(service, answer, count, with_drag(None, True, drag, answer.size_hw)), count
    row = values.number(row, "row", 0, count - 1, whole=True, text=True)
    return with_clicks(service, answer, row, with_drag(answer.clicks[row], inside, drag, answer.size_hw)), row


def with_clicks(service: ModelService, answer: Answer, row: int, clicks: SpatialPrompt | None) -> Answer:
    """The answer with one mask asked for again by these clicks, or a new one in the row after the last."""
    phrase = answer.phrases[row] if row < len(answer.masks) else ""
    again = service.answer(answer.model, answer.picture_path, [phrase], [clicks])
    masks = *answer.masks[:row], again.masks[0], *answer.masks[row + 1 :]
    all_clicks = *answer.clicks[:row], clicks, *answer.clicks[row + 1 :]
    return replace(again, masks=masks, clicks=all_clicks).after(answer)


def forget_clicks(service: ModelService, answer: Answer | None) -> Answer | None:
    """The words alone again; what was only clicked goes."""
    if answer is None or not any(answer.clicks):
        return answer
    named = [row for row, phrase in enumerate(answer.phrases) if phrase]
    changed = [row for row in named if answer.clicks[row]]
    kept = {row: answer.masks[row] for row in named}
    if changed:
        again = service.answer(answer.model, answer.picture_path, [answer.phrases[row] for row in changed])
        kept |= dict(zip(changed, again.masks, strict=True))
    return replace(answer, masks=tuple(kept.values()), clicks=(None,) * len(kept)).after(answer)


def undo(answer: Answer | None) -> Answer | None:
    """The answer before the last click."""
    return answer.before or answer if answer else None


def attention(service: ModelService, answer: Answer | None, phrase: str | None, threshold: float) -> str:
    """The attention of [CLS] for one of the answer's phrases, beside the mask, as HTML."""
    if answer is None or not any(answer.phrases):
        raise InputError("Ask for something in words first, then see where the model looked.")
    row = answer.phrases.index(phrase) if phrase in answer.phrases else 0
    mask = answer.masks[row].at(threshold_of(threshold)).mask
    weights = service.attention(answer.model, answer.picture_path, answer.phrases[row])
    image = viewer.to_view(answer.image)
    mask = viewer.to_view(mask * np.uint8(255)) > 127
    return beside_html(overlay(image, [mask], [colour_of(row)]), heat_over(image, weights), answer.phrases[row])


def files(answer: Answer | None, threshold: float) -> tuple[str | None, list[str]]:
    """The zip of all, and the single files."""
    if answer is None or not answer.masks:
        return None, []
    found = downloads.bare(answer.at(threshold_of(threshold)))
    return downloads.picture_files(answer.image, answer.picture_name, found)


class Widgets:
    """The tab's components, in the order of the page."""

    def __init__(self, examples: Sequence[Example], words: str):
        self.answer, self.asked = gr.State(time_to_live=3600), gr.State(time_to_live=3600)
        self.by_hand = gr.State("")
        with gr.Row(equal_height=False):
            with common.question_column():
                self._question(examples, words)
            with common.answer_column():
                self.stale = common.line()
                self.view = common.viewer(EMPTY, "refer-view", refining=True)
                self.cancel = common.cancel_button(TAB)
                self.status = common.line()
                with gr.Row(visible=False, equal_height=True) as self.tools:
                    self._tools()
                self.kept = common.downloads_panel(TAB)
                with gr.Accordion("Where the model looked", open=False, visible=False) as self.looked:
                    self.which = gr.Dropdown([], label="Phrase", interactive=True)
                    self.heat = gr.HTML("", elem_id="refer-attention", elem_classes=["evf-flush"])

    def _question(self, examples: Sequence[Example], words: str) -> None:
        self.picture = picture_input(elem_id="refer-picture")
        self.phrases = gr.Textbox(
            label="What to find",
            info="One phrase, or several: a comma or a line (Shift+Enter) between them.",
            placeholder="the red car, the person on the left",
            max_lines=8,
            elem_id="refer-phrases",
        )
        self.words = gr.HTML(words, js_on_load=CHOOSE, elem_id="refer-words", elem_classes=["evf-flush"])
        self.button = gr.Button("Segment", variant="primary", elem_id="refer-ask")
        self.gallery = example_gallery([(e, ", ".join(e.refer)) for e in examples], "refer-examples")

    def _tools(self) -> None:
        self.threshold = gr.Slider(
            LOWEST,
            HIGHEST,
            DEFAULT,
            step=STEP,
            label="Threshold",
            info="Lower takes in more, higher keeps only what the model is sure of.",
            elem_id="refer-threshold",
        )
        with gr.Group():
            self.inside = gr.Radio(
                [ADD, REMOVE],
                value=ADD,
                label="What I click on the picture …",
                info=HOW_TO_CLICK,
                elem_id="refer-inside",
            )
            with gr.Row():
                self.undo = gr.Button("Undo last click", size="sm", min_width=100, elem_id="refer-undo")
                self.forget = gr.Button("Forget all clicks", size="sm", min_width=100, elem_id="refer-forget")


def layout(service: ModelService, head: Head) -> common.Linked:
    """The tab's contents."""
    examples = read_examples()
    w = Widgets(examples, words_html(service.info(service.default_model)))
    shown = [w.answer, w.view, w.status]
    options = [w.threshold, w.inside, w.by_hand]
    clean = [DEFAULT, ADD, ""]

    def fresh(model, path):
        answer = service.look(model, path) if path else None
        hidden = gr.update(visible=False)
        return [answer, *show(service, answer, DEFAULT), *clean, None, gr.update(visible=bool(path)), hidden, hidden]

    def check(model, path, text, threshold, by_hand):
        typed = common.valid(lambda text: service.limits.check_prompts(len(phrases_of(text, by_hand))), text)
        return [common.ANY, common.valid(service.has_picture, path), typed, common.ANY, common.ANY]

    def on_ask(model, path, text, threshold, by_hand, progress=common.PROGRESS):
        threshold_of(threshold)
        answer = ask(service, model, path, text, by_hand)
        visible, hidden = gr.update(visible=True), gr.update(visible=False)
        worded = [phrase for phrase in answer.phrases if phrase]
        folded = gr.update(visible=bool(worded), open=False)
        choices = gr.update(choices=worded, value=worded[0] if worded else None)
        asked = common.Question(path, model, tuple(worded))
        return (answer, *show(service, answer, threshold), asked, visible, hidden, folded, choices, WAIT, "")

    def on_show(answer, threshold):
        return show(service, answer, threshold)

    def on_select(path, model, text, asked, answer, inside, threshold, event: gr.EventData):
        row, drag, beside = (event._data.get(name) for name in ("value", "index", "beside"))
        if answer is not None and not answer.masks:
            answer = replace(answer, model=model)
        answer, row = refine(service, answer, row, inside == ADD and not beside, drag)
        return answer, *show(service, answer, threshold, row), asked or question(path, model, text)

    def on_undo(answer, threshold):
        answer = undo(answer)
        return answer, *show(service, answer, threshold)

    def on_forget(answer, threshold):
        answer = forget_clicks(service, answer)
        return answer, *show(service, answer, threshold)

    def on_attention(answer, phrase, threshold):
        return attention(service, answer, phrase, threshold)

    def on_example(model, own, event: gr.EventData):
        chosen = examples[int(event._data["index"])]
        return *head.route(chosen.is_photograph, model, own), str(chosen.file), ", ".join(chosen.refer), *clean

    def on_word(model, text, event: gr.EventData):
        return with_word(service.info(model), text, int(event._data["index"]))

    def on_model(model):
        return words_html(service.info(model))

    w.words.select(with_user_errors(on_word), [head.model, w.phrases], w.phrases, queue=False, **common.FREE)
    head.model.change(with_user_errors(on_model), head.model, w.words, queue=False, **common.FREE)
    filled = [*head.outputs, w.picture, w.phrases, *options]
    chosen = w.gallery.select(on_example, head.inputs, filled, queue=False, **common.FREE)
    done = common.ask_on(
        [w.button.click, w.phrases.submit, chosen.success],
        on_ask,
        [head.model, w.picture, w.phrases, w.threshold, w.by_hand],
        [*shown, w.asked, w.tools, w.kept.panel, w.looked, w.which, w.heat, w.by_hand],
        check,
        w.view,
    )
    inputs = [w.picture, head.model, w.phrases]
    common.watch(question, inputs, w.asked, w.stale, "Segment", done)
    now = {"show_progress": "hidden", **common.ON_GPU}  # the answer stays as it is until the click has changed it
    clicked = [*inputs, w.asked, w.answer, w.inside, w.threshold]
    done.append(w.view.select(with_user_errors(on_select), clicked, [*shown, w.asked], **now))
    done.append(w.forget.click(with_user_errors(on_forget), [w.answer, w.threshold], shown, **now))
    done.append(gr.on([w.undo.click, w.view.undo], with_user_errors(on_undo), [w.answer, w.threshold], shown, **now))
    common.cancel_on(w.cancel, done)
    redraw = with_user_errors(on_show), [w.answer, w.threshold], [w.view, w.status]
    w.threshold.input(*redraw, trigger_mode="always_last", **common.FREE)
    released = w.threshold.release(*redraw, **common.FREE)  # of the slider, and of the arrow that resets it
    for event in (*done, released):
        event.success(common.keep(files), [w.answer, w.threshold], w.kept.outputs, **common.FREE)
    for event in (w.looked.expand, w.which.input):
        event(with_user_errors(on_attention), [w.answer, w.which, w.threshold], w.heat, **common.ON_GPU)

    def from_link(query):
        try:
            cut = threshold_of(query.get("threshold", DEFAULT), text=True)
        except InputError:  # a link that somebody changed by hand
            cut = DEFAULT
        return [linked_picture(query), query.get("ask", ""), cut, query.get("clicks", "")]

    return common.Linked(
        TAB,
        [w.picture, w.phrases, w.threshold, w.by_hand],
        from_link,
        w.picture,
        fresh,
        [*shown, *options, w.asked, w.tools, w.kept.panel, w.looked],
    )
