"""Parts that all tabs share: a viewer, a status line, downloads, and how a question is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from evfsam.errors import InputError
from evfsam.media.annotations import COCO, POLYGON, YOLO
from evfsam.ui import viewer as viewer_html
from evfsam.ui.blocks import IN_ORDER
from evfsam.ui.components import PictureInput, picture_input
from evfsam.ui.errors import with_user_errors
from evfsam.ui.prompts import with_quotes
from evfsam.ui.service import ModelService
from evfsam.ui.theme import script

# Questions about an image wait for their turn side by side, so that one turn can answer all about the same image.
ON_GPU = {"concurrency_id": IN_ORDER, "concurrency_limit": 16, "api_visibility": "private"}
ON_CLIP = {"concurrency_id": "clip", "concurrency_limit": 3, "api_visibility": "private"}
# Events that need no model and are answered at once.
FREE = {"api_visibility": "private", "show_progress": "hidden"}
# Those of them that change what can be undone, in the order in which they came: two quick ones are two steps.
STEP = {**FREE, "trigger_mode": "multiple", "concurrency_id": "step", "concurrency_limit": 1}
# A mark set or removed: the answer stays as it is until the mark has changed it, and further marks wait for that.
MARK = {**ON_GPU, "show_progress": "hidden", "trigger_mode": "multiple"}
# The default of a handler's ``progress``: bars of downloads (tqdm) are shown on the page.
PROGRESS = gr.Progress(track_tqdm=True)
ANY = gr.validate(True, "")
FORMAT_NAMES = [("COCO JSON", COCO), ("COCO JSON with polygons", POLYGON), ("YOLO", YOLO)]


@dataclass(frozen=True)
class Linked:
    """What the page needs of a tab.

    Attributes:
        tab: its name in links.
        inputs, values: the components that a link fills, and their values for a link's query.
        picture: where its picture is brought; None for a tab that works on clips.
        fresh, fresh_outputs: a function of (model, path) that forgets the last picture's answer, and its components.
        watched: what :func:`watch` returned.
    """

    tab: str
    inputs: list[Component]
    values: Callable[[Mapping[str, str]], list]
    picture: gr.Image | None = None
    fresh: Callable[[str, str | None], list] | None = None
    fresh_outputs: Sequence[Component] = ()
    watched: tuple[Callable[..., str], list[Component], gr.HTML] | None = None


@dataclass(frozen=True)
class Question:
    """What an answer is an answer to."""

    picture: str | None
    model: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """The components of a downloads panel. ``options``: the format of annotations, and whether each thing is a file."""

    panel: gr.Accordion
    archive: gr.DownloadButton
    single: gr.Files
    options: tuple[Component, ...] = ()

    @property
    def outputs(self) -> list[Component]:
        return [self.panel, self.archive, self.single]


def question_column() -> gr.Column:
    """The narrow column for the question; on a phone its examples go below the answer."""
    return gr.Column(scale=5, min_width=320, elem_classes=["evf-ask"])


def answer_column() -> gr.Column:
    """The wide column for the answer."""
    return gr.Column(scale=8, min_width=320, elem_classes=["evf-answer"])


def cancel_button(tab: str) -> gr.Button:
    """Cancels a question; the style sheet shows it while the viewer beside it waits for an answer."""
    return gr.Button("Cancel", variant="stop", size="sm", elem_id=f"{tab}-cancel", elem_classes=["evf-cancel"])


def ask_on(
    triggers: Sequence[Callable],
    handler: Callable,
    inputs: Sequence[Component],
    outputs: Sequence[Component],
    check: Callable[..., list],
    view: Component,
) -> list[Dependency]:
    """Wire a question to the model, checked before it queues.

    Args:
        triggers: events such as ``button.click``; one Dependency comes back for each.
        check: the validator, made of :func:`valid` and ``ANY``, one entry per input.
        view: where progress and the place in the queue are shown.
    """
    return [
        trigger(
            with_user_errors(handler),
            inputs,
            outputs,
            validator=check,
            show_progress_on=view,
            scroll_to_output=True,
            **ON_GPU,
        )
        for trigger in triggers
    ]


def valid(check: Callable[[Any], object], value: Any) -> dict:
    """A validator's answer for one input: the sentence of the InputError that ``check`` raises, or nothing."""
    try:
        check(value)
    except InputError as error:
        return gr.validate(False, with_quotes(str(error)))
    return ANY


