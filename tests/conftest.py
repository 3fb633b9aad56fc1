"""What many tests share."""

from __future__ import annotations

import gc
import os
import sys

import pytest
import torch

from evfsam.ui.start import WithoutStubs
from tests.random_model import save_random_model
from tests.random_tracker import save_random_tracker

sys.meta_path.insert(0, WithoutStubs())  # before a test imports Gradio

LONG = ("tests/ui/", "tests/training/", "tests/video/", "tests/corpus/", "tests/test_readme.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With ``-n 3 --dist loadgroup``, a file is for one process, and all that drives a browser for the same one.

    These take longest and start first; then come other long files. Short ones at the end fill all processes.
    """
    items.sort(key=lambda item: (not item.get_closest_marker("browser"), not item.nodeid.startswith(LONG)))
    for item in items:
        if item.config.pluginmanager.hasplugin("xdist"):
            group = "browser" if item.get_closest_marker("browser") else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))
    gc.freeze()  # modules and tests stay: later searches for garbage pass them over


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory):
    """The folder of a tiny checkpoint with random weights."""
    return save_random_model(tmp_path_factory.mktemp("checkpoints") / "random-sam2")


@pytest.fixture(scope="session")
def random_tracking_checkpoint(tmp_path_factory):
    """The same, with a memory."""
    return save_random_tracker(tmp_path_factory.mktemp("checkpoints") / "random-tracker")


@pytest.fixture(scope="session")
def no_certificates(tmp_path_factory):
    """For requests to loopback: httpx reads all certificates before each, which takes longer than the request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)  # it would be read first
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("certificates")))
        yield


@pytest.fixture(autouse=True)
def usual_priority():
    """PyAV's AV1 encoder gives its caller real-time priority where it may, and others would get no turn."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture
def one_thread():
    """Several threads add up in whatever order they finish; one does it the same way twice."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
