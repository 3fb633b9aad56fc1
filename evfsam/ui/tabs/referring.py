"""Say what you see, get its mask: phrases and clicks on one picture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import gradio as gr

from evfsam import values
from evfsam.errors import InputError
from evfsam.media.annotations import COCO
from evfsam.media.overlay import overlay
from evfsam.media.palette import colour_of
from evfsam.ui import answers, downloads, viewer
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.clicking import clicks_from_text, clicks_to_text
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import CHOOSE, Example, example_gallery, picked, read_examples
from evfsam.ui.head import Head
from evfsam.ui.heat import beside_html, heat_over
from evfsam.ui.history import History, Step
from evfsam.ui.kept import DEFAULT, HIGHEST, LOWEST, STEP, THRESHOLDS, Answer
from evfsam.ui.links import link_to, linked_picture
from evfsam.ui.prompts import split_prompts
from evfsam.ui.refining import refine, without_mark, without_marks
from evfsam.ui.service import ModelService
from evfsam.ui.several import Several
from evfsam.ui.tabs import common
from evfsam.ui.word_chips import with_word, words_html

TAB = "refer"
EMPTY = common.empty_stage(
    "Say what you see, get its mask",
    "Bring a picture, type what to find in it and press <kbd>Enter</kbd>.",
    "Or take one of the examples.",
)
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
    prompts = split_prompts(text, may_be_empty=bool(by_hand))
    clicks = clicks_from_text(by_hand, len(prompts)) if by_hand else [None] * len(prompts)
    prompts += [""] * (len(clicks) - len(prompts))
    return service.answer(model, path, MaskQuestion(tuple(prompts), tuple(clicks), tuple(thresholds)))


def question(path: str | None, model: str, text: str) -> common.Question:
    """What the inputs ask for now."""
    try:
        return common.Question(path, model, tuple(split_prompts(text)))
    except InputError:
        return common.Question(path, model)


# The threshold of the slider, or of a link with ``text=True``. Raises InputError for what the slider does not offer.
threshold_of = partial(values.number, name="threshold", low=LOWEST, high=HIGHEST)


def show(
    service: ModelService,
    answer: Answer | None,
    threshold: float,
    chosen: int | None = None,
    history: History | None = None,
) -> tuple[str, str]:
    """The viewer's HTML and the status line, masks cut at ``threshold``; without the model.

    Args:
        chosen: a row to choose for the user.
        history: its past can be undone, its future redone; None while there is neither.
    """
    if answer is None:
        return EMPTY, ""
    threshold = threshold_of(threshold)
    rows, shared = answers.rows(answer, threshold, service.info(answer.model))
    html = viewer.stage(
        answer.image,
        answer.picture_path,
        rows,
        answer.clicks,
        key=answer.key,
        chosen=chosen,
        history=history or History(),
        source=answer.picture_path,
    )
    if not answer.masks:
        return html, str(viewer.HTML.link(link_to(TAB, answer.picture_path, answer.model), hidden=True))
    words = ", ".join(mask.prompt for mask in answer.masks if mask.prompt)
    asked = {"ask": words, "threshold": f"{threshold:g}"}
    if any(answer.clicks):
        asked["clicks"] = clicks_to_text(answer.clicks)
    link = link_to(TAB, answer.picture_path, answer.model, **asked)
    return html, str(viewer.HTML.status(answer, link, shared))


def attention(service: ModelService, answer: Answer | None, prompt: str | None, threshold: float) -> str:
    """The attention of [CLS] for one of the answer's phrases, beside the mask, as HTML."""
    if answer is None or not any(answer.prompts):
        raise InputError("Ask for something in words first, then see where the model looked.")
    row = answer.prompts.index(prompt) if prompt in answer.prompts else 0
    mask = answer.masks[row].at(threshold_of(threshold)).mask
    weights = service.attention(answer.model, answer.picture_path, answer.prompts[row])
    image = viewer.to_view(answer.image)
    return beside_html(
        overlay(image, [viewer.to_view(mask)], [colour_of(row)]), heat_over(image, weights), answer.prompts[row]
    )


def files(
    answer: Answer | None, threshold: float, format: str = COCO, each_thing: bool = False
) -> tuple[str | None, list[str]]:
    """The zip of all, and the single files; annotations in one of ``evfsam.media.annotations.FORMATS``."""
    if answer is None or not answer.masks:
        return None, []
    found = downloads.bare(answer.at(threshold_of(threshold)))
    things = answer.things_at(threshold)
    return downloads.picture_files(
        answer.image, answer.picture_path, found, things=things, each_thing=each_thing, format=format
    )


