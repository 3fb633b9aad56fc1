"""Parts that all tabs share: a viewer, a status line, downloads, and how a question is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from evfsam.errors import InputError
from evfsam.ui.errors import with_user_errors
from evfsam.ui.theme import viewer_script

# Questions about an image are answered one at a time, whichever tab they come from; one clip runs beside them.
ON_GPU = {"concurrency_id": "gpu", "concurrency_limit": 1, "api_visibility": "private"}
ON_CLIP = {"concurrency_id": "clip", "concurrency_limit": 1, "api_visibility": "private"}
# Events that need no model and are answered at once.
FREE = {"api_visibility": "private", "show_progress": "hidden"}
# The default of a handler's ``progress``: bars of downloads (tqdm) are shown on the page.
PROGRESS = gr.Progress(track_tqdm=True)
ANY = gr.validate(True, "")


@dataclass(frozen=True)
class Linked:
    """How a link fills a tab: the components, and their values for a link's query."""

    tab: str
    inputs: list[Component]
    values: Callable[[Mapping[str, str]], list]


@dataclass(frozen=True)
class Kept:
    """The components of a downloads panel."""

    panel: gr.Accordion
    archive: gr.DownloadButton
    single: gr.Files

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
        return gr.validate(False, str(error))
    return ANY


def viewer(empty: str, elem_id: str, refining: bool = False) -> gr.HTML:
    """Where a picture and its masks are shown; ``select`` brings clicks on it if ``refining``."""
    classes = ["evf-flush", "evf-view", *(["evf-refining"] if refining else [])]
    return gr.HTML(empty, js_on_load=viewer_script(), elem_id=elem_id, elem_classes=classes)


def line(value: str = "") -> gr.HTML:
    """A line of text that the app writes."""
    return gr.HTML(value, elem_classes=["evf-flush"])


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


def downloads_panel(tab: str, label: str = "Masks, cut-outs, overlay, COCO JSON") -> Kept:
    """The downloads of a tab, hidden until there is an answer."""
    with gr.Accordion("Downloads", open=False, visible=False) as panel:
        archive = gr.DownloadButton("Everything as one zip", elem_id=f"{tab}-zip")
        single = gr.Files(label=label, elem_id=f"{tab}-files", elem_classes=["evf-files"], interactive=False)
    return Kept(panel, archive, single)
