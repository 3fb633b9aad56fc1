"""Say what you see, get its mask: phrases and clicks on one picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np

from evfsam.errors import InputError
from evfsam.media.images import open_picture
from evfsam.types import Clicks
from evfsam.ui import answers, downloads, viewer
from evfsam.ui.components import picture_input
from evfsam.ui.errors import told
from evfsam.ui.examples import referring_examples
from evfsam.ui.heat import heat_over
from evfsam.ui.phrases import split_phrases
from evfsam.ui.state import Answer, Workbench
from evfsam.ui.theme import viewer_script

EMPTY = (
    '<div class="evf-empty"><strong>Say what you see, get its mask</strong>'
    "<span>Bring a picture, type what to find in it and press <kbd>Enter</kbd>.</span>"
    "<span>Or take one of the examples.</span></div>"
)
HINT = "**Click** the picture to correct a mask, **drag** to draw a box around what you mean."
ADD, REMOVE = "belongs to it", "does not"
BOX_PIXELS = 0.01  # of the longest side: a shorter drag is a click


def ask(bench: Workbench, model: str, path: str | None, text: str) -> Answer:
    """Phrases on a picture file. Raises EvfSamError for what cannot be used."""
    if not path:
        raise InputError("Choose a picture first: upload or paste one, or take an example.")
    phrases = split_phrases(text)
    return bench.answer(model, open_picture(path), Path(path).name, phrases)


def show(bench: Workbench, answer: Answer | None, threshold: float) -> tuple[str, str]:
    """The viewer's HTML and the status line, masks cut at ``threshold``; without the model."""
    if answer is None:
        return EMPTY, ""
    rows = answers.rows(answer, threshold, bench.info(answer.model))
    return viewer.stage(answer.picture_rgb, answer.picture_name, rows, answer.clicks), answers.status(answer)


def refine(
    bench: Workbench, answer: Answer | None, row: int | None, inside: bool, drag: tuple[float, ...]
) -> Answer:
    """Add a click or a box to one phrase and ask again for that phrase.

    Args:
        row: which phrase; may be None where there is only one.
        inside: whether a click belongs to the thing.
        drag: x, y where the pointer went down and x, y where it came up, in pixels of the picture.
    """
    if answer is None:
        raise InputError("Ask for something first, then correct its mask by clicks.")
    if row is None and len(answer.segmentations) > 1:
        raise InputError("Several masks are shown: choose the one to correct by its row below the picture.")
    row = row or 0
    clicks = _with_drag(answer.clicks[row] or Clicks(), inside, drag, max(answer.picture_rgb.shape[:2]))
    return with_clicks(bench, answer, row, clicks)


def with_clicks(bench: Workbench, answer: Answer, row: int, clicks: Clicks | None) -> Answer:
    """The answer with one phrase asked again, refined by these clicks or by none."""
    phrase = answer.phrases[row]
    timed = bench.segment(answer.model, answer.picture_rgb, [phrase], [clicks])
    found = list(answer.segmentations)
    found[row] = timed.segmentations[0]
    all_clicks = list(answer.clicks)
    all_clicks[row] = clicks
    return replace(answer, timed=replace(timed, segmentations=tuple(found)), clicks=tuple(all_clicks))


def undo(bench: Workbench, answer: Answer | None) -> Answer | None:
    """Without any clicks: the words alone again."""
    for row, clicks in enumerate(answer.clicks if answer else ()):
        if clicks is not None:
            answer = with_clicks(bench, answer, row, None)
    return answer


def attention(bench: Workbench, answer: Answer | None, row: int = 0) -> np.ndarray:
    """Where [CLS] looked for a phrase: uint8 (h, w, 3)."""
    if answer is None:
        raise InputError("Ask for something first, then see where the model looked.")
    weights = bench.attention(answer.model, answer.picture_rgb, answer.phrases[row])
    return heat_over(answer.picture_rgb, weights)


def files(answer: Answer | None, threshold: float) -> tuple[str | None, list[str]]:
    """The zip of all, and the single files."""
    if answer is None:
        return None, []
    return downloads.picture_files(answer.picture_rgb, answer.picture_name, answer.at(threshold))


