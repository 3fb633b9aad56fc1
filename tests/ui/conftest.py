"""A workbench with two tiny random checkpoints, and pictures to ask about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from evfsam.data.scenes import make_scene, render
from evfsam.ui.app import build_app, serve
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings
from tests.random_model import CONFIG, save_random_model


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """Two checkpoints of random weights, "first" and "second"; the first one tracks."""
    folder = tmp_path_factory.mktemp("offered")
    tracks = replace(
        CONFIG,
        segmenter=replace(CONFIG.segmenter, memory=True, memory_width=8, memory_layers=1, memory_feed_forward=16),
    )
    paths = [save_random_model(folder / "first", 0, tracks), save_random_model(folder / "second", 1)]
    return ModelService(Settings(models=tuple(map(str, paths)), device="cpu"))


@pytest.fixture(scope="session")
def app(service, no_certificates):
    """The app, answering over HTTP at ``app.local_url``."""
    app = build_app(service)
    serve(app, Settings(), prevent_thread_lock=True)
    yield app
    app.close()


@pytest.fixture(scope="session")
def image():
    return render(make_scene(900013, 1.5), (96, 144)).image


@pytest.fixture
def picture(tmp_path, image, monkeypatch):
    """The path of a picture as an upload would lie there: in a folder of its own in Gradio's cache."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    path = tmp_path / "0123abcd" / "shore.png"
    path.parent.mkdir()
    Image.fromarray(np.ascontiguousarray(image)).save(path)
    return str(path)
