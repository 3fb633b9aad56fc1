"""What every tab has: a viewer, a line of status, downloads, and the rules by which its events queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from evfsam.ui.theme import viewer_script

# One model step at a time, whichever tab it comes from.
ON_GPU = {"concurrency_id": "gpu", "concurrency_limit": 1, "api_visibility": "private"}
# What needs no model and answers at once.
FREE = {"api_visibility": "private", "show_progress": "hidden"}
# The default of a handler's ``progress``: bars of downloads (tqdm) are shown on the page.
PROGRESS = gr.Progress(track_tqdm=True)


@dataclass(frozen=True)
class Linked:
    """How a link fills a tab: the components, and their values for a link's query."""

    tab: str
    inputs: list[Component]
    values: Callable[[Mapping[str, str]], list]


@dataclass(frozen=True)
class Kept:
    """Where the downloads are."""

    panel: gr.Accordion
    archive: gr.DownloadButton
    single: gr.Files

    @property
    def outputs(self) -> list[Component]:
        return [self.archive, self.single]


def viewer(empty: str, elem_id: str, refining: bool = False) -> gr.HTML:
    """Where a picture and its masks are shown; ``select`` brings clicks on it if ``refining``."""
    classes = ["evf-flush", *(["evf-refining"] if refining else [])]
    return gr.HTML(empty, js_on_load=viewer_script(), elem_id=elem_id, elem_classes=classes)


def line(value: str = "") -> gr.HTML:
    """A line of text that the app writes."""
    return gr.HTML(value, elem_classes=["evf-flush"])


def empty_stage(title: str, *sentences: str) -> str:
    """What stands in a viewer before the first answer; sentences are HTML."""
    told = "".join(f"<span>{sentence}</span>" for sentence in sentences)
    return f'<div class="evf-empty"><strong>{title}</strong>{told}</div>'


def downloads_panel(tab: str, label: str = "Masks, cut-outs, overlay, COCO JSON") -> Kept:
    """The downloads of a tab, hidden until there is an answer."""
    with gr.Accordion("Downloads", open=False, visible=False) as panel:
        archive = gr.DownloadButton("Everything as one zip", elem_id=f"{tab}-zip")
        single = gr.Files(label=label, elem_id=f"{tab}-files", interactive=False)
    return Kept(panel, archive, single)
