"""PASCAL-Part's .mat files, read from a miniature that scipy writes."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.io import savemat

from evfsam.data.pascal_part_mat import PARTS, part_name
from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from tests.data.miniatures import SIZE_HW, rectangle, write_image

NAME = "2008_000001"


def struct(*records: dict) -> np.ndarray:
    """MATLAB's 1 x N struct array."""
    array = np.empty(
        (1, len(records)), [(field, object) for field in records[0]] if records else [("part_name", object)]
    )
    for i, record in enumerate(records):
        array[0, i] = tuple(record.values())
    return array


def write(root, size_hw=SIZE_HW):
    def part(name: str, *box: int) -> dict:
        return {"part_name": name, "mask": rectangle(*box, size_hw=size_hw).astype(np.uint8)}

    def item(category: str, *parts: dict) -> dict:
        mask = np.zeros(size_hw, np.uint8)
        return {"class": category, "class_ind": 1, "mask": mask, "parts": struct(*parts) if parts else np.zeros((0, 0))}

    objects = struct(
        item("dog", part("lear", 0, 0, 2, 2), part("rear", 4, 0, 2, 2), part("lfpa", 0, 4, 2, 2)),
        item("dog", part("lear", 8, 0, 2, 2)),
        item("chair"),
        item("pottedplant", part("pot", 10, 10, 4, 4)),
        item("person", part("rebrow", 0, 0, 1, 1)),
    )
    (root / "Annotations_Part").mkdir()
    savemat(root / "Annotations_Part" / f"{NAME}.mat", {"anno": struct({"imname": NAME, "objects": objects})})
    write_image(root / f"VOCdevkit/VOC2010/JPEGImages/{NAME}.jpg")
    (root / "VOCdevkit/VOC2010/ImageSets/Main").mkdir(parents=True)
    (root / "VOCdevkit/VOC2010/ImageSets/Main/val.txt").write_text(f"{NAME}\n")
    return root


@pytest.mark.parametrize("split", ["val", "all"])
def test_parts_of_a_category_share_a_mask(split, tmp_path):
    dataset = open_dataset(f"pascal-part-mat:{split}", write(tmp_path))
    assert len(dataset) == 1
    by_text = {p.text: p.mask for p in dataset[0].prompts}
    assert list(by_text) == ["[semantic] dog ear", "[semantic] dog paw", "[semantic] potted plant pot"]
    ears = rectangle(0, 0, 2, 2) | rectangle(4, 0, 2, 2) | rectangle(8, 0, 2, 2)
    assert np.array_equal(by_text["[semantic] dog ear"], ears)


@pytest.mark.parametrize(
    ("category", "part", "named"),
    [
        ("person", "lear", "ear"),
        ("person", "rebrow", None),
        ("person", "ruarm", "arm"),
        ("bus", "fliplate", "license plate"),
        ("bus", "headlight_2", "headlight"),
        ("cat", "rfpa", "paw"),
        ("horse", "rbuleg", "leg"),
        ("horse", "lfho", None),
        ("chair", "leg", None),
    ],
)
def test_parts_have_the_names_of_vlpart(category, part, named):
    assert part_name(category, part) == named


def test_there_are_93_parts():
    assert sum(len(own.split()) for own in PARTS.values()) == 93


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: (root / f"Annotations_Part/{NAME}.mat").write_bytes(b"MATLAB 5.0"), f"{NAME}.mat is damaged"),
        (lambda root: (root / f"Annotations_Part/{NAME}.mat").unlink(), f"{NAME}.mat, which is not there"),
        (lambda root: savemat(root / f"Annotations_Part/{NAME}.mat", {"other": 1}), f"{NAME}.mat is damaged"),
        (lambda root: (root / f"VOCdevkit/VOC2010/JPEGImages/{NAME}.jpg").unlink(), f"{NAME}.jpg, which is not there"),
        (lambda root: write_image(root / f"VOCdevkit/VOC2010/JPEGImages/{NAME}.jpg", (9, 9)), "of one size"),
    ],
)
def test_a_broken_file_is_named(spoil, told, tmp_path):
    dataset = open_dataset("pascal-part-mat:val", write(tmp_path))
    spoil(tmp_path)
    with pytest.raises(InputError, match=told):
        dataset[0]


def test_without_scipy_one_sentence_says_so(tmp_path, monkeypatch):
    dataset = open_dataset("pascal-part-mat:val", write(tmp_path))
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(InputError, match="pip install scipy"):
        dataset[0]
