"""A dry run as a ZeroGPU Space: the ``spaces`` package as it is there, its device service played by this test.

What the package does up to the fork that needs a GPU happens for real: models are placed on an emulated CUDA and
packed at launch, and a question is booked for its duration. Without a GPU the service then says no.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

ROOT = Path(__file__).parents[2]
SPACE = """
import json, sys
import app  # first, as a Space runs it: spaces comes before torch
import gradio as gr
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.examples import read_examples
from evfsam.ui.settings import Settings
from evfsam.ui.service import ModelService
from evfsam.ui.app import build_app, serve

service = ModelService(Settings())
page = build_app(service)
serve(page, Settings(), prevent_thread_lock=True)
model = service.predictor(service.default_model).model
try:
    service.answer(service.default_model, str(read_examples()[0].file), MaskQuestion(("the bus",), (None,)))
    refused = ""
except Exception as error:
    refused = type(error).__name__
told = {
    "device": service.runtime.device.type,
    "placed": sorted({p.device.type for p in model.parameters()}),
    "queue": page.max_threads and page._queue.max_size,
    "refused": refused,
}
print("TOLD", json.dumps(told), flush=True)
page.close()
"""


@pytest.fixture
def service():
    """The address of a ZeroGPU device service that has no device, and the calls it got."""
    calls = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            url = urlparse(self.path)
            calls.append((url.path, parse_qs(url.query)))
            self.send_response(200 if url.path == "/startup-report" else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", calls
    server.shutdown()


def test_the_app_starts_as_a_space_and_books_its_gpu(service, tmp_path):
    address, calls = service
    environment = {
        **os.environ,
        "SPACES_ZERO_GPU": "true",
        "SPACES_ZERO_DEVICE_API_URL": address,
        "ZEROGPU_OFFLOAD_DIR": str(tmp_path / "tensors"),
        "ZEROGPU_PROC_SELF_CGROUP_PATH": str(tmp_path / "cgroup"),
        "GRADIO_ANALYTICS_ENABLED": "0",
        "GRADIO_TEMP_DIR": str(tmp_path / "gradio"),
        "HF_HUB_OFFLINE": "1",
    }
    (tmp_path / "cgroup").write_text("0::/kubepods/space\n")
    done = subprocess.run([sys.executable, "-c", SPACE], cwd=ROOT, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("TOLD ")]
    assert lines, done.stderr[-3000:]
    told = json.loads(lines[0].removeprefix("TOLD "))
    assert told["device"] == "cuda" and told["placed"] == ["cuda"]
    assert told["queue"] > 1  # Gradio's own default on ZeroGPU would be one
    assert [path for path, _ in calls[:2]] == ["/startup-report", "/schedule"]
    assert 10 <= float(calls[1][1]["durationSeconds"][0]) <= 60  # an anonymous visitor has two minutes per day
    assert told["refused"]
