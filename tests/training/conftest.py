from __future__ import annotations

import pytest
import torch


@pytest.fixture
def one_thread():
    """Several threads add gradients up in whatever order they finish; one does it the same way twice."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