class Widgets:
    """The tab's components, in the order of the page."""

    def __init__(self, examples: Sequence[Example], words: str):
        self.answer, self.asked = gr.State(time_to_live=3600), gr.State(time_to_live=3600)
        self.history, self.by_hand = gr.State(History(), time_to_live=3600), gr.State("")
        with gr.Row(equal_height=False):
            with common.question_column():
                self._question(examples, words)
            with common.answer_column():
                self.stale = common.line()
                self.view = common.viewer(EMPTY, "refer-view", refining=True)
                self.cancel = common.cancel_button(TAB)
                self.status = common.line()
                self.threshold = gr.Slider(
                    LOWEST,
                    HIGHEST,
                    DEFAULT,
                    step=STEP,
                    label="Threshold",
                    info="Lower takes in more, higher keeps only what the model is sure of.",
                    visible=False,
                    elem_id="refer-threshold",
                )
                self.kept = common.downloads_panel(TAB, formats=True, things=True)
                self.several.gallery()
                with gr.Accordion("Where the model looked", open=False, visible=False) as self.looked:
                    self.which = gr.Dropdown([], label="Phrase", interactive=True)
                    self.heat = gr.HTML("", elem_id="refer-attention", elem_classes=["evf-flush"])

    def _question(self, examples: Sequence[Example], words: str) -> None:
        self.picture = common.tab_picture(TAB)
        self.prompts = gr.Textbox(
            label="What to find",
            info="One phrase, or several with commas between them. “every dog” masks dogs one by one.",
            placeholder="the red car, the person on the left",
            max_lines=8,
            elem_id="refer-phrases",
        )
        self.words = gr.HTML(words, js_on_load=CHOOSE, elem_id="refer-words", elem_classes=["evf-flush"])
        self.button = gr.Button("Segment", variant="primary", elem_id="refer-ask")
        self.several = Several(TAB)
        self.several.question()
        self.gallery = example_gallery([(e, ", ".join(e.refer)) for e in examples], "refer-examples")


