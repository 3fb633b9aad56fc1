"""What the app is started with: the command line first, then the environment, then defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evfsam.errors import InputError
from evfsam.ui.limits import Limits, read_limits


@dataclass(frozen=True)
class Settings:
    """How to start.

    Attributes:
        models: names, folders or Hub repositories to offer beside those that the project knows; the first is
            chosen at the start. Empty: the default one is.
        device: "auto", "cuda", "mps" or "cpu".
        precision: "auto", or what ``evfsam.runtime`` offers on that device.
        host: where the server listens; None leaves it to Gradio (GRADIO_SERVER_NAME, else this machine only).
        port: None leaves it to Gradio (GRADIO_SERVER_PORT, else the first free one from 7860).
        share: whether to ask Gradio for a public link.
        limits: how much one request may ask for (EVFSAM_LIMIT_PIXELS and so on).
        mcp: whether to offer the endpoints to language models as well (needs the ``mcp`` package).
    """

    models: tuple[str, ...] = ()
    device: str = "auto"
    precision: str = "auto"
    host: str | None = None
    port: int | None = None
    share: bool = False
    mcp: bool = False
    limits: Limits = Limits()


def read_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a command line and an environment. Exits, as argparse does, on a bad argument."""
    parser = argparse.ArgumentParser(
        prog="app.py", description="EVF-SAM in the browser: say what you see, get its mask."
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a checkpoint's name, its folder, or owner/name on the Hub; given several times, the first is chosen "
        "at the start (EVFSAM_MODEL, comma separated)",
    )
    parser.add_argument(
        "--device",
        default=environment.get("EVFSAM_DEVICE", "auto"),
        help="auto, cuda, mps or cpu (EVFSAM_DEVICE)",
    )
    parser.add_argument(
        "--precision",
        default=environment.get("EVFSAM_PRECISION", "auto"),
        help="auto, fp32, fp16, bf16, 8bit or 4bit, as far as the device can (EVFSAM_PRECISION)",
    )
    parser.add_argument("--host", help="where to listen, 0.0.0.0 for every network (GRADIO_SERVER_NAME)")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 (GRADIO_SERVER_PORT)")
    parser.add_argument("--share", action="store_true", help="ask Gradio for a public link (GRADIO_SHARE)")
    parser.add_argument("--mcp", action="store_true", help="serve MCP too (GRADIO_MCP_SERVER)")
    given = parser.parse_args(arguments)
    try:
        limits = read_limits(environment)
    except InputError as error:
        parser.error(str(error))
    named = given.model or environment.get("EVFSAM_MODEL", "").split(",")
    return Settings(
        models=tuple(name.strip() for name in named if name.strip()),
        device=given.device,
        precision=given.precision,
        host=given.host,
        port=given.port,
        share=given.share,
        mcp=given.mcp,
        limits=limits,
    )
