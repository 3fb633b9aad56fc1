"""A system that runs elsewhere and is asked over the network, such as LISA or Sa2VA.

transformers has no class for these two: their authors' code needs its own environment. Each has a Gradio demo; start it
there, and ask it from here::

    system = ServedSystem("http://localhost:7860", "/predict", ask=lambda image, text: [text, handle_file(image)])
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gradio_client import Client
from PIL import Image
from torch import nn

from evfsam.errors import EvfSamError
from evfsam.media.images import open_image
from evfsam.runtime import choose_runtime
from evfsam.systems.base import System, Things
from evfsam.systems.registry import SystemInfo
from evfsam.types import EncodedImage


class ServedSystem(System):
    """A running Gradio app, asked by gradio_client."""

    def __init__(
        self,
        url: str,
        api_name: str,
        ask: Callable[[str, str], Sequence[Any]],
        read: Callable[[Any], Sequence[np.ndarray | str]] = lambda answer: [answer],
        name: str = "served",
    ):
        """
        Args:
            url: the app's address. Never take it from a visitor.
            api_name: its endpoint, such as "/predict".
            ask: (path of the image, text) -> the endpoint's arguments.
            read: the endpoint's answer -> masks: bool (H, W), or paths of images that are white where the thing is.
            name: for tables.

        Raises EvfSamError if nothing answers there.
        """
        info = SystemInfo(name=name, source=url, on_hub=False, capabilities=("referring",), description=f"at {url}")
        super().__init__(info, choose_runtime("cpu"), nn.Module())
        self.api_name, self.ask, self.read = api_name, ask, read
        try:
            self.client = Client(url, verbose=False)
        except Exception as error:  # gradio_client raises what its transport does
            raise EvfSamError(f"No Gradio app answers at {url}; start it there first.") from error

    def look(self, image: np.ndarray) -> np.ndarray:
        return image

    def find(self, encoded: EncodedImage, text: str) -> Things:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image.png"
            Image.fromarray(encoded.features).save(path)
            try:
                answer = self.client.predict(*self.ask(str(path), text), api_name=self.api_name)
            except Exception as error:
                raise EvfSamError(f"{self.info.name} at {self.info.source} did not answer: {error}") from error
            masks = [_mask(mask) for mask in self.read(answer)]
        if any(mask.shape != encoded.geometry.original_size_hw for mask in masks):
            raise EvfSamError(f"{self.info.name} gave a mask of another size; let `read` bring it to the image's size.")
        found = [mask for mask in masks if mask.any()]
        return Things(found, [1.0] * len(found))


def _mask(mask: np.ndarray | str) -> np.ndarray:
    """bool (H, W)."""
    return np.asarray(mask) > 0 if isinstance(mask, np.ndarray) else open_image(mask)[..., 0] > 127
