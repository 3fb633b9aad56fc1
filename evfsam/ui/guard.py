"""What stands before Gradio's own routes: whose name a request may use, and which routes this app does not need."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from evfsam.ui.files import delete_old, delete_unfinished
from evfsam.ui.settings import Settings

EVERY_NETWORK = ("0.0.0.0", "::")
FOREIGN_HOST = "This address is not the app's own: start the app with --allow-host NAME if it should answer to it."
FOREIGN_ORIGIN = "The page that asked is not the app's own: start the app with --allow-host NAME if it may ask."
# Gradio's, with no use here: one runs ffmpeg on what a stranger sends, the other writes files that nobody reads.
UNUSED = ("/process_recording", "/deep_link")
NOT_HERE = "This app does not offer that."
DELETE_EVERY_S = 60

Address = tuple[str, int | None]


class Hosts:
    """Which values of Host and Origin are the app's own.

    A page of another site can have its own name resolved to this machine (DNS rebinding): the browser then
    takes the app for a part of that site. So only names that are known to be the app's are answered. An IP
    address cannot be rebound.

    Args:
        host: where the app listens; with "0.0.0.0" or "::" every IP address and the machine's name are its own.
        allowed: further names, of a proxy for example.
    """

    def __init__(self, host: str, allowed: Iterable[str] = ()):
        host = host.strip("[]").lower()
        self.every_address = host in EVERY_NETWORK
        self.allowed = {name.lower() for name in allowed}
        machine = socket.gethostname().lower()
        names = {machine, machine.partition(".")[0], f"{machine}.local"} if self.every_address else set()
        self.names = {"localhost", host, *names, *self.allowed}

    def own_host(self, value: str) -> bool:
        """Whether a Host header, "name" or "name:port", names this app."""
        address = _address(value)
        return address is not None and (address[0] in self.names or self._own_ip(address[0]))

    def own_origin(self, value: str, hosts: Iterable[str]) -> bool:
        """Whether an Origin header, "scheme://name:port", is the app's own page, asked under one of ``hosts``."""
        scheme, _, rest = value.partition("://")
        origin = _address(rest) if scheme in ("http", "https") else None
        if origin is None:
            return False
        return origin[0] in self.allowed or any(_same(origin, _address(host)) for host in hosts)

    def _own_ip(self, name: str) -> bool:
        try:
            return ipaddress.ip_address(name).is_loopback or self.every_address
        except ValueError:
            return False


def _address(netloc: str) -> Address | None:
    """(name, port) of "name:port"; None for the port if it is the scheme's usual one, None if it is malformed."""
    if not re.fullmatch(r"[\w.:\[\]%-]+", netloc, re.ASCII):
        return None
    try:
        parts = urlsplit(f"//{netloc}")
        name, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    return (name, None if port in (80, 443) else port) if name else None


def _same(one: Address, other: Address | None) -> bool:
    return other is not None and one[1] == other[1] and (one[0] == other[0] or (_loopback(one) and _loopback(other)))


def _loopback(address: Address) -> bool:
    return address[0] == "localhost" or Hosts("")._own_ip(address[0])


class Guard:
    """ASGI middleware: refuses foreign hosts, foreign origins and unused routes, and tidies after uploads.

    Args:
        app: what is guarded.
        hosts: None to answer to every name.
        folder: where uploads are written.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts | None, folder: Path):
        self.app, self.hosts, self.folder = app, hosts, folder
        self.uploads = 0  # at work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        if refusal := self._refusal(Headers(scope=scope)):
            await PlainTextResponse(refusal, 403)(scope, receive, send)
        elif path.endswith(UNUSED):
            await PlainTextResponse(NOT_HERE, 404)(scope, receive, send)
        elif path.endswith("/upload"):
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _refusal(self, headers: Headers) -> str | None:
        if self.hosts is None:
            return None
        forwarded = [name.strip() for value in headers.getlist("x-forwarded-host") for name in value.split(",")]
        named = [headers.get("host", ""), *forwarded]
        if not all(map(self.hosts.own_host, named)):
            return FOREIGN_HOST
        if not all(self.hosts.own_origin(value, named) for value in headers.getlist("origin")):
            return FOREIGN_ORIGIN
        return None

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.uploads += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.uploads -= 1
            if not self.uploads:  # Gradio leaves the file of a client that went away
                delete_unfinished(self.folder)


def guarded(settings: Settings, folder: Path) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """A lifespan for the served app: guards it before the first request, and deletes old files as long as it runs.

    A shared link and a Space stand behind a proxy that answers for the names.
    """
    behind_proxy = settings.share or os.environ.get("SPACE_ID") or os.environ.get("SPACE_HOST")
    hosts = None if behind_proxy else Hosts(settings.host, settings.allow_hosts)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Outside of Gradio's own middleware, which would answer preflight requests of foreign pages.
        app.middleware_stack = Guard(app.middleware_stack, hosts, folder)
        task = asyncio.create_task(_delete_again_and_again(folder))
        try:
            yield
        finally:
            task.cancel()

    return lifespan


async def _delete_again_and_again(folder: Path) -> None:
    while True:
        await asyncio.sleep(DELETE_EVERY_S)
        await asyncio.to_thread(delete_old, folder)
