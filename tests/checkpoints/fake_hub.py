"""A small stand-in for the Hugging Face Hub on loopback: the requests that a download makes, ranges among them."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40
PIECE = 1 << 20
LARGE = 100_000_000  # bytes, of files whose contents nobody looks through for an ETag


@dataclass
class FakeHub:
    """What the server has and how it behaves; tests change it while it runs.

    Attributes:
        folders: repository name -> folder of its files.
        gated: repositories that ask for permission.
        sizes: file name -> size to announce instead of the true one.
        break_off: file name -> bytes after which its next connection is dropped; 0 for status 503.
        stays_down: whether a file that broke off cannot be had after that.
        zeros: file name -> size of a file of zeros that is on no disk.
        status: file name, or "model" for the description of a repository -> status instead of an answer.
        short: file name -> bytes that the server takes for the whole file when it sends it.
        damaged: files whose contents are not what their ETag says.
        bytes_per_second: of each connection; None for as fast as it goes.
        asked: the paths of all requests.
        ranges: the first byte that each download of a part asked for.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    break_off: dict[str, int] = field(default_factory=dict)
    stays_down: bool = False
    zeros: dict[str, int] = field(default_factory=dict)
    status: dict[str, int] = field(default_factory=dict)
    short: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    bytes_per_second: float | None = None
    asked: list[str] = field(default_factory=list)
    ranges: list[int] = field(default_factory=list)
    url: str = ""


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def log_message(self, *args) -> None:
            pass

        def do_HEAD(self) -> None:
            self._serve(body=False)

        def do_GET(self) -> None:
            self._serve(body=True)

        def _serve(self, body: bool) -> None:
            hub.asked.append(self.path)
            parts = self.path.split("?")[0].strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                self._describe("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
            elif len(parts) > 4 and parts[2] == "resolve":
                self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body)
            else:
                self._refuse(404, "EntryNotFound")

        def _refused(self, repository: str, revision: str, what: str) -> bool:
            if what in hub.status:
                self._refuse(hub.status[what], "")
            elif repository not in hub.folders:
                self._refuse(404, "RepoNotFound")
            elif repository in hub.gated:
                self._refuse(403, "GatedRepo")
            elif revision not in ("main", COMMIT):
                self._refuse(404, "RevisionNotFound")
            else:
                return False
            return True

        def _describe(self, repository: str, revision: str) -> None:
            if self._refused(repository, revision, "model"):
                return
            sizes = {path.name: path.stat().st_size for path in hub.folders[repository].iterdir()}
            sizes |= hub.zeros | hub.sizes
            files = [{"rfilename": name, "size": size} for name, size in sorted(sizes.items())]
            self._reply(json.dumps({"id": repository, "sha": COMMIT, "siblings": files}).encode())

        def _file(self, repository: str, revision: str, name: str, body: bool) -> None:
            if self._refused(repository, revision, name):
                return
            path = hub.folders[repository] / name
            if name in hub.zeros:
                size = hub.zeros[name]
                etag = f"zeros-{size}"
            elif path.is_file():
                size = path.stat().st_size
                with path.open("rb") as file:
                    etag = hashlib.sha256(file.read()).hexdigest() if size < LARGE else f"{name}-{size}"
            else:
                self._refuse(404, "EntryNotFound")
                return
            most = None
            if body and name in hub.break_off:
                most = hub.break_off.pop(name)
                if most == 0:
                    self._refuse(503, "")
                    return
                if hub.stays_down:
                    hub.break_off[name] = 0
            if body and name in hub.short:
                size = hub.short[name]
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
            if name in hub.zeros or body and name in hub.damaged:
                self._stream(bytes, size, headers, most)
                return
            with path.open("rb") as file:
                self._stream(file.read, size, headers, most, file.seek)

        def _stream(self, read, size: int, headers: dict[str, str], most: int | None, seek=None) -> None:
            """``size`` bytes from where the client asks for them; after ``most`` of them it breaks off."""
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked[1]) if asked else 0
            if asked:
                hub.ranges.append(start)
                headers = {**headers, "Content-Range": f"bytes {start}-{size - 1}/{size}"}
            self._head(206 if asked else 200, size - start, headers)
            if self.command == "HEAD":
                return
            end = size if most is None else min(size, start + most)
            self.close_connection = end < size
            if seek:
                seek(start)
            piece = PIECE if hub.bytes_per_second is None else max(1, int(hub.bytes_per_second / 20))
            while start < end:
                stop = min(end, start + piece)
                self.wfile.write(read(stop - start))
                start = stop
                if hub.bytes_per_second:
                    time.sleep(piece / hub.bytes_per_second)

        def _refuse(self, status: int, code: str) -> None:
            self._head(status, 2, {"X-Error-Code": code} if code else {})
            if self.command != "HEAD":
                self.wfile.write(b"{}")

        def _reply(self, content: bytes) -> None:
            self._head(200, len(content), {})
            self.wfile.write(content)

        def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients that break off are part of the tests
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
