"""A system that another program serves is asked over the network."""

from __future__ import annotations

import gradio as gr
import numpy as np
import pytest
from gradio_client import handle_file
from PIL import Image

from evfsam.errors import EvfSamError
from evfsam.systems.served import ServedSystem

IMAGE = np.zeros((20, 30, 3), np.uint8)
IMAGE[5:10, 5:25] = 255


@pytest.fixture(scope="module")
def server():
    """White is what it finds for "white"; "small" gives a mask of another size, and any other text fails."""

    def segment(text: str, path: str):
        image = np.asarray(Image.open(path).convert("RGB"))
        if text == "small":
            return image[::2, ::2]
        if text != "white":
            raise gr.Error("I do not know this.")
        return (image > 127).astype(np.uint8) * 255

    with gr.Blocks() as app:
        text, picture = gr.Textbox(), gr.Image(type="filepath")
        gr.Button().click(segment, [text, picture], gr.Image(format="png"), api_name="predict")
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True)
    yield url
    app.close()


@pytest.fixture(scope="module")
def system(server):
    return ServedSystem(server, "/predict", ask=lambda image, text: [text, handle_file(image)], name="lisa")


def test_its_masks_are_answers_like_all_others(system):
    (found,) = system.segment(IMAGE, ["white"])
    assert (found.mask == (IMAGE[..., 0] > 127)).all() and found.prompt == "white"


@pytest.mark.parametrize(("text", "told"), [("red", "lisa .* did not answer: I do not know this"), ("small", "size")])
def test_what_goes_wrong_there_is_one_sentence(system, text, told):
    with pytest.raises(EvfSamError, match=told):
        system.segment(IMAGE, [text])


def test_nothing_answers():
    with pytest.raises(EvfSamError, match="start it"):
        ServedSystem("http://127.0.0.1:9", "/predict", ask=lambda image, text: [image, text])