def layout(service: ModelService, head: Head) -> common.Linked:
    """The tab's contents."""
    examples = read_examples()
    w = Widgets(examples, words_html(service.info(service.default_model)))
    shown = [w.answer, w.history, w.view, w.status]
    visible, hidden = gr.update(visible=True), gr.update(visible=False)

    def now(step: Step, history: History, chosen: int | None = None) -> tuple:
        """The values of ``shown`` after a step."""
        history = history.then(replace(step, at_s=time.monotonic()), service.limits.kept_bytes)
        return step.answer, history, *show(service, step.answer, step.threshold, chosen, history)

    def fresh(model, path):
        answer = service.look(model, path) if path else None
        history = History(Step(answer, DEFAULT, "") if answer else None)
        html, status = show(service, answer, DEFAULT)
        status = status or str(viewer.HTML.link(link_to(TAB, path, model), hidden=True))
        cut = gr.update(value=DEFAULT, visible=False)
        return [answer, history, html, status, cut, "", None, hidden, hidden]

    def looked(answer):
        """The panel "Where the model looked", closed, with the answer's phrases to choose from."""
        worded = [mask.prompt for mask in answer.masks if mask.prompt]
        choices = gr.update(choices=worded, value=next(iter(worded), None))
        return gr.update(visible=bool(worded), open=False), choices, WAIT

    def check(model, path, text, threshold, by_hand, history):
        def few_enough(text):
            service.limits.check_prompts(len(split_prompts(text, may_be_empty=bool(by_hand))))

        typed = common.valid(few_enough, text)
        return [common.ANY, common.valid(service.has_picture, path), typed, *[common.ANY] * 3]

    def on_ask(model, path, text, threshold, by_hand, history, progress=common.PROGRESS):
        threshold_of(threshold)
        answer = ask(service, model, path, text, by_hand)
        asked = common.Question(path, model, tuple(mask.prompt for mask in answer.masks if mask.prompt))
        return *now(Step(answer, threshold, text, asked), history), asked, visible, hidden, *looked(answer), ""

    def on_threshold(answer, threshold, text, asked, history):
        return now(Step(answer, threshold_of(threshold), text, asked), history) if answer else [gr.skip()] * len(shown)

    def on_select(path, model, text, asked, answer, threshold, history, event: gr.EventData):
        row, drag, beside = (event._data.get(name) for name in ("value", "index", "beside"))
        if answer is not None and not answer.masks:
            answer = replace(answer, model=model)
        # A slider that is there already is left alone: it may have the focus.
        slider = gr.skip() if answer is not None and answer.masks else visible
        answer, row = refine(service, answer, row, not beside, drag)
        asked = asked or question(path, model, text)
        return *now(Step(answer, threshold, text, asked), history, row), asked, slider

    def on_delete(answer, threshold, text, asked, history, event: gr.EventData):
        row, mark = event._data.get("value"), event._data.get("index")
        return now(Step(without_mark(service, answer, row, mark), threshold, text, asked), history)

    def on_clear(answer, threshold, text, asked, history):
        return now(Step(without_marks(service, answer), threshold, text, asked), history)

    def on_step(history):
        step = history.now
        if step is None:
            return [gr.skip()] * len(restored)
        html, status = show(service, step.answer, step.threshold, None, history)
        cut = gr.update(value=step.threshold, visible=bool(step.answer.masks))
        return step.answer, history, html, status, cut, step.text, step.asked, *looked(step.answer)

    def on_undo(history):
        return on_step(history.undo())

    def on_redo(history):
        return on_step(history.redo())

    def on_attention(answer, prompt, threshold):
        return attention(service, answer, prompt, threshold)

    def on_example(model, own, event: gr.EventData):
        chosen = picked(examples, event)
        routed = head.route(chosen.is_photograph, model, own)
        answer, _, *others = fresh(routed[0], str(chosen.file))
        return *routed, str(chosen.file), ", ".join(chosen.refer), answer, History(), *others

    def on_word(model, text, event: gr.EventData):
        return with_word(service.info(model), text, event._data["index"])

    def on_model(model):
        return words_html(service.info(model))

    w.words.select(with_user_errors(on_word), [head.model, w.prompts], w.prompts, queue=False, **common.FREE)
    head.model.change(with_user_errors(on_model), head.model, w.words, queue=False, **common.FREE)
    started = [*shown, w.threshold, w.by_hand, w.asked, w.kept.panel, w.looked]
    filled = [*head.outputs, w.picture, w.prompts, *started]
    chosen = w.gallery.select(on_example, head.inputs, filled, queue=False, **common.FREE)
    done = common.ask_on(
        [w.button.click, w.prompts.submit, chosen.success],
        on_ask,
        [head.model, w.picture, w.prompts, w.threshold, w.by_hand, w.history],
        [*shown, w.asked, w.threshold, w.kept.panel, w.looked, w.which, w.heat, w.by_hand],
        check,
        w.view,
    )
    inputs = [w.picture, head.model, w.prompts]
    watched = common.watch(question, inputs, w.asked, w.stale, "Segment")
    seen = [w.answer, w.threshold, w.prompts, w.asked, w.history]
    clicked = [*inputs, w.asked, w.answer, w.threshold, w.history]
    done.append(w.view.select(with_user_errors(on_select), clicked, [*shown, w.asked, w.threshold], **common.MARK))
    done.append(w.view.delete(with_user_errors(on_delete), seen, shown, **common.MARK))
    done.append(w.view.clear(with_user_errors(on_clear), seen, shown, **common.MARK))
    common.cancel_on(w.cancel, done)
    restored = [*shown, w.threshold, w.prompts, w.asked, w.looked, w.which, w.heat]
    redrawn = [
        w.view.undo(with_user_errors(on_undo), w.history, restored, **common.STEP),
        w.view.retry(with_user_errors(on_redo), w.history, restored, **common.STEP),
        # of the slider, and of the arrow that resets it
        w.threshold.release(with_user_errors(on_threshold), seen, shown, **common.STEP),
    ]
    sliding = {**common.STEP, "trigger_mode": "always_last"}
    w.threshold.input(with_user_errors(on_threshold), seen, shown, **sliding)
    kept = [w.answer, w.threshold, *w.kept.options]
    for event in (*done, *redrawn):
        event.success(common.keep(files), kept, w.kept.outputs, **common.FREE)
    gr.on([one.input for one in w.kept.options], common.keep(files), kept, w.kept.outputs, **common.FREE)
    for event in (w.looked.expand, w.which.input):
        event(with_user_errors(on_attention), [w.answer, w.which, w.threshold], w.heat, **common.ON_GPU)

    def ask_all(model, text, threshold):
        split_prompts(text)
        cut = threshold_of(threshold)
        return lambda path: ask(service, model, path, text, thresholds=(cut,)), {"threshold": cut}

    w.several.ask_on(service.limits, ask_all, [head.model, w.prompts, w.threshold])

    def from_link(query):
        try:
            cut = threshold_of(query.get("threshold", DEFAULT), text=True)
        except InputError:  # a link that somebody changed by hand
            cut = DEFAULT
        return [linked_picture(query), query.get("ask", ""), cut, query.get("clicks", "")]

    return common.Linked(
        TAB,
        [w.picture, w.prompts, w.threshold, w.by_hand],
        from_link,
        w.picture,
        fresh,
        started,
        watched,
    )
