"""One door for all requests: Gradio opens no file, and nothing fails without a sentence, before it is checked."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import nullcontext
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr

from evfsam.errors import InputError
from evfsam.ui.errors import UNKNOWN, user_error
from evfsam.ui.files import uploaded_file

LOG = logging.getLogger(__name__)

IN_ORDER = "gpu"  # the concurrency_id of events that wait for those of the same session before them
FILE_KEYS = {"path", "url", "meta"}  # of Gradio's FileData and ImageData


class CheckedBlocks(gr.Blocks):
    """``gr.Blocks`` that refuses every file that was not uploaded, and answers every failure with a sentence.

    Gradio itself looks only at files that come with ``meta``, downloads web addresses, decodes ``data:``
    addresses of any size, and answers what fails outside of a handler with ``{"error": null}``. All endpoints,
    public and private, and their validators come through here.

    Events of many sessions run at once. Those of one session with the id :data:`IN_ORDER` run one after the other: each
    starts from the state that the one before left.
    """

    _orders: WeakValueDictionary[str, asyncio.Lock]

    def __init__(self, *arguments: Any, **named: Any):
        self._orders = WeakValueDictionary()
        super().__init__(*arguments, **named)

    async def process_api(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """As Gradio's; whatever is raised becomes a ``gr.Error`` of one sentence."""
        event = named.get("event_data")
        if event is not None:
            told = event._data if isinstance(event._data, dict) else {}
            event._data = {"index": None, "value": None, **told}  # what handlers ask an event for
        try:
            if getattr(named.get("block_fn"), "fn", ...) is None:  # an event that the browser alone handles
                raise InputError(UNKNOWN)
            async with self._order(named.get("block_fn"), named.get("session_hash")):
                return await super().process_api(*arguments, **named)
        except Exception as error:
            raise user_error(error) from None
        finally:
            if (session := named.get("session_hash")) == named.get("event_id"):
                # A program without a session of its own. Gradio would keep one for it, in the place of a page's.
                self.state_holder.session_data.pop(session, None)
                self.state_holder.time_last_used.pop(session, None)

    def _order(self, block_fn: Any, session: str | None) -> Any:
        if session is None or getattr(block_fn, "concurrency_id", None) != IN_ORDER:
            return nullcontext()
        return self._orders.setdefault(session, asyncio.Lock())

    async def preprocess_data(self, block_fn: Any, inputs: list, state: Any, explicit_call: bool = False) -> list:
        """As Gradio's, of inputs whose files are uploads. Raises gr.Error or InputError."""
        try:
            if len(inputs) > len(block_fn.inputs):  # Gradio would leave the rest out
                raise ValueError(f"{len(inputs)} values for {len(block_fn.inputs)}")
            checked = [only_uploads(value, _takes_file(block_fn, i)) for i, value in enumerate(inputs)]
            return await super().preprocess_data(block_fn, checked, state, explicit_call)
        except InputError:
            raise
        except Exception as error:
            LOG.info("inputs that cannot be used: %s", error)
            raise gr.Error(_unusable(block_fn), print_exception=False) from None


def only_uploads(value: Any, is_file: bool = False) -> Any:
    """A request's value as it came, but of each file in it nothing except the path of an upload.

    Args:
        is_file: whether the value, unless it is None, has to be a file.

    Raises InputError for a file that was not uploaded.
    """
    if isinstance(value, dict) and FILE_KEYS & value.keys() or is_file and value is not None:
        path = value.get("path") if isinstance(value, dict) else None
        return {"path": str(uploaded_file(path)), "meta": {"_type": "gradio.FileData"}}
    if isinstance(value, dict):
        return {key: only_uploads(inner) for key, inner in value.items()}
    return [only_uploads(inner) for inner in value] if isinstance(value, list) else value


def _unusable(block_fn: Any) -> str:
    if block_fn.api_visibility != "public":
        return "The page sent values that it does not offer: reload it, and choose again."
    names = ", ".join(inspect.signature(block_fn.fn).parameters)
    return f"The inputs cannot be used: give {names}, each as /gradio_api/info describes it."


def _takes_file(block_fn: Any, place: int) -> bool:
    # A handler may ask for a component with its properties: then the file is one of several values.
    inputs = block_fn.inputs if place not in block_fn.component_prop_inputs else ()
    return place < len(inputs) and isinstance(inputs[place], gr.Image | gr.Video)
