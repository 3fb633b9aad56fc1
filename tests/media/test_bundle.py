"""The files of a result: what they are called, what they hold, and what is left out."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from evfsam.media.bundle import bundle
from evfsam.media.overlay import overlay
from evfsam.media.palette import colour_of
from evfsam.types import Segmentation


def segmentation(prompt: str = "the red car", box=(10, 5, 30, 25)) -> Segmentation:
    mask = np.zeros((40, 60), bool)
    if box:
        x0, y0, x1, y1 = box
        mask[y0:y1, x0:x1] = True
    return Segmentation(prompt, np.where(mask, 5.0, -5.0).astype(np.float32), score=0.875)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (40, 60, 3), np.uint8)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_every_file_of_a_result(picture):
    files = dict(bundle(picture, [segmentation(), segmentation()], "My Street.JPG"))
    assert list(files) == [
        "my-street.the-red-car.mask.png",
        "my-street.the-red-car.cutout.png",
        "my-street.the-red-car-2.mask.png",
        "my-street.the-red-car-2.cutout.png",
        "my-street.overlay.png",
        "my-street.coco.json",
    ]
    overlaid = overlay(picture, [segmentation().mask] * 2)
    assert np.array_equal(opened(files["my-street.overlay.png"]), overlaid)


def test_what_was_not_found_gives_no_files(picture):
    files = dict(bundle(picture, [segmentation("a unicorn", None), segmentation()], "a.png"))
    assert not [name for name in files if "unicorn" in name] and "a.the-red-car.mask.png" in files
    assert len(json.loads(files["a.coco.json"])["annotations"]) == 1


@pytest.mark.parametrize("each_thing", [False, True])
def test_things_have_their_own_colours_annotations_and_perhaps_files(picture, each_thing):
    things = [segmentation("car", (10, 5, 20, 25)), segmentation("car", (22, 5, 30, 25))]
    other = segmentation("a dog", (40, 20, 50, 30))
    files = dict(bundle(picture, [segmentation("every car"), other], "a.png", [things, []], each_thing))
    names = [f"a.every-car.{n}.{kind}.png" for n in (1, 2) for kind in ("mask", "cutout")]
    assert [name for name in files if name in names] == (names if each_thing else [])
    document = json.loads(files["a.coco.json"])
    assert [c["name"] for c in document["categories"]] == ["car", "a dog"]
    assert [a["category_id"] for a in document["annotations"]] == [1, 1, 2]
    drawn = overlay(picture, [s.mask for s in (*things, other)], [colour_of(i) for i in range(3)])
    assert np.array_equal(opened(files["a.overlay.png"]), drawn)


def test_yolo_files_lie_as_ultralytics_wants_them(picture):
    files = dict(bundle(picture, [segmentation()], "My Street.JPG", format="yolo"))
    assert {"images/my-street.png", "labels/my-street.txt", "data.yaml"} <= set(files)
    assert np.array_equal(opened(files["images/my-street.png"]), picture)


def test_a_result_takes_one_mask_at_a_time(picture):
    taken = []

    def answers():
        for number in range(3):
            taken.append(number)
            yield segmentation()

    names = []
    for name, _ in bundle(picture, answers()):
        names.append(name)
        assert len(taken) == min(3, 1 + (len(names) - 1) // 2)
