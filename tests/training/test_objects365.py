"""Masks for Objects365 from its boxes: which boxes are asked, what is written, and that a stopped run goes on."""

from __future__ import annotations

import json

import pytest

from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from evfsam.predictor import Predictor
from evfsam.training.objects365 import MASKS, main, make_masks
from tests.data.miniatures import image_entry, write_image, write_json
from tests.random_model import save_random_model


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    folder = save_random_model(tmp_path_factory.mktemp("model") / "random")
    return Predictor.from_pretrained(folder, "cpu")


@pytest.fixture
def root(tmp_path):
    """One person, two chairs, a crowd of cups, a lamp outside of the image, and an image without boxes."""
    boxes = [(1, [2, 3, 10, 6]), (2, [0, 0, 5, 5]), (2, [9, 9, 5, 5]), (3, [1, 1, 9, 9]), (4, [40, 3, 5, 5])]
    annotations = [
        {"id": i, "image_id": 1, "category_id": category, "bbox": box, "iscrowd": int(category == 3)}
        for i, (category, box) in enumerate(boxes)
    ]
    names = ("Person", "Chair", "Cup", "Lamp")
    facts = {
        "images": [image_entry(1, "1.jpg"), image_entry(2, "2.jpg")],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
    }
    write_json(tmp_path / "objects365_train.json", facts)
    write_image(tmp_path / "train" / "1.jpg")
    return tmp_path


def test_single_boxes_become_masks_that_the_reader_finds(root, predictor):
    path = make_masks(predictor, root)
    assert path == root / MASKS
    (annotation,) = json.loads(path.read_text())["annotations"]
    assert annotation["id"] == 0 and annotation["segmentation"][0]["size"] == [20, 30]
    dataset = open_dataset("objects365", root)
    assert len(dataset) == 1 and [p.text for p in dataset[0].prompts] == ["Person"]


def test_a_stopped_run_goes_on(root, predictor):
    path = make_masks(predictor, root)
    path.unlink()
    (root / "train" / "1.jpg").unlink()  # it is not asked again
    with open(root / f"{MASKS}l", "a") as lines:
        lines.write('{"image_id": 2, "annot')  # the process was killed here
    assert json.loads(make_masks(predictor, root).read_text())["annotations"]


def test_a_missing_image_is_named(root, predictor):
    (root / "train" / "1.jpg").unlink()
    with pytest.raises(InputError, match="1.jpg is not there"):
        make_masks(predictor, root)


def test_wrong_numbers_are_refused_before_the_model_is_loaded(root, capsys):
    assert main(["--root", str(root), "--limit", "0"]) == 2
    assert "--limit" in capsys.readouterr().err
