"""What the app is started with: the command line first, then the environment, then defaults."""

from __future__ import annotations

import argparse
import errno
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evfsam import DEFAULT_MODEL, values
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
        host: where the server listens; "127.0.0.1" is this machine only, "0.0.0.0" every network.
        port: 1 to 65535; None takes the first free one from 7860.
        share: whether to ask Gradio for a public link.
        allow_hosts: names, beside its own, under which the app may be asked.
        limits: how much one request may ask for (EVFSAM_LIMIT_PIXELS and so on).
        download: whether visitors may have published checkpoints downloaded.
        server: the address of replicas that answer questions about images (``evfsam.batch.serve``), or nothing.
        mcp: whether to offer the endpoints to language models as well (needs the ``mcp`` package).
    """

    models: tuple[str, ...] = ()
    device: str = "auto"
    precision: str = "auto"
    host: str = "127.0.0.1"
    port: int | None = None
    share: bool = False
    allow_hosts: tuple[str, ...] = ()
    download: bool = True
    mcp: bool = False
    server: str = ""
    limits: Limits = Limits()


def read_settings(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a command line and an environment.

    Exits, as argparse does, on an unknown argument; raises InputError for a number that cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="app.py",
        usage="app.py [options]",
        description="EVF-SAM in the browser: say what you see, get its mask.",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a checkpoint's name, its folder, or owner/name on the Hub; given several times, the first is chosen "
        f"at the start (default: {DEFAULT_MODEL}; EVFSAM_MODEL, comma separated)",
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
    parser.add_argument(
        "--host",
        default=environment.get("GRADIO_SERVER_NAME") or Settings.host,
        help="where to listen, 0.0.0.0 for every network (GRADIO_SERVER_NAME)",
    )
    parser.add_argument(
        "--port",
        default=environment.get("GRADIO_SERVER_PORT"),
        help="default: the first free one from 7860 (GRADIO_SERVER_PORT)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        metavar="NAME",
        help="another name under which the app may be asked, for example a proxy's; may be given several times "
        "(EVFSAM_ALLOW_HOST, comma separated)",
    )
    parser.add_argument(
        "--share",
        action="store_true",
        default=environment.get("GRADIO_SHARE", "").lower() == "true",
        help="ask Gradio for a public link (GRADIO_SHARE)",
    )
    parser.add_argument(
        "--no-download",
        action="store_true",
        default=environment.get("EVFSAM_DOWNLOAD", "").lower() in ("0", "no", "false"),
        help="let nobody download a published checkpoint from the page (EVFSAM_DOWNLOAD=0)",
    )
    parser.add_argument(
        "--server",
        metavar="URL",
        default=environment.get("EVFSAM_SERVER", ""),
        help="have replicas at this address answer questions about images, see docs/scale.md (EVFSAM_SERVER)",
    )
    parser.add_argument("--mcp", action="store_true", help="serve MCP too (GRADIO_MCP_SERVER)")
    given = parser.parse_args(arguments)
    return Settings(
        models=_names(given.model or environment.get("EVFSAM_MODEL", "").split(",")),
        device=given.device,
        precision=given.precision,
        host=given.host,
        port=values.number(given.port, "port", 1, 65535, whole=True, text=True) if given.port else None,
        share=given.share,
        allow_hosts=_names(given.allow_host or environment.get("EVFSAM_ALLOW_HOST", "").split(",")),
        download=not given.no_download,
        mcp=given.mcp,
        server=given.server,
        limits=read_limits(environment),
    )


def _names(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in given if name.strip())


def check(settings: Settings) -> None:
    """Raises EvfSamError if the app cannot start like this: a look at names before anything large is loaded."""
    check_address(settings.host, settings.port)
    from evfsam.checkpoints.registry import find
    from evfsam.systems.registry import find_system

    for name in settings.models:
        find_system(name) or find(name)
    from evfsam.runtime import choose_runtime  # imports torch

    choose_runtime(settings.device, settings.precision)


def check_address(host: str, port: int | None) -> None:
    """Raises InputError if the app cannot listen there."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError(f"The host {host!r} is not known: choose an address of this machine with --host.") from None
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                raise InputError(_why_not(host, port, error)) from None


def _why_not(host: str, port: int | None, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program: choose another with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} is not allowed for this user: choose one above 1023 with --port."
    return f"The host {host!r} is not an address of this machine ({error.strerror}): choose another with --host."
