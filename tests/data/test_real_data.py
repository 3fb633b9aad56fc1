"""The readers on real photographs in the original formats, where a folder of them is named.

EVFSAM_TEST_DATA names a folder with refer-mini, coco-mini, panoptic-mini, pascal-part-samples and davis-mini.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from evfsam.data.registry import open_dataset
from evfsam.data.sample import ABSENT, VideoSample

DATA = os.environ.get("EVFSAM_TEST_DATA", "")
pytestmark = pytest.mark.skipif(not DATA, reason="set EVFSAM_TEST_DATA to the folder of refer-mini, coco-mini ...")
REFER_SPLITS = ("train", "val", "testA", "testB")
LOOKED_AT = 25  # samples of each set that are read


@pytest.mark.parametrize(("name", "sentences", "without_target"), [("refcoco", 1056, 0), ("grefcoco", 1682, 292)])
def test_all_sentences_are_there(name, sentences, without_target):
    datasets = [open_dataset(f"{name}:{split}", Path(DATA, "refer-mini")) for split in REFER_SPLITS]
    found = [e for dataset in datasets for _, own in dataset.expressions for e in own]
    assert len(found) == sentences and sum(not e.annotation_ids for e in found) == without_target
    if name == "refcoco":
        assert len({i for e in found for i in e.annotation_ids}) == 634


@pytest.mark.parametrize(
    ("name", "folder", "samples"),
    [
        ("refcoco:val", "refer-mini", 28),
        ("grefcoco:testA", "refer-mini", 29),
        ("coco-instances:all", "coco-mini", 292),
        ("folder", "coco-mini", 292),
        ("coco-panoptic:all", "panoptic-mini", 100),
        ("pascal-part-mat:all", "pascal-part-samples", 18),
        ("davis:all", "davis-mini", 10),
    ],
)
def test_samples_keep_their_contract(name, folder, samples):
    dataset = open_dataset(name, Path(DATA, folder))
    assert len(dataset) == samples
    for index in range(0, samples, max(1, samples // LOOKED_AT)):
        sample = dataset[index]
        shape = sample.image.shape[:2] if not isinstance(sample, VideoSample) else (len(sample.frames),)
        for prompt in sample.prompts:
            assert prompt.text and prompt.mask.dtype == bool and prompt.mask.shape[: len(shape)] == shape
            assert prompt.mask.any() != (prompt.kind == ABSENT), (sample.name, prompt.text)
            assert prompt.overlap is None or np.array_equal(prompt.overlap, prompt.overlap & prompt.mask)
