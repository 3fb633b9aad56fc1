"""Other systems stand beside checkpoints in a comparison, and nowhere else."""

from __future__ import annotations

import pytest

from evfsam.errors import EvfSamError
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings
from evfsam.ui.tabs import compare
from tests.systems.tiny import save_clipseg


@pytest.fixture(scope="module")
def both(random_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("systems")
    save_clipseg(folder / "clipseg-rd64-refined")
    return ModelService(Settings(models=(str(random_checkpoint), f"clipseg@{folder}"), device="cpu"))


def test_a_system_and_a_checkpoint_are_compared(both, picture):
    names = [both.default_model, "clipseg"]
    *_, found = compare.compare(both, "checkpoints", picture, "the dog", names, [], names[0])
    assert found.labels == names
    for side in found.sides:
        assert side.weight_bytes > 0 and side.encode_seconds > 0 and side.decode_seconds > 0
        assert side.segmentation.mask.shape == found.image.shape[:2]
    assert "clipseg" in compare.pair(found, *names)


def test_a_visitor_gets_no_system_that_is_not_here(both, picture):
    for name in ("sam3", "clipseg@/etc", "CIDAS/clipseg-rd64-refined"):
        with pytest.raises(EvfSamError, match="no checkpoint"):
            list(compare.compare(both, "checkpoints", picture, "a dog", [both.default_model, name], [], ""))


def test_a_system_is_no_model_of_the_other_tabs(both, picture):
    with pytest.raises(EvfSamError, match="no checkpoint"):
        both.answer("clipseg", picture, MaskQuestion(("a dog",), (None,)))


def test_the_bundled_system_stands_beside_checkpoints_without_a_download(both, picture):
    names = [both.default_model, "refersam-tiny"]
    *_, found = compare.compare(both, "checkpoints", picture, "the dog", names, [], names[0])
    assert found.labels == names and both.compared_info("refersam-tiny").licence == "Apache-2.0"
