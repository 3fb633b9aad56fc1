"""Whose name a request may use (DNS rebinding), and what is said when the app cannot start."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from evfsam.errors import EvfSamError, InputError
from evfsam.ui.guard import FOREIGN_HOST, FOREIGN_ORIGIN, Hosts
from evfsam.ui.settings import Settings, check, check_address, read_settings

ROOT = Path(__file__).parents[2]
MACHINE = socket.gethostname()
LOCAL, EVERY = "127.0.0.1", "0.0.0.0"


@pytest.mark.parametrize(
    ("listens", "host", "own"),
    [
        (LOCAL, "localhost:7860", True),
        (LOCAL, "LOCALHOST", True),
        (LOCAL, "localhost.", True),
        (LOCAL, "127.0.0.1:7860", True),
        (LOCAL, "127.0.0.2", True),
        (LOCAL, "[::1]:7860", True),
        (LOCAL, "proxy.example", True),
        (LOCAL, "evil.example", False),
        (LOCAL, "localhost.evil.example", False),
        (LOCAL, "127.0.0.1.evil.example", False),
        (LOCAL, "evil.localhost", False),
        (LOCAL, "192.168.1.5:7860", False),
        (LOCAL, "", False),
        (LOCAL, ":7860", False),
        (LOCAL, "localhost:x", False),
        (LOCAL, "localhost:99999", False),
        (LOCAL, "localhost@evil.example", False),
        (LOCAL, "localhost/evil.example", False),
        (LOCAL, "localhost evil.example", False),
        (LOCAL, "[::1", False),
        (LOCAL, "2130706433", False),
        (EVERY, "192.168.1.5:7860", True),
        (EVERY, "[2001:db8::5]:7860", True),
        (EVERY, MACHINE, True),
        (EVERY, f"{MACHINE}.local:7860", True),
        (EVERY, "0.0.0.0:7860", True),
        (EVERY, "evil.example", False),
        ("::", "192.168.1.5", True),
        ("[::1]", "[::1]:7860", True),
        ("192.168.1.5", "192.168.1.5:7860", True),
        ("192.168.1.5", "192.168.1.6:7860", False),
    ],
)
def test_own_hosts(listens, host, own):
    assert Hosts(listens, ["Proxy.Example"]).own_host(host) == own


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://localhost:7860", "localhost:7860", True),
        ("http://LocalHost:7860", "localhost:7860", True),
        ("http://localhost:7860", "127.0.0.1:7860", True),
        ("http://[::1]:7860", "localhost:7860", True),
        ("http://192.168.1.5:7860", "192.168.1.5:7860", True),
        ("https://192.168.1.5", "192.168.1.5", True),
        ("https://proxy.example", "localhost:7860", True),
        ("http://localhost:3000", "localhost:7860", False),
        ("http://evil.example", "localhost:7860", False),
        ("http://evil.example:7860", "localhost:7860", False),
        ("http://192.168.1.6:7860", "192.168.1.5:7860", False),
        ("http://localhost:7860.evil.example", "localhost:7860", False),
        ("http://localhost:7860@evil.example", "localhost:7860", False),
        ("null", "localhost:7860", False),
        ("", "localhost:7860", False),
        ("file://", "localhost:7860", False),
        ("chrome-extension://localhost:7860", "localhost:7860", False),
    ],
)
def test_own_origins(origin, host, own):
    assert Hosts(EVERY, ["proxy.example"]).own_origin(origin, [host]) == own


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", ["", "config", "gradio_api/info", "gradio_api/call/segment", "gradio_api/upload"])
@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Host": "evil.example"}, FOREIGN_HOST),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, FOREIGN_HOST),
        ({"X-Forwarded-Host": "evil.example"}, FOREIGN_HOST),
        ({"Origin": "http://evil.example"}, FOREIGN_ORIGIN),
        ({"Origin": "null"}, FOREIGN_ORIGIN),
        ({"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}, FOREIGN_ORIGIN),
    ],
)
def test_foreign_requests_are_refused(app, method, path, headers, told):
    answer = httpx.request(method, f"{app.local_url}{path}", headers=headers)
    assert answer.status_code == 403 and (answer.text == told or method == "HEAD")
    assert "access-control-allow-origin" not in answer.headers


def test_a_second_host_is_refused_too(app):
    client = http.client.HTTPConnection(LOCAL, app.server_port)
    client.putrequest("GET", "/config", skip_host=True)
    for host in ("localhost", "evil.example"):
        client.putheader("Host", host)
    client.endheaders()
    assert client.getresponse().status in (400, 403)  # h11 refuses it by itself; httptools, if installed, does not
    client.close()


def test_own_requests_are_answered(app):
    for host in ("localhost", "127.0.0.1", "[::1]"):
        headers = {"Host": f"{host}:{app.server_port}", "Origin": f"http://{host}:{app.server_port}"}
        assert httpx.get(f"{app.local_url}gradio_api/info", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "environment", "host", "port", "allowed", "share"),
    [
        ([], {}, LOCAL, None, (), False),
        (["--port", "80", "--allow-host", "a", "--allow-host", "b"], {}, LOCAL, 80, ("a", "b"), False),
        ([], {"GRADIO_SERVER_NAME": EVERY, "GRADIO_SERVER_PORT": "7000"}, EVERY, 7000, (), False),
        ([], {"EVFSAM_ALLOW_HOST": "a, b", "GRADIO_SHARE": "True"}, LOCAL, None, ("a", "b"), True),
    ],
)
def test_addresses_in_settings(arguments, environment, host, port, allowed, share):
    settings = read_settings(arguments, environment)
    assert (settings.host, settings.port, settings.allow_hosts, settings.share) == (host, port, allowed, share)


@pytest.mark.parametrize("port", ["0", "-1", "65536", "99999", "abc", "7860.5"])
def test_no_port(port):
    for arguments, environment in ([f"--port={port}"], {}), ([], {"GRADIO_SERVER_PORT": port}):
        with pytest.raises(InputError, match="give a whole number from 1 to 65,535"):
            read_settings(arguments, environment)


@pytest.mark.parametrize(
    ("host", "told"),
    [("no.such.host.invalid", "is not known"), ("", "is not known"), ("192.0.2.1", "not an address of this machine")],
)
def test_no_host(host, told):
    with pytest.raises(InputError, match=told):
        check_address(host, None)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings(device="tpu"), "Unknown device"),
        (Settings(device="cpu", precision="3bit"), "3bit"),
        (Settings(models=("nobody",)), "There is no checkpoint 'nobody'"),
    ],
)
def test_unknown_names(settings, told):
    with pytest.raises(EvfSamError, match=told):
        check(settings)


def test_a_busy_port_is_told_at_once():
    with socket.create_server((LOCAL, 0)) as other:
        port = str(other.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "app.py", "--port", port], cwd=ROOT, capture_output=True, text=True, timeout=30
        )
    assert done.returncode == 2
    assert done.stderr == f"app.py: Port {port} is taken by another program: choose another with --port.\n"
    assert done.stdout == "Starting EVF-SAM ...\n"


TAKEN_LATER = """
import socket, sys
from evfsam.ui import start
start.check = lambda settings: None  # the port was free then
with socket.create_server(("127.0.0.1", 0)) as other:
    sys.exit(start.main(["--port", str(other.getsockname()[1]), "--device", "cpu"]))
"""


def test_a_port_that_is_taken_while_the_app_starts_is_told(tmp_path):
    """By then a thread loads the model."""
    done = subprocess.run(
        [sys.executable, "-c", TAKEN_LATER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)},
    )
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    told = "app.py: The port is taken by another program: choose another with --port."
    assert done.stderr.splitlines()[-1] == told
