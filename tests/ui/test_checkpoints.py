"""The app offers checkpoints that are not here, says so when one is asked for, and goes on with the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evfsam.errors import CheckpointError
from evfsam.ui import service as service_module
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings
from tests.checkpoints.small import write_checkpoint


@pytest.fixture
def folders(tmp_path) -> tuple[str, str]:
    names = tmp_path / "one", tmp_path / "two"
    for folder in names:
        write_checkpoint(folder)
    return tuple(map(str, names))


def held(service: ModelService) -> list[str]:
    return [key[0] for key in service._predictors.keys()]  # noqa: SIM118


@pytest.fixture
def image_path(tmp_path) -> str:
    path = tmp_path / "black.png"
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(path)
    return str(path)


def service_of(*models: str) -> ModelService:
    return ModelService(Settings(models=models, device="cpu"))


@pytest.mark.parametrize("on_zero_gpu", [False, True], ids=["loads when asked", "loads at the start"])
def test_without_the_hub_the_app_goes_on_with_what_is_here(folders, image_path, tmp_path, monkeypatch, on_zero_gpu):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(service_module, "ON_ZERO_GPU", on_zero_gpu)
    service = service_of("evf-sam2", folders[0])
    assert service.default_model == "evf-sam2"
    with pytest.raises(CheckpointError, match="evf-sam2.* is not on this disk"):
        service.answer("evf-sam2", image_path, MaskQuestion(("the car",), (None,)))
    assert len(service.answer("one", image_path, MaskQuestion(("the red car",), (None,))).masks) == 1


def test_checkpoints_take_turns_where_one_fits(folders, image_path, monkeypatch):
    monkeypatch.setattr(service_module, "weight_budget_bytes", lambda device: 1)
    service = service_of(*folders)
    for name in ("one", "two", "one"):
        service.answer(name, image_path, MaskQuestion(("the red car",), (None,)))
        assert held(service) == [name]


def test_checkpoints_stay_where_all_fit(folders, image_path):
    service = service_of(*folders)
    for name in ("one", "two", "one"):
        service.answer(name, image_path, MaskQuestion(("the red car",), (None,)))
    assert held(service) == ["two", "one"]
    assert Path(service.predictor("two").checkpoint.folder).name == "two"
