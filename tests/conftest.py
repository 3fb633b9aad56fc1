"""What many tests share."""

from __future__ import annotations

import pytest

from tests.random_model import save_random_model


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory):
    """The folder of a tiny checkpoint with random weights."""
    return save_random_model(tmp_path_factory.mktemp("checkpoints") / "random-sam2")
