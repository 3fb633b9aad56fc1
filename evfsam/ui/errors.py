"""What a user is told when something goes wrong: one sentence, no traceback."""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections.abc import Callable

import gradio as gr
from fastapi import Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from evfsam.errors import EvfSamError
from evfsam.ui.prompts import with_quotes

LOG = logging.getLogger(__name__)
UNKNOWN = "This request cannot be read: /gradio_api/info lists the endpoints and the values that each takes."

BARE = {
    **dict.fromkeys(("Not Found", "Not found"), "This app has no such address: /gradio_api/info lists its endpoints."),
    "Method Not Allowed": "This address takes another HTTP method: /gradio_api/info tells which.",
    "Forbidden": "This file is not for visitors: name one that the page shows.",
    **dict.fromkeys(("Invalid content type.", "Session hash not found.", "No function index provided."), UNKNOWN),
}


async def unreadable_request(request: Request, error: Exception) -> JSONResponse:
    """The answer to what never reaches a handler: no JSON, an endpoint that is not there, a value too few."""
    LOG.info("%s cannot be answered: %s", request.url.path, error)
    return JSONResponse({"error": UNKNOWN}, 400)


async def refused_request(request: Request, error: HTTPException) -> Response:
    """Gradio's refusals, but an address, a method or a full queue come with what to do next."""
    if isinstance(error.detail, str) and error.detail in BARE:
        return JSONResponse({"error": BARE[error.detail]}, error.status_code, error.headers)
    if str(error.detail).startswith("File not allowed"):  # Gradio's goes on with the path
        return JSONResponse({"error": BARE["Forbidden"]}, error.status_code)
    if error.status_code == 400 and (quoted := re.fullmatch(r"(['\"])(.*)\1", str(error.detail))):
        return JSONResponse({"error": quoted[2], "detail": quoted[2]}, 400)  # the repr of what a validator raised
    if error.status_code == 503 and str(error.detail).startswith("Queue is full"):
        error = HTTPException(503, f"{error.detail} Send the request again in a minute.")
    return await http_exception_handler(request, error)


REQUEST_ERRORS = {
    Exception: unreadable_request,
    RequestValidationError: unreadable_request,
    HTTPException: refused_request,
}


def with_user_errors(handler: Callable) -> Callable:
    """The handler, its errors shown to the user as :func:`user_error` words them."""

    @functools.wraps(handler)
    def answer(*arguments, **named):
        try:
            return handler(*arguments, **named)
        except Exception as error:
            raise user_error(error) from None

    @functools.wraps(handler)
    def stream(*arguments, **named):
        try:
            yield from handler(*arguments, **named)
        except Exception as error:
            raise user_error(error) from None

    return stream if inspect.isgeneratorfunction(handler) else answer


def user_error(error: Exception) -> gr.Error:
    """The sentence that a user is shown for an error; what nobody expected goes to the log in full."""
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, EvfSamError):
        return gr.Error(with_quotes(str(error)), title="That did not work", print_exception=False)
    LOG.exception("unexpected error", exc_info=error)
    if "out of memory" in str(error).lower():
        return gr.Error("The device ran out of memory: use a smaller picture or model.", print_exception=False)
    return gr.Error("Something unexpected went wrong; the server's log tells what.", print_exception=False)
