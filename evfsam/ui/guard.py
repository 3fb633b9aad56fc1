"""What stands before Gradio's own routes: whose name a request may use, what it may ask for, and how long it may be."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from gradio.routes import file_upload_statuses
from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evfsam.ui.errors import UNKNOWN
from evfsam.ui.files import delete_unfinished
from evfsam.ui.settings import Settings
from evfsam.ui.tidy import Requests, keep_tidy

EVERY_NETWORK = ("0.0.0.0", "::")
FOREIGN_HOST = "This address is not the app's own: start the app with --allow-host NAME if it should answer to it."
FOREIGN_ORIGIN = "The page that asked is not the app's own: start the app with --allow-host NAME if it may ask."
# Gradio's, with no use here: some run ffmpeg, write files or never end; the last fetches any web address for anybody.
UNUSED = re.compile(
    r"/(process_recording|deep_link|component_server|dev/.*|monitoring.*|run-history/.*|(undo-)?vibe-.*|stream/.*"
    r"|proxy=.*|file[=/]https?:.*)"
)
NOT_HERE = "This app does not offer that."
MOST_BYTES = 2**20  # of a request that is no upload
TOO_LONG = f"This request is too long: send at most {MOST_BYTES:,} bytes, and upload files first."
LONGEST_NAME = 100  # letters of a session's name
WRONG_NAME = f"The session_hash of this request cannot be used: send 1 to {LONGEST_NAME} letters, or leave it out."
NO_EVENT = "No answer waits under this name: send the request again, and read its answer once, within ten minutes."
ANSWER = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/(?P<event>[^/]+)|/gradio_api/queue/(?P<stream>data)")

LOG = logging.getLogger(__name__)

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
    """ASGI middleware: refuses foreign hosts and origins, unused routes, and what is too long; tidies after uploads.

    Args:
        app: what is guarded.
        hosts: None to answer to every name.
        folder: where uploads are written.
        requests: Gradio's tables of requests.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts | None, folder: Path, requests: Requests):
        self.app, self.hosts, self.folder, self.requests = app, hosts, folder, requests
        self.uploads = 0  # at work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        path = scope["path"].rstrip("/")
        if refusal := self._refusal(Headers(scope=scope)):
            await PlainTextResponse(refusal, 403)(scope, receive, send)
        elif UNUSED.search(path):
            await PlainTextResponse(NOT_HERE, 404)(scope, receive, send)
        elif path.endswith("/upload"):
            await self._upload(scope, receive, send)
        elif scope.get("method") in ("POST", "PUT", "PATCH", "DELETE"):
            await self._posted(scope, receive, send)
        elif scope.get("method") == "GET" and (asked := ANSWER.fullmatch(path)):
            await self._answer(asked, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app below, without the errors that it has answered: the server would close the client's connection."""
        answered = False

        async def noticed(message: Message) -> None:
            nonlocal answered
            await send(message)
            answered = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self.app(scope, receive, noticed)
        except Exception as error:
            if not answered:
                raise
            LOG.info("%s cannot be answered: %s", scope["path"], error)

    async def _posted(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more and len(body) <= MOST_BYTES:
            message = await receive()
            if message["type"] != "http.request":  # the client is gone
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if refusal := _refused_body(body):
            await refusal(scope, receive, send)
            return
        read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return read.pop() if read else await receive()

        await self._app(scope, again, send)

    async def _answer(self, asked: re.Match[str], scope: Scope, receive: Receive, send: Send) -> None:
        """The stream of events of a request. Gradio breaks the connection, or waits forever, if there is none.

        A page opens its stream after it has sent a request. An earlier stream may bring the answer meanwhile: the new
        one then stays open and brings the next answers. An error here would end every question of that page.
        """
        if event := asked["event"]:
            found = self.requests.waits(event)
            missing = Response(f"event: error\ndata: {json.dumps({'error': NO_EVENT})}\n\n", 404)
        else:
            event = QueryParams(scope["query_string"]).get("session_hash", "")
            found = self.requests.knows(event)
            told = {"msg": "unexpected_error", "message": NO_EVENT, "success": False, "session_not_found": True}
            missing = Response(f"data: {json.dumps(told)}\n\n")
        if not found:
            missing.headers["content-type"] = "text/event-stream"
            await missing(scope, receive, send)
            return
        try:
            with self.requests.reading(event):
                await self._app(scope, receive, send)
        except Exception as error:  # after its last event, when a second reader took the answer
            LOG.info("a stream of events ended: %s", error)
            await send({"type": "http.response.body", "more_body": False})

    def _refusal(self, headers: Headers) -> str | None:
        if self.hosts is None:
            return None
        forwarded = [name.strip() for value in headers.getlist("x-forwarded-host") for name in value.split(",")]
        named = [*(headers.getlist("host") or [""]), *forwarded]
        if not all(map(self.hosts.own_host, named)):
            return FOREIGN_HOST
        if not all(self.hosts.own_origin(value, named) for value in headers.getlist("origin")):
            return FOREIGN_ORIGIN
        return None

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.uploads += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.uploads -= 1
            if name := QueryParams(scope["query_string"]).get("upload_id"):
                file_upload_statuses.set_done(name)  # else Gradio would remember one that was broken off
            if not self.uploads:  # Gradio leaves the file of a client that went away
                delete_unfinished(self.folder)


def _refused_body(body: bytes) -> JSONResponse | None:
    """The answer to a body that is too long, no JSON, or has an empty or endless name for its session; else None."""
    if len(body) > MOST_BYTES:
        return JSONResponse({"error": TOO_LONG}, 413)
    try:
        document = json.loads(body or "null")
    except (ValueError, RecursionError):
        return JSONResponse({"error": UNKNOWN}, 400)
    session = document.get("session_hash") if isinstance(document, dict) else None
    # Gradio takes an empty name for no name in one place and for a name in another, and its queue breaks.
    if session is not None and not (isinstance(session, str) and 0 < len(session) <= LONGEST_NAME):
        return JSONResponse({"error": WRONG_NAME}, 400)
    return None


def guarded(settings: Settings, folder: Path) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """A lifespan for the served app: guards it before the first request, and keeps it tidy as long as it runs.

    A shared link and a Space stand behind a proxy that answers for the names.
    """
    behind_proxy = settings.share or os.environ.get("SPACE_ID") or os.environ.get("SPACE_HOST")
    hosts = None if behind_proxy else Hosts(settings.host, settings.allow_hosts)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Outside of Gradio's own middleware, which would answer preflight requests of foreign pages.
        requests = Requests(app.get_blocks())
        app.middleware_stack = Guard(app.middleware_stack, hosts, folder, requests)
        task = asyncio.create_task(keep_tidy(requests, folder))
        try:
            yield
        finally:
            task.cancel()

    return lifespan
