"""ADE20K, ATR human parsing and COCO panoptic, read from miniatures in their original format."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from evfsam.data.label_maps import ATR_NAMES
from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from tests.data.miniatures import SIZE_HW, image_entry, rectangle, write_image, write_json, write_labels

LEFT, RIGHT = rectangle(0, 0, 10, 20), rectangle(20, 0, 10, 20)


@pytest.fixture
def ade20k(tmp_path):
    base = tmp_path / "ade20k"
    write_json(base / "ade20k_classes.json", [f"class {number}" for number in range(1, 151)])
    write_labels(base / "annotations/validation/ADE_val_00000001.png", LEFT + 150 * RIGHT)
    write_image(base / "images/validation/ADE_val_00000001.jpg")
    return tmp_path


@pytest.fixture
def atr(tmp_path):
    write_labels(tmp_path / "humanparsing/SegmentationClassAug/1.png", 9 * LEFT + 10 * RIGHT, mode="P")
    write_image(tmp_path / "humanparsing/JPEGImages/1.jpg")
    return tmp_path


@pytest.fixture
def panoptic(tmp_path):
    return write_panoptic(tmp_path)


def write_panoptic(tmp_path):
    """Two things of one category, a crowd of it, two kinds of wall, and what has no word."""
    ids = np.zeros((*SIZE_HW, 3), np.uint8)
    segments = []
    areas = [(0, 1, 0), (3, 1, 0), (6, 1, 1), (9, 171, 0), (12, 199, 0), (15, 138, 0)]
    for number, (x, category, crowd) in enumerate(areas, start=1):
        ids[:, x : x + 3] = (number, number + 1, number + 2)
        own = number + 256 * (number + 1) + 65536 * (number + 2)
        segments.append({"id": own, "category_id": category, "iscrowd": crowd})
    (tmp_path / "panoptic").mkdir()
    Image.fromarray(ids).save(tmp_path / "panoptic" / "7.png")
    write_image(tmp_path / "images" / "7.jpg")
    names = {1: ("person", 1), 171: ("wall-brick", 0), 199: ("wall-other-merged", 0), 138: ("net", 0)}
    write_json(
        tmp_path / "panoptic.json",
        {
            "images": [image_entry(7, "7.jpg")],
            "annotations": [{"image_id": 7, "file_name": "7.png", "segments_info": segments}],
            "categories": [{"id": i, "name": name, "isthing": thing} for i, (name, thing) in names.items()],
        },
    )
    return tmp_path


@pytest.mark.parametrize("below", ["", "ade20k"])
def test_ade20k_counts_classes_from_1_and_ignores_0(ade20k, below):
    dataset = open_dataset("ade20k", ade20k / below)
    sample = dataset[0]
    assert (dataset.name, len(dataset), sample.name) == ("ade20k:val", 1, "ADE_val_00000001")
    assert [p.text for p in sample.prompts] == ["[semantic] class 1", "[semantic] class 150"]
    assert np.array_equal(sample.prompts[0].mask, LEFT) and np.array_equal(sample.prompts[1].mask, RIGHT)
    assert np.array_equal(sample.prompts[0].ignore, ~(LEFT | RIGHT))
    assert sample.prompts[0].kind == "semantic/class 1"


@pytest.mark.parametrize("below", ["", "ADEChallengeData2016"])
def test_ade20k_as_it_is_downloaded(ade20k, below):
    base = (ade20k / "ade20k").rename(ade20k / "ADEChallengeData2016")
    (base / "ade20k_classes.json").unlink()
    rows = [f"{n}\t0.1\t9\t9\tclass {n} , other" for n in range(1, 151)]
    (base / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows, ""]))
    texts = [prompt.text for prompt in open_dataset("ade20k", ade20k / below)[0].prompts]
    assert texts == ["[semantic] class 1", "[semantic] class 150"]


def test_atr_has_the_left_and_right_of_the_viewer(atr):
    by_text = {p.text: p for p in open_dataset("atr", atr)[0].prompts}
    assert list(by_text) == ["[semantic] background", "[semantic] right shoe", "[semantic] left shoe"]
    assert np.array_equal(by_text["[semantic] right shoe"].mask, LEFT)
    assert by_text["[semantic] left shoe"].kind == "part/left shoe"
    assert len(ATR_NAMES) == 18 and ATR_NAMES[12:16] == ("right leg", "left leg", "right arm", "left arm")


@pytest.mark.parametrize("maps", ["annotations/panoptic_val2017", "panoptic_val2017"])
@pytest.mark.parametrize("images", ["val2017", "images/val2017"])
def test_panoptic_in_the_usual_layouts(panoptic, maps, images):
    root = panoptic / "coco"
    for now, place in (("panoptic.json", "annotations/panoptic_val2017.json"), ("panoptic", maps), ("images", images)):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (panoptic / now).rename(root / place)
    assert [p.text for p in open_dataset("coco-panoptic", panoptic)[0].prompts] == [
        "[semantic] person",
        "[semantic] wall",
    ]


def test_panoptic_segments_share_the_mask_of_their_word(panoptic):
    sample = open_dataset("coco-panoptic:all", panoptic)[0]
    person, wall = sample.prompts
    assert (person.text, person.kind) == ("[semantic] person", "semantic/things")
    assert np.array_equal(person.mask, rectangle(0, 0, 6, 20))
    assert np.array_equal(person.ignore, rectangle(6, 0, 3, 20) | rectangle(18, 0, 12, 20))  # crowd, unlabelled
    assert (wall.text, wall.kind) == ("[semantic] wall", "semantic/stuff")
    assert np.array_equal(wall.mask, rectangle(9, 0, 6, 20))


def test_panoptic_in_the_layout_of_coco(panoptic):
    (panoptic / "annotations").mkdir()
    (panoptic / "panoptic.json").rename(panoptic / "annotations/panoptic_val2017.json")
    (panoptic / "panoptic").rename(panoptic / "annotations/panoptic_val2017")
    (panoptic / "images").rename(panoptic / "val2017")
    assert len(open_dataset("coco-panoptic", panoptic)[0].prompts) == 2


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda base: (base / "ade20k_classes.json").unlink(), "ade20k_classes.json, which is not there"),
        (lambda base: (base / "ade20k_classes.json").write_text("["), "ade20k_classes.json is damaged"),
        (lambda base: write_json(base / "ade20k_classes.json", ["wall"]), "the 150 names"),
        (lambda base: (base / "annotations/validation/ADE_val_00000001.png").unlink(), "holds no PNG"),
        (lambda base: (base / "annotations/validation").rename(base / "other"), "validation, which is not there"),
    ],
)
def test_ade20k_without_its_files(spoil, told, ade20k):
    spoil(ade20k / "ade20k")
    with pytest.raises(InputError, match=told):
        open_dataset("ade20k:val", ade20k)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda image, labels: image.unlink(), "1.jpg is not there"),
        (lambda image, labels: labels.write_bytes(b"no image"), "1.png is damaged"),
        (lambda image, labels: write_labels(labels, np.zeros((20, 20))), "20 x 20 pixels, but 30 x 20"),
        (lambda image, labels: write_image(labels), "several channels"),
    ],
)
def test_a_broken_label_map_is_named(spoil, told, atr):
    base = atr / "humanparsing"
    spoil(base / "JPEGImages/1.jpg", base / "SegmentationClassAug/1.png")
    with pytest.raises(InputError, match=told):
        open_dataset("atr:train", atr)[0]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: write_labels(root / "panoptic/7.png", LEFT), "three channels"),
        (lambda root: (root / "panoptic/7.png").unlink(), "7.png is not there"),
        (lambda root: (root / "images/7.jpg").unlink(), "7.jpg is not there"),
    ],
)
def test_a_broken_panoptic_image_is_named(spoil, told, panoptic):
    spoil(panoptic)
    with pytest.raises(InputError, match=told):
        open_dataset("coco-panoptic:all", panoptic)[0]
