"""Gradio's components, where this app needs them a little different."""

from __future__ import annotations

import gradio as gr
from gradio.components.image import ImageData

from gradio.events import Dependency

class PictureInput(gr.Image):
    """A picture by upload, paste or webcam, handed on as the path of the file as it came.

    ``gr.Image`` opens the file itself and answers a wrong one with a bare "Error"; here
    ``evfsam.media.images.open_picture`` opens it and says what is wrong.
    """

    is_template = True  # the browser knows it as an image

    def preprocess(self, payload: ImageData | None) -> str | None:
        """The path of the uploaded file, or None."""
        if payload is None or (payload.url or "").startswith("data:"):
            return super().preprocess(payload)
        return payload.path
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component