"""The app offers checkpoints that are not here, says so when one is asked for, and goes on with the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evfsam.errors import CheckpointError
from evfsam.ui import state
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings
from tests.checkpoints.small import write_checkpoint

PICTURE = np.zeros((40, 60, 3), np.uint8)


@pytest.fixture
def folders(tmp_path) -> tuple[str, str]:
    names = tmp_path / "one", tmp_path / "two"
    for folder in names:
        write_checkpoint(folder)
    return tuple(map(str, names))


def held(service: ModelService) -> list[str]:
    return [key[0] for key in service._predictors.keys()]  # noqa: SIM118


def bench_of(*models: str) -> ModelService:
    return ModelService(Settings(models=models, device="cpu"))


@pytest.mark.parametrize("on_zero_gpu", [False, True], ids=["loads when asked", "loads at the start"])
def test_without_the_hub_the_app_goes_on_with_what_is_here(folders, tmp_path, monkeypatch, on_zero_gpu):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(state, "ON_ZERO_GPU", on_zero_gpu)
    service = bench_of("evf-sam2", folders[0])
    assert service.default_model == "evf-sam2"
    with pytest.raises(CheckpointError, match="evf-sam2.* is not on this disk"):
        service.segment("evf-sam2", PICTURE, ["the car"])
    assert len(service.segment("one", PICTURE, ["the red car"]).segmentations) == 1


def test_checkpoints_take_turns_where_one_fits(folders, monkeypatch):
    monkeypatch.setattr(state, "weight_budget_bytes", lambda device: 1)
    service = bench_of(*folders)
    for name in ("one", "two", "one"):
        service.segment(name, PICTURE, ["the red car"])
        assert held(service) == [name]


def test_checkpoints_stay_where_all_fit(folders):
    service = bench_of(*folders)
    for name in ("one", "two", "one"):
        service.segment(name, PICTURE, ["the red car"])
    assert held(service) == ["two", "one"]
    assert Path(service.predictor("two").checkpoint.folder).name == "two"
