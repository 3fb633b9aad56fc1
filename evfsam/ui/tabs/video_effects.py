"""Another background behind what was followed: made on request, as a download."""

from __future__ import annotations

import time

import gradio as gr

from evfsam.media.video_effects import BLURRED, COLOURED, REMOVED
from evfsam.ui.errors import with_user_errors
from evfsam.ui.followed import Session
from evfsam.ui.tabs import common
from evfsam.ui.timeline import progress_html
from evfsam.ui.video_files import effect_file
from evfsam.ui.video_job import Step

CHOICES = [("Removed (transparent WebM)", REMOVED), ("Blurred", BLURRED), ("One colour", COLOURED)]
GREEN = "#00b140"
PROGRESS_S = 0.25


def effects_panel(session: gr.State) -> gr.Accordion:
    """The panel, hidden until something was followed."""
    with gr.Accordion("Background", open=False, visible=False, elem_id="video-effects") as panel:
        effect = gr.Radio(CHOICES, value=REMOVED, show_label=False, elem_id="video-effect")
        colour = gr.ColorPicker(GREEN, label="Colour", visible=False, elem_id="video-colour")
        with gr.Row():
            make = gr.Button("Make this video", size="sm", elem_id="video-make")
            cancel = gr.Button("Cancel", size="sm", variant="stop", visible=False, elem_id="video-unmake")
        told = common.line()
        file = gr.File(
            label="Video", visible=False, interactive=False, elem_id="video-made", elem_classes=["evf-files"]
        )

    def on_effect(effect):
        return gr.update(visible=effect == COLOURED)

    def on_make(session: Session, effect: str, colour: str):
        start, told_at = time.monotonic(), 0.0
        for done, total, path in effect_file(session.now.followed, effect, colour):
            now = time.monotonic()
            if path is not None:
                yield "", gr.update(value=path, visible=True), gr.update(visible=False)
            elif now - told_at > PROGRESS_S:
                told_at = now
                yield progress_html(Step(done, total, now - start)), gr.update(visible=False), gr.update(visible=True)

    def on_end():
        return "", gr.update(visible=False)

    effect.change(on_effect, effect, colour, queue=False, **common.FREE)
    how = {"concurrency_id": "effects", "concurrency_limit": 1, **common.FREE}
    made = make.click(with_user_errors(on_make), [session, effect, colour], [told, file, cancel], **how)
    made.failure(on_end, None, [told, cancel], queue=False, **common.FREE)
    cancel.click(on_end, None, [told, cancel], cancels=[made], queue=False, **common.FREE)
    return panel