def _with_drag(clicks: Clicks, inside: bool, drag: tuple[float, ...], longest_side: int) -> Clicks:
    x0, y0, x1, y1 = drag
    if min(abs(x1 - x0), abs(y1 - y0)) > BOX_PIXELS * longest_side:
        return replace(clicks, box_xyxy=(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))
    points = np.array([[x1, y1]], np.float32)
    labels = np.array([int(inside)], np.int64)
    if clicks.points_xy is not None:
        points, labels = np.concatenate([clicks.points_xy, points]), np.concatenate([clicks.labels, labels])
    return replace(clicks, points_xy=points, labels=labels)


def layout(bench: Workbench, model: gr.Dropdown) -> None:
    """The tab's contents; ``model`` is the dropdown that all tabs share."""
    answer = gr.State(time_to_live=3600)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            picture = picture_input(elem_id="ref-picture")
            phrases = gr.Textbox(
                label="What to find",
                info="One phrase, or several: a comma or a line (Shift+Enter) between them.",
                placeholder="the red car, the person on the left",
                max_lines=8,
                elem_id="ref-phrases",
            )
            button = gr.Button("Segment", variant="primary", elem_id="ref-segment")
            shown_examples = gr.Examples(
                referring_examples(), [picture, phrases], cache_examples=False, api_visibility="private", label="Examples"
            )
        with gr.Column(scale=8, min_width=320):
            view = gr.HTML(EMPTY, js_on_load=viewer_script(), elem_id="ref-view", elem_classes=["evf-refining"])
            status = gr.HTML("")
            with gr.Row(visible=False) as tools:
                threshold = gr.Slider(
                    0.05, 0.95, 0.5, step=0.05, label="Threshold", elem_id="ref-threshold",
                    info="Lower takes in more, higher keeps only what the model is sure of.",
                )
                with gr.Column(min_width=260):
                    inside = gr.Radio([ADD, REMOVE], value=ADD, label="Where I click …", info="Click to correct, drag for a box.")
                    clear = gr.Button("Forget clicks", size="sm")
            with gr.Accordion("Downloads", open=False, visible=False) as kept:
                archive = gr.DownloadButton("Everything as one zip", elem_id="ref-zip")
                single = gr.Files(label="Masks, cut-outs, overlay, COCO JSON", elem_id="ref-files", interactive=False)
            with gr.Accordion("Where the model looked", open=False, visible=False) as looked:
                which = gr.Dropdown([], label="Phrase", interactive=True)
                heat = gr.Image(label="Attention of [CLS] in the encoder's last layer", format="png", interactive=False, height=360)

    on_gpu = {"concurrency_id": "gpu", "concurrency_limit": 1, "api_visibility": "private"}
    free = {"api_visibility": "private", "show_progress": "hidden"}

    def on_show(answer: Answer | None, threshold: float):
        choices = answer.phrases if answer else []
        visible = gr.update(visible=answer is not None)
        return (*show(bench, answer, threshold), visible, visible, visible,
                gr.update(choices=choices, value=choices[0] if choices else None))

    shown = [view, status, tools, kept, looked, which]

    def on_ask(model, path, text, threshold):
        answer = ask(bench, model, path, text)
        return answer, *on_show(answer, threshold)

    def on_select(answer, inside, threshold, event: gr.EventData):
        row = event._data.get("value")
        found = refine(bench, answer, None if row is None else int(row), inside == ADD, tuple(event._data["index"]))
        return found, *show(bench, found, threshold)

    def on_undo(answer, threshold):
        answer = undo(bench, answer)
        return answer, *show(bench, answer, threshold)

    def on_attention(answer, phrase):
        return attention(bench, answer, answer.phrases.index(phrase) if answer and phrase in answer.phrases else 0)

    asked = [
        event(told(on_ask), [model, picture, phrases, threshold], [answer, *shown], show_progress_on=view, **on_gpu)
        for event in (button.click, phrases.submit, shown_examples.load_input_event.then)
    ]
    picked = view.select(told(on_select), [answer, inside, threshold], [answer, view, status], show_progress="minimal", **on_gpu)
    cleared = clear.click(told(on_undo), [answer, threshold], [answer, view, status], show_progress="minimal", **on_gpu)
    threshold.input(
        told(lambda answer, threshold: show(bench, answer, threshold)), [answer, threshold], [view, status],
        trigger_mode="always_last", **free,
    )
    for event in (*(done.success for done in asked), picked.success, cleared.success, threshold.release):
        event(told(files), [answer, threshold], [archive, single], **free)
    for event in (looked.expand, which.input):
        event(told(on_attention), [answer, which], heat, **on_gpu)
