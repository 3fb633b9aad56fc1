"""One whole run of the machinery, which many tests look at."""

from __future__ import annotations

import pytest

from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.training.cache import open_scenes
from evfsam.training.run import run
from evfsam.training.sampler import Mixture, Sampler
from tests.training.small import SCENES, small

BUNDLED = "assets/checkpoints/evf-sam2-tiny"


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run of every stage of SAM-2's recipe."""
    folder = tmp_path_factory.mktemp("run")
    run(small(), folder, device="cpu", workers=1)
    return folder


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Four rendered scenes of several shapes."""
    return open_scenes(tmp_path_factory.mktemp("scenes"), 0, SCENES, 128, workers=1, aspects=(1.0, 3.0, 1 / 3))


@pytest.fixture(scope="session")
def sampler_of(scenes):
    """Recipe -> sampler of those scenes, for the model of its last stage."""
    tokenizer = load_tokenizer(BUNDLED)

    def make(recipe, varied: float = 0.0) -> Sampler:
        return Sampler(Mixture((scenes,), (True,)), recipe.model_of(recipe.stages[-1]), tokenizer, varied)

    return make
