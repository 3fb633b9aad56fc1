"""GSEval, read from a miniature of its JSON lines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from tests.data.miniatures import rectangle, rle, write_image

BOX = (2, 3, 10, 6)


def write(root, images: str = "unlabeled2017", **more):
    row = {"idx": 0, "image_path": "unlabeled2017/1.jpg", "class_id": 1, "label": "sky", "caption": "The blue sky."}
    rows = [{**row, "box": [2.0, 3.0, 12.0, 9.0], "segmentation": rle(*BOX), **more}, {**row, "class_id": 3}]
    rows[1]["segmentation"] = rle(0, 0, 5, 5)
    (root / "GroundingSuite-Eval.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write_image(root / images / "1.jpg")
    return root


@pytest.mark.parametrize("images", ["unlabeled2017", "images/unlabeled2017", "images"])
def test_expressions_of_an_image(images, tmp_path):
    dataset = open_dataset("gseval", write(tmp_path, images))
    assert len(dataset) == 1
    stuff, several = dataset[0].prompts
    assert (stuff.text, stuff.kind) == ("The blue sky.", "referring/stuff")
    assert np.array_equal(stuff.mask, rectangle(*BOX)) and several.kind == "referring/several"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"class_id": 9}, "no entry 9"),
        ({"caption": None}, "where a text belongs"),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "line 1 of .* have the size"),
        ({"image_path": "other/2.jpg"}, "other/2.jpg, which is not there"),
    ],
)
def test_a_broken_row_is_named(spoil, told, tmp_path):
    with pytest.raises(InputError, match=told):
        open_dataset("gseval", write(tmp_path, **spoil))[0]


@pytest.mark.parametrize(("content", "told"), [(None, "which is not there"), ("", "empty"), ("{}", "image_path")])
def test_without_its_file(content, told, tmp_path):
    if content is not None:
        (tmp_path / "GroundingSuite-Eval.jsonl").write_text(content)
    with pytest.raises(InputError, match=told):
        open_dataset("gseval", tmp_path)
