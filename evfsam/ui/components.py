"""Gradio's components, where this app needs them a little different."""

from __future__ import annotations

import gradio as gr
from gradio.components.image import ImageData


class PictureInput(gr.Image):
    """A picture by upload, paste or webcam, handed on as the path of the uploaded file.

    ``gr.Image`` opens the file itself and answers a damaged one with a bare "Error"; here
    ``evfsam.media.images.open_image`` opens it and says what is wrong. Which paths may be named is checked by
    ``evfsam.ui.blocks.CheckedBlocks``, for all components alike.
    """

    is_template = True  # the browser knows it as an image

    def preprocess(self, payload: ImageData | None) -> str | None:
        """The path of the uploaded file, or None."""
        return payload and payload.path


def picture_input(label: str = "Picture", elem_id: str | None = None) -> PictureInput:
    """Where a picture is brought: upload, paste or webcam."""
    # Gradio reads a component's properties off its own signature: this is a function, not an __init__.
    return PictureInput(
        label=label,
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard", "webcam"],
        height=300,
        buttons=["fullscreen"],
        alt_text="The picture that is asked about",
        elem_id=elem_id,
    )
