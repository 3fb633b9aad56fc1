"""Requests made from the app's own OpenAPI document: none breaks the server, each gets an answer or a sentence."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image

from tests.media.stills import encoded


@pytest.fixture(scope="module")
def schema(app):
    # Answers are read in check(): Gradio breaks the connection of whoever asks for the answer to no request.
    return schemathesis.openapi.from_url(f"{app.local_url}gradio_api/openapi.json").include(method="POST")


@pytest.fixture(scope="module")
def upload(app):
    """A picture as an upload."""
    files = {"files": ("a.png", encoded(Image.new("RGB", (64, 48), (200, 40, 40)), "png"))}
    path = httpx.post(f"{app.local_url}gradio_api/upload", files=files).json()[0]
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def check(case, app, upload):
    """Send a generated request, and read the answer that it announces."""
    if isinstance(case.body, dict) and "picture" in case.body:
        case.body["picture"] = upload  # else almost every request would end there
    response = case.call()
    assert response.status_code < 500, response.text
    assert "Traceback" not in response.text
    name = re.fullmatch(r"/gradio_api/call/v2/(\w+)", case.path)
    if name and response.status_code == 200:
        event = quote(response.json()["event_id"], safe="")
        told = httpx.get(f"{app.local_url}gradio_api/call/{name[1]}/{event}", timeout=60).text
        kind, data = re.search(r"event: (complete|error)\ndata: (.*)", told).groups()
        answer = json.loads(data, parse_constant=lambda name: pytest.fail(f"{name} in an answer"))
        if kind == "error":
            sentence = answer["error"]
            assert sentence and "\n" not in sentence and sentence.endswith("."), sentence
            assert not re.search("Traceback|unexpected|upstream", sentence), sentence


@pytest.mark.parametrize("examples", [40, pytest.param(2_000, marks=pytest.mark.slow)])
def test_generated_requests(app, schema, upload, examples):
    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck)
    @given(schema.as_strategy())
    def send(case):
        check(case, app, upload)

    send()