def tab_picture(tab: str) -> PictureInput:
    """Where a tab's picture is brought. The browser keeps the last one of all tabs (``window.evfPicture``)."""
    picture = picture_input(elem_id=f"{tab}-picture")
    # This handler comes first, because each handler waits until the one before it is answered.
    picture.change(None, picture, js="(picture) => { window.evfPicture = picture; }", **FREE)
    return picture


def stale_html(answered: Question | None, now: Question, button: str) -> str:
    """A line that marks an answer to another question than the one that stands beside it; else "".

    It is "" without a picture as well, for then the answer is going. The style sheet dims the masks and the figures in
    the column of the line; the picture stays as it is.
    """
    if answered is None or answered == now or now.picture is None:
        return ""
    if answered.picture != now.picture:
        whose = "is for another picture"
    elif answered.model != now.model:
        whose = f"is by {answered.model}, not by {now.model}"
    else:
        whose = "is for other words"
    return f'<p class="evf-notice evf-stale">This answer {escape(whose)}: press {button}.</p>'


def watch(
    question: Callable[..., Question],
    inputs: Sequence[Component],
    asked: gr.State,
    line: gr.HTML,
    button: str,
) -> tuple[Callable[..., str], list[Component], gr.HTML]:
    """Keep ``line`` true (:func:`stale_html`) while the user changes the inputs of a question.

    Args:
        question: of the values of ``inputs``.
        asked: the question that was answered last.
        button: what asks again.

    Returns (function, inputs, output) of an event that makes the line again. It must follow an event outside the queue
    that changes ``asked``: Gradio reports such a change only for queued events.
    """

    def on_change(answered, *values):
        return stale_html(answered, question(*values), button)

    # The inputs may change while the model is at work, and a new picture forgets what was asked.
    gr.on(
        [component.change for component in (asked, *inputs)],
        on_change,
        [asked, *inputs],
        line,
        trigger_mode="always_last",
        queue=False,
        **FREE,
    )
    return on_change, [asked, *inputs], line


def cancel_on(button: gr.Button, events: Sequence[Dependency]) -> None:
    """Let a button cancel these events."""
    button.click(None, None, None, cancels=list(events), queue=False, **FREE)


def viewer(empty: str, elem_id: str, refining: bool = False) -> gr.HTML:
    """Where a picture and its masks are shown; ``select`` brings clicks on it if ``refining``."""
    classes = ["evf-flush", "evf-view", *(["evf-refining"] if refining else [])]
    return gr.HTML(empty, js_on_load=script("viewer"), elem_id=elem_id, elem_classes=classes)


def line(value: str = "") -> gr.HTML:
    """A line of text that the app writes. A link in it is copied by a click."""
    return gr.HTML(value, js_on_load=script("link"), elem_classes=["evf-flush"])


def picture_html(service: ModelService, path: str | None, empty: str) -> str:
    """The contents of a viewer for a picture of which nothing was asked yet; ``empty`` without a picture.

    Raises InputError for a file that cannot be used.
    """
    return viewer_html.stage(service.open(path), path, [], source=path) if path else empty


def empty_stage(title: str, *sentences: str) -> str:
    """The contents of a viewer before the first answer; sentences are HTML."""
    told = "".join(f"<span>{sentence}</span>" for sentence in sentences)
    return f'<div class="evf-empty"><strong>{title}</strong>{told}</div>'


def keep(files: Callable[..., tuple[str | None, list[str]]]) -> Callable[..., tuple]:
    """A handler for :attr:`Kept.outputs`: shows the zip and the single files that ``files`` makes, if any."""

    def on_files(*arguments):
        archive, single = files(*arguments)
        return gr.update(visible=archive is not None), archive, single

    return with_user_errors(on_files)


def downloads_panel(
    tab: str, label: str = "Masks, cut-outs, overlay, annotations", formats: bool = False, things: bool = False
) -> Kept:
    """The downloads of a tab, hidden until there is an answer.

    Args:
        formats: whether the user chooses the format of annotations.
        things: whether the user may ask for each thing as a file of its own.
    """
    with gr.Accordion("Downloads", open=False, visible=False) as panel:
        chosen = gr.Radio(FORMAT_NAMES, value=COCO, label="Annotations", visible=formats, elem_id=f"{tab}-format")
        each = gr.Checkbox(False, label="Each thing as a file of its own", visible=things, elem_id=f"{tab}-each")
        archive = gr.DownloadButton("Everything as one zip", elem_id=f"{tab}-zip")
        single = gr.Files(label=label, elem_id=f"{tab}-files", elem_classes=["evf-files"], interactive=False)
    return Kept(panel, archive, single, (chosen, each) if formats else ())
