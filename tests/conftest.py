"""What many tests share."""

from __future__ import annotations

import gc
import os
import sys

import pytest

from evfsam.ui.start import WithoutStubs

sys.meta_path.insert(0, WithoutStubs())  # before a test imports Gradio

LONG = ("tests/ui/", "tests/training/", "tests/video/", "tests/corpus/", "tests/test_readme.py")


def pytest_collection_modifyitems(items):
    """Those that drive a browser take longest and start first; then come other long files.

    Short ones at the end fill all processes.
    """
    items.sort(key=lambda item: (not item.get_closest_marker("browser"), not item.nodeid.startswith(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    gc.disable()  # imports and the search for tests leave hardly any garbage
    try:
        return (yield)
    finally:
        gc.freeze()  # modules and tests stay: later searches for garbage pass them over
        gc.enable()


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory):
    """The folder of a tiny checkpoint with random weights."""
    from tests.random_model import save_random_model  # not above: the process that deals out tests runs none

    return save_random_model(tmp_path_factory.mktemp("checkpoints") / "random-sam2")


@pytest.fixture(scope="session")
def random_tracking_checkpoint(tmp_path_factory):
    """The same, with a memory."""
    from tests.random_tracker import save_random_tracker

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
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
