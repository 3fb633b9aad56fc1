"""Masks that leave as COCO JSON, polygons or YOLO lines come back as they were."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools.coco import COCO

from evfsam.geometry import mask_iou
from evfsam.media.annotations import FORMATS, Annotations, results_to_coco
from evfsam.media.polygons import filled, joined, to_polygons
from evfsam.types import Segmentation

SIZE_HW = (90, 120)


def disc(x: int, y: int, radius: int) -> np.ndarray:
    return cv2.circle(np.zeros(SIZE_HW, np.uint8), (x, y), radius, 1, -1).astype(bool)


MASKS = {
    "a disc": disc(60, 45, 30),
    "a ring": disc(60, 45, 30) & ~disc(60, 45, 15),
    "two holes": disc(60, 45, 40) & ~disc(45, 45, 9) & ~disc(75, 45, 9),
    "two pieces": disc(30, 45, 20) | disc(90, 45, 20),
    "a piece in a hole": disc(60, 45, 40) & ~disc(60, 45, 30) | disc(60, 45, 12),
    "cut by the border": disc(0, 0, 30),
    "everything": np.ones(SIZE_HW, bool),
    "one pixel": disc(7, 9, 0),
    "corners that touch": np.kron(np.eye(6, dtype=bool), np.ones((15, 20), bool)),
}


def found(prompt: str, mask: np.ndarray) -> Segmentation:
    return Segmentation(prompt, np.where(mask, 5.0, -5.0).astype(np.float32), score=0.875)


@pytest.mark.parametrize("name", MASKS)
def test_polygons_come_back_as_the_mask(name):
    polygons = to_polygons(MASKS[name])
    assert mask_iou(filled(polygons, SIZE_HW), MASKS[name]) >= 0.98
    assert mask_iou(filled([joined(polygons)], SIZE_HW), MASKS[name]) >= 0.98


@settings(max_examples=40, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_any_mask_comes_back(mask):
    polygons = to_polygons(mask)
    assert bool(polygons) == mask.any()
    assert not polygons or mask_iou(filled([joined(polygons)], mask.shape), mask) >= 0.98


def test_outlines_are_simplified():
    exact = 2 * 81 + 2  # corners along the pixels, at least
    assert len(to_polygons(disc(60, 45, 40))[0]) < exact / 2


@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_reads_what_was_written(polygons, tmp_path):
    results = [found(name, mask) for name, mask in MASKS.items()]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(results_to_coco(results, "street.jpg", polygons)))
    coco = COCO(str(path))
    assert [c["name"] for c in coco.dataset["categories"]] == list(MASKS)
    for annotation, mask in zip(coco.dataset["annotations"], MASKS.values(), strict=True):
        assert mask_iou(coco.annToMask(annotation).astype(bool), mask) >= (0.98 if polygons else 1)
        assert annotation["area"] == mask.sum() and annotation["score"] == 0.875
        x, y, width, height = annotation["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum()


def yolo_masks(text: bytes, size_hw: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
    """Class and mask of each line, filled with OpenCV as Ultralytics fills them."""
    masks = []
    for line in text.decode().splitlines():
        category, *values = line.split()
        corners = np.array(values, float).reshape(-1, 2) * size_hw[::-1]
        assert corners.min() >= 0 and (corners <= size_hw[::-1]).all()
        mask = cv2.fillPoly(np.zeros(size_hw, np.uint8), [np.rint(corners - 0.5).astype(np.int32)], 1)
        masks.append((int(category), mask.astype(bool)))
    return masks


def test_yolo_lines_name_the_class_and_the_outline():
    annotations = Annotations()
    first, second = annotations.image("a.jpg", SIZE_HW), annotations.image("b.jpg", SIZE_HW)
    first.add(found("dog", MASKS["a disc"]))
    first.add(found('a "cat"', MASKS["a ring"]))
    first.add(found("dog", MASKS["two pieces"]))
    second.add(found("a unicorn", np.zeros(SIZE_HW, bool)))
    files = dict(annotations.files("yolo", "all"))
    lines = yolo_masks(files["labels/a.txt"], SIZE_HW)
    assert [category for category, _ in lines] == [0, 1, 0]
    for (_, mask), name in zip(lines, ("a disc", "a ring", "two pieces"), strict=True):
        assert mask_iou(mask, MASKS[name]) >= 0.9  # OpenCV draws the outline and the slits as well
    assert files["labels/b.txt"] == b""
    assert files["data.yaml"].decode() == (
        'train: images\nval: images\nnames:\n  0: "dog"\n  1: "a \\"cat\\""\n  2: "a unicorn"\n'
    )


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_not_found_gives_no_annotation(format):
    annotations = Annotations()
    annotations.image("a.jpg", SIZE_HW).add(found("a unicorn", np.zeros(SIZE_HW, bool)))
    files = dict(annotations.files(format, "all"))
    assert files.get("labels/a.txt", b"") == b""
    if format != "yolo":
        assert json.loads(files["all.coco.json"])["annotations"] == []


def test_the_name_of_an_image_need_not_be_utf_8():
    annotations = Annotations()
    annotations.image("\udcff.png", (4, 6), "a")
    ((_, content),) = annotations.files("coco", "annotations")
    assert json.loads(content.decode())["images"][0]["file_name"] == "\udcff.png"
