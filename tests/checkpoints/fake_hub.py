"""A small stand-in for the Hugging Face Hub on loopback: the four requests that a download makes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40


@dataclass
class FakeHub:
    """What the server has and how it behaves; tests change it while it runs.

    Attributes:
        folders: repository name -> folder of its files.
        gated: repositories that ask for permission.
        sizes: file name -> size to announce instead of the true one.
        break_off: file name -> bytes after which its next connection is dropped; 0 for status 503.
        stays_down: whether a file that broke off cannot be had after that.
        asked: the paths of all requests.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    break_off: dict[str, int] = field(default_factory=dict)
    stays_down: bool = False
    asked: list[str] = field(default_factory=list)
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

        def _refused(self, repository: str, revision: str) -> bool:
            if repository not in hub.folders:
                self._refuse(404, "RepoNotFound")
            elif repository in hub.gated:
                self._refuse(403, "GatedRepo")
            elif revision not in ("main", COMMIT):
                self._refuse(404, "RevisionNotFound")
            else:
                return False
            return True

        def _describe(self, repository: str, revision: str) -> None:
            if self._refused(repository, revision):
                return
            files = [
                {"rfilename": path.name, "size": hub.sizes.get(path.name, path.stat().st_size)}
                for path in sorted(hub.folders[repository].iterdir())
            ]
            self._reply(200, json.dumps({"id": repository, "sha": COMMIT, "siblings": files}).encode())

        def _file(self, repository: str, revision: str, name: str, body: bool) -> None:
            if self._refused(repository, revision):
                return
            path = hub.folders[repository] / name
            if not path.is_file():
                self._refuse(404, "EntryNotFound")
                return
            content = path.read_bytes()
            headers = {
                "X-Repo-Commit": COMMIT,
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            }
            most = None
            if body and name in hub.break_off:
                most = hub.break_off.pop(name)
                if most == 0:
                    self._refuse(503, "")
                    return
                if hub.stays_down:
                    hub.break_off[name] = 0
            self._reply(200, content, headers, send=most)

        def _refuse(self, status: int, code: str) -> None:
            self._reply(status, b"{}", {"X-Error-Code": code} if code else {})

        def _reply(self, status: int, content: bytes, headers: dict | None = None, send: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            if send is not None and send < len(content):
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content if send is None else content[:send])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
