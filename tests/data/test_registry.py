"""Data sets open by name, and every sample keeps the contract of evfsam.data.sample."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.registry import open_dataset
from evfsam.data.sample import Sample, VideoSample
from evfsam.data.scenes.dataset import ClipDataset, SceneDataset
from evfsam.errors import InputError
from tests.data.photographs import make_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("ccp"))


def check(sample: Sample | VideoSample) -> None:
    if isinstance(sample, VideoSample):
        shape = (len(sample.frames), *sample.frames[0].shape[:2]) if sample.prompts else None
        images = list(sample.frames)
    else:
        shape, images = sample.image.shape[:2], [sample.image]
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in images)
    for prompt in sample.prompts:
        assert prompt.text and prompt.mask.dtype == bool and prompt.mask.shape == shape
        assert prompt.kind.split("/")[0] in ("referring", "semantic", "part", "absent")
        assert prompt.mask.any() != prompt.kind.startswith("absent")


@pytest.mark.parametrize("name", ["scenes", "scenes:validation", "ccp", "ccp:composed"])
def test_a_data_set_by_name(name, pack):
    dataset = open_dataset(name, pack)
    assert dataset.name and len(dataset)
    samples = [dataset[0], dataset[1]]
    assert samples[0].prompts and samples[0].name != samples[1].name
    for sample in samples:
        check(sample)
    again = dataset[0]
    assert again.name == samples[0].name and (again.image == samples[0].image).all()
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_clips():
    samples = [ClipDataset(range(900_000, 900_003), (48, 64), frames=4)[i] for i in range(3)]
    assert any(sample.prompts for sample in samples)
    for sample in samples:
        check(sample)
        assert all(prompt.mask[0].any() for prompt in sample.prompts)


@pytest.mark.parametrize(
    ("name", "root", "told"),
    [
        ("coco2030", None, "Known ones: scenes"),
        ("scenes:best", None, "Known ones: test"),
        ("ccp", None, "--root"),
        ("ccp:val", "nowhere", "There is no .*nowhere"),
    ],
)
def test_unknown_names_are_told_the_known_ones(name, root, told, tmp_path):
    with pytest.raises(InputError, match=told):
        open_dataset(name, root and tmp_path / root)


@pytest.mark.parametrize(("seeds", "size_hw"), [(range(0), (32, 32)), (range(-1, 1), (32, 32)), (range(1), (8, 64))])
@pytest.mark.parametrize("kind", [SceneDataset, ClipDataset])
def test_what_cannot_be_rendered_is_refused(kind, seeds, size_hw):
    with pytest.raises(InputError, match="count from 1"):
        kind(seeds, size_hw)
