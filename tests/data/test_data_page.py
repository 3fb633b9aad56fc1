"""docs/data.md: it names every data set, and its examples for one's own images are read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from evfsam.data.registry import DATASETS, open_dataset
from evfsam.data.sample import ABSENT
from evfsam.errors import InputError
from evfsam.media.export import encode_rle
from tests.data.miniatures import write_image, write_labels

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^([a-z][^ \n]*(?:, [^ \n]+)*)(?:  |\n  )", PAGE, re.MULTILINE)  # before their source
SIZE_HW = (480, 640)


def test_every_data_set_is_on_the_page():
    told = [name for names in NAMES for name in names.split(", ")]
    assert sorted(told) == sorted(DATASETS.keys() - {"folder", "scenes", "clips"})


def test_the_page_tells_how_to_list_splits():
    asked = re.search(r"--data (\S+:list)", PAGE)[1]
    with pytest.raises(InputError, match="Known ones: val, testA"):
        open_dataset(asked)


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_json_lines_of_the_page_are_read(tmp_path):
    write_image(tmp_path / "images/street.jpg", SIZE_HW)
    write_labels(tmp_path / "masks/car.png", np.ones(SIZE_HW))
    counts = encode_rle(np.ones(SIZE_HW, bool))["counts"]
    (tmp_path / "prompts.jsonl").write_text(block("json").replace('"..."', json.dumps(counts)))
    prompts = open_dataset("folder", tmp_path)[0].prompts
    assert [p.text for p in prompts] == ["the red car", "the left tree", "the bus", "a giraffe"]
    assert [p.kind == ABSENT for p in prompts] == [False, False, False, True]
