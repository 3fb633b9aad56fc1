"""RefCOCO-M, read from a miniature of its parquet files."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from tests.data.miniatures import rectangle, rle, write_image

BOX = (2, 3, 10, 6)


def write(root, **more):
    pyarrow = pytest.importorskip("pyarrow", reason="parquet files need pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    data = write_image(root / "1.png").read_bytes()
    sample = {"id": "5", "category": "dog", "sentences": ["the dog", "left one"], "mask": rle(*BOX), **more}
    rows = [{"image": {"bytes": data, "path": None}, "image_id": i, "samples": [sample]} for i in (11, 12, 13)]
    (root / "data").mkdir()
    path = root / "data" / "validation-00000-of-00001.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    return path


def test_sentences_of_an_image(tmp_path):
    write(tmp_path)
    dataset = open_dataset("refcoco-m", tmp_path)
    assert len(dataset) == 3
    sample = dataset[2]
    assert sample.name == "13" and sample.image.shape == (20, 30, 3)
    assert [(p.text, p.object_id) for p in sample.prompts] == [("the dog", 5), ("left one", 5)]
    assert np.array_equal(sample.prompts[0].mask, rectangle(*BOX))
    assert dataset.texts() == ["the dog", "left one"] * 3


def test_a_mask_of_another_size_is_named(tmp_path):
    path = write(tmp_path, mask={"size": [9, 9], "counts": "i2"})
    with pytest.raises(InputError, match=f"image 11 of {path} have the size"):
        open_dataset("refcoco-m", tmp_path)[0]


def test_a_damaged_file_is_named(tmp_path):
    path = write(tmp_path)
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=f"{path} is damaged"):
        open_dataset("refcoco-m", tmp_path)


def test_without_pyarrow_one_sentence_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        open_dataset("refcoco-m", tmp_path)
