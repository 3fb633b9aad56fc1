"""Tiny random systems in a folder."""

from __future__ import annotations

import pytest

from tests.systems.tiny import save_all


@pytest.fixture(scope="session")
def systems_folder(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("systems"))
