"""COCO instances, Objects365, PartImageNet and PASCAL-Part's JSON, read from miniatures in their original format."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from tests.data.miniatures import annotation, image_entry, polygon, rectangle, rle, write_image, write_json

A, B, C = (0, 0, 8, 8), (10, 0, 8, 8), (20, 0, 8, 8)
BASE365 = "Object365/raw/Objects365_v1/2019-08-02"


def write(path, folder, categories: dict[int, str], annotations: list[dict]):
    """One annotated image, "a/1.jpg", and one without annotations."""
    images = [image_entry(1, "a/1.jpg"), image_entry(2, "a/2.jpg")]
    named = [{"id": i, "name": name} for i, name in categories.items()]
    write_json(path, {"images": images, "categories": named, "annotations": annotations})
    write_image(folder / "a/1.jpg")


def instances(root, **more):
    annotations = [
        annotation(1, 1, 18, [polygon(*A)], **more),
        annotation(2, 1, 18, rle(*B)),
        annotation(3, 1, 18, rle(*C), iscrowd=1),
        annotation(4, 1, 47, [polygon(*C)]),
    ]
    write(root / "annotations/instances_val2017.json", root / "val2017", {18: "dog", 47: "cup"}, annotations)
    return root


def test_coco_asks_for_categories_and_ignores_their_crowds(tmp_path):
    dataset = open_dataset("coco-instances", instances(tmp_path))
    assert (dataset.name, len(dataset)) == ("coco-instances:val", 1)
    dog, cup = dataset[0].prompts
    assert (dog.text, dog.kind) == ("[semantic] dog", "semantic/dog")
    assert np.array_equal(dog.mask, rectangle(*A) | rectangle(*B)) and np.array_equal(dog.ignore, rectangle(*C))
    assert np.array_equal(cup.mask, rectangle(*C)) and cup.ignore is None


@pytest.mark.parametrize("above", ["", "coco"])
@pytest.mark.parametrize("images", ["val2017", "images/val2017"])
def test_coco_in_the_usual_layouts(above, images, tmp_path):
    root = instances(tmp_path / above)
    (root / images).parent.mkdir(exist_ok=True)
    (root / "val2017").rename(root / images)
    assert len(open_dataset("coco-instances", tmp_path)[0].prompts) == 2


@pytest.mark.parametrize("field", ["phrase", "caption"])
def test_an_annotation_may_have_its_own_phrases(field, tmp_path):
    sample = open_dataset("coco-instances", instances(tmp_path, **{field: ["the left dog", "first"]}))[0]
    assert [(p.text, p.kind, p.object_id) for p in sample.prompts[:2]] == [
        ("the left dog", "referring", 1),
        ("first", "referring", 1),
    ]
    assert np.array_equal(sample.prompts[0].mask, rectangle(*A))
    assert np.array_equal(sample.prompts[2].mask, rectangle(*B))  # the other dog keeps the category


def test_objects365_asks_for_what_is_there_once_by_its_bare_name(tmp_path):
    annotations = [
        annotation(1, 1, 1, [rle(*A)]),
        annotation(2, 1, 2, [rle(*B)]),
        annotation(3, 1, 2, [rle(*C)]),
    ]
    base = tmp_path / BASE365
    write(base / "o365_res_instances.json", base / "train", {1: "Person", 2: "Chair"}, annotations)
    for root in (tmp_path, tmp_path / "Object365", base):
        (prompt,) = open_dataset("objects365", root)[0].prompts
        assert (prompt.text, prompt.kind) == ("Person", "referring") and np.array_equal(prompt.mask, rectangle(*A))


def test_objects365_without_masks_names_the_command(tmp_path):
    with pytest.raises(InputError, match="make it with python -m evfsam.training.objects365"):
        open_dataset("objects365", tmp_path)


def test_partimagenet_joins_parts_and_leaves_out_what_cannot_be_decoded(tmp_path):
    annotations = [
        annotation(1, 1, 3, [polygon(*A)]),
        annotation(2, 1, 3, [polygon(*B)]),
        annotation(3, 1, 3, [[1, 2]]),
        annotation(4, 1, 4, []),
    ]
    base = tmp_path / "PartImageNet"
    names = {3: "Car Tier", 4: "Car Body"}
    write(base / "annotations/train/train.json", base / "images/train", names, annotations)
    (prompt,) = open_dataset("partimagenet:train", tmp_path)[0].prompts
    assert (prompt.text, prompt.kind) == ("[semantic] car tier", "part/car tier")
    assert np.array_equal(prompt.mask, rectangle(*A) | rectangle(*B))


def test_pascal_part_has_spaces_for_colons(tmp_path):
    base = tmp_path / "vlpart/pascal_part"
    folder = base / "VOCdevkit/VOC2010/JPEGImages"
    write(base / "train.json", folder, {51: "dog:ear"}, [annotation(1, 1, 51, rle(*A))])
    assert [p.text for p in open_dataset("pascal-part:train", tmp_path)[0].prompts] == ["[semantic] dog ear"]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ([], "instances_val2017.json is damaged"),
        ({"images": [], "annotations": [], "categories": []}, "no image has annotations"),
        ({"images": [{"id": 1}], "annotations": [{"image_id": 5}], "categories": []}, "no entry 5"),
    ],
)
def test_damaged_annotations_are_named(facts, told, tmp_path):
    write_json(tmp_path / "annotations/instances_val2017.json", facts)
    with pytest.raises(InputError, match=told):
        open_dataset("coco-instances", tmp_path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"category_id": 99}, "no entry 99"),
        ({"segmentation": [[1, 2]]}, "annotation 1 of .*instances_val2017.json"),
        ({"segmentation": {"size": [5, 5], "counts": [25]}}, "have the size"),
        ({"phrase": 5}, "instances_val2017.json is damaged"),
        ({"phrase": [5]}, "where a text belongs"),
    ],
)
def test_a_damaged_annotation_is_named(spoil, told, tmp_path):
    dataset = open_dataset("coco-instances", instances(tmp_path, **spoil) if "phrase" in spoil else instances(tmp_path))
    dataset.images[0][1][0].update(spoil)
    with pytest.raises(InputError, match=told):
        dataset[0]
