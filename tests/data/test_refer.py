"""RefCOCO, RefCOCO+, RefCOCOg, RefCLEF, gRefCOCO and Ref-ZOM, read from miniatures in their original format."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from evfsam.data.refer import LAYOUTS, in_split, read_pickle
from evfsam.data.registry import DATASETS, open_dataset
from evfsam.data.sample import ABSENT
from evfsam.errors import InputError
from tests.data.miniatures import (
    SIZE_HW,
    annotation,
    image_entry,
    polygon,
    rectangle,
    rle,
    write_image,
    write_json,
)

LEFT, RIGHT, SPLIT = (2, 2, 8, 8), (15, 5, 10, 10), (0, 0, 10, 10)
IMAGES = {"refclef": "saiapr_tc-12", "ref-zom": "mscoco/images/trainval2014"}


def ref(number: int, image: int, annotations, split: str, *sentences: str, **more) -> dict:
    said = [{"sent_id": i, "sent": s, "raw": s.upper(), "tokens": s.split()} for i, s in enumerate(sentences)]
    shared = {"ref_id": number, "image_id": image, "ann_id": annotations, "category_id": 1, "split": split}
    return {**shared, "file_name": f"COCO_{image}_{number}.jpg", "sent_ids": [0], "sentences": said, **more}


def make(root, name: str, refs: list[dict], segmentations: dict | None = None, crowds: tuple[int, ...] = ()):
    """Write the set in its own layout, with the images 1000 and 2000."""
    layout = LAYOUTS[name]
    folder = root / "refer_seg" / layout.folder
    files = {1000: "COCO_1000.jpg", 2000: "COCO_2000.jpg"}
    shapes = segmentations or {1: [polygon(*LEFT)], 2: [polygon(*RIGHT)], 3: [polygon(*SPLIT), polygon(5, 0, 10, 10)]}
    annotations = [annotation(i, 1000, 1, shape, iscrowd=int(i in crowds)) for i, shape in shapes.items()]
    images = [image_entry(number, file) for number, file in files.items()]
    write_json(folder / "instances.json", {"images": images, "annotations": annotations, "categories": []})
    if layout.refs[0].endswith(".json"):
        write_json(folder / layout.refs[0], refs)
    else:
        (folder / layout.refs[0]).write_bytes(pickle.dumps(refs, protocol=2))
    place = IMAGES.get(layout.folder, "mscoco/images/train2014")
    for file in files.values():
        write_image(root / "refer_seg" / "images" / place / file)
    return root


ONE = [
    ref(0, 1000, 1, "val", "the left one", "Left box "),
    ref(1, 2000, 2, "train", "elsewhere"),
    ref(2, 1000, 2, "val", "right one"),
    ref(3, 1000, 3, "val", "two pieces"),
]


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if not layout.generalized])
def test_an_image_has_all_its_sentences_of_the_split(name, tmp_path):
    dataset = open_dataset(f"{name}:val", make(tmp_path, name, ONE))
    assert dataset.name == f"{name}:val" and len(dataset) == 1
    sample = dataset[0]
    assert sample.image.shape == (*SIZE_HW, 3) and sample.name == "1000"
    assert [p.text for p in sample.prompts] == ["the left one", "Left box ", "right one", "two pieces"]
    assert [p.object_id for p in sample.prompts] == [1, 1, 2, 3] and {p.kind for p in sample.prompts} == {"referring"}
    assert np.array_equal(sample.prompts[0].mask, rectangle(*LEFT))
    assert dataset.texts() == [p.text for p in sample.prompts]
    with pytest.raises(IndexError):
        dataset[1]


@pytest.mark.parametrize("name", ["refcoco", "refcoco+", "grefcoco"])
def test_held_out_is_every_expression_for_the_photographs_that_no_bundled_checkpoint_saw(name, tmp_path):
    refs = [ref(0, 1000, 1, "val", "one"), ref(1, 1000, 2, "train", "other"), ref(2, 2001, 3, "val", "seen")]
    if LAYOUTS[name].generalized:
        refs.append(ref(3, 1000, [-1], "testA", "nothing"))
    dataset = open_dataset(f"{name}:held-out", make(tmp_path, name, refs))
    assert len(dataset) == 1 and dataset[0].facts["image_id"] == 1000
    assert dataset.texts() == ["one", "other", "nothing"][: len(refs) - 1]
    with pytest.raises(InputError, match="no refs of the split 'held-out'"):
        open_dataset(f"{name}:held-out", make(tmp_path, name, refs[2:3]))


@pytest.mark.parametrize("place", ["refer_seg/images/train2014", "train2014", "coco/train2014"])
def test_images_of_coco_may_lie_in_its_own_folder(place, tmp_path):
    root = make(tmp_path, "refcoco", ONE)
    (root / place).parent.mkdir(exist_ok=True)
    (root / "refer_seg/images/mscoco/images/train2014").rename(root / place)
    assert len(open_dataset("refcoco", root)[0].prompts) == 4


@pytest.mark.parametrize("name", LAYOUTS)
def test_refs_may_be_a_pickle_or_json(name, tmp_path):
    make(tmp_path, name, [{**reference, "split": "train"} for reference in ONE])
    before = open_dataset(f"{name}:train", tmp_path).texts()
    folder, first = tmp_path / "refer_seg" / LAYOUTS[name].folder, Path(LAYOUTS[name].refs[0])
    refs = json.loads((folder / first).read_text()) if first.suffix == ".json" else read_pickle(folder / first)
    (folder / first).unlink()
    if first.suffix == ".json":
        (folder / f"{first.stem}.p").write_bytes(pickle.dumps(refs))
    else:
        write_json(folder / f"{first.stem}.json", refs)
    assert open_dataset(f"{name}:train", tmp_path).texts() == before != []


def test_the_folder_of_the_set_may_be_the_root(tmp_path):
    root = make(tmp_path, "refcoco", ONE) / "refer_seg"
    assert len(open_dataset("refcoco:val", root)) == 1


def test_pixels_of_several_polygons_are_kept_for_the_reference_quirks(tmp_path):
    prompts = open_dataset("refcoco:val", make(tmp_path, "refcoco", ONE))[0].prompts
    assert np.array_equal(prompts[3].mask, rectangle(0, 0, 15, 10))
    assert np.array_equal(prompts[3].overlap, rectangle(5, 0, 5, 10))
    assert prompts[0].overlap is None


GENERALIZED = [
    ref(0, 1000, [1, 2], "val", "both", category_id=[1, 1]),
    ref(1, 1000, [-1], "val", "the giraffe", category_id=[-1]),
    ref(2, 1000, [2], "val", "right one", category_id=[1]),
    ref(3, 1000, [2, 4], "val", "right one and the crowd"),
]


def test_grefcoco_has_several_targets_and_none(tmp_path):
    shapes = {1: [polygon(*LEFT)], 2: [polygon(*RIGHT)], 4: rle(*SPLIT)}
    dataset = open_dataset("grefcoco:val", make(tmp_path, "grefcoco", GENERALIZED, shapes, crowds=(4,)))
    both, nothing, one, with_crowd = dataset[0].prompts
    assert np.array_equal(both.mask, rectangle(*LEFT) | rectangle(*RIGHT))
    assert (both.kind, both.object_id) == ("referring/several", None)
    assert nothing.kind == ABSENT and not nothing.mask.any()
    assert (one.kind, one.object_id) == ("referring/one", 2)
    assert np.array_equal(with_crowd.mask, rectangle(*RIGHT))


def test_ref_zom_has_zero_sources(tmp_path):
    refs = [
        ref(0, 1000, [1, 2], "test", "both", source="coco"),
        ref(1, 2000, 77, "test", "the giraffe", source="zero"),
        ref(2, 1000, 1, "test", "left", source="refcoco"),
    ]
    dataset = open_dataset("ref-zom:test", make(tmp_path, "ref-zom", refs))
    assert [[p.kind for p in dataset[i].prompts] for i in (0, 1)] == [["referring/several", "referring/one"], [ABSENT]]


def test_ref_zom_finds_its_other_file_name_and_separate_folders(tmp_path):
    make(tmp_path, "ref-zom", [ref(0, 1000, 1, "test", "left", source="coco")])
    folder = tmp_path / "refer_seg" / "ref-zom"
    (folder / "refs(final).p").rename(folder / "Ref-ZOM(final).p")
    images = tmp_path / "refer_seg/images/mscoco/images"
    (images / "trainval2014").rename(images / "val2014")
    assert open_dataset("ref-zom:test", tmp_path)[0].prompts


def test_refclef_has_run_lengths_and_two_places_for_images(tmp_path):
    refs = [ref(0, 1000, 1, "testAB", "left"), ref(1, 2000, 1, "testC", "elsewhere")]
    counts = rle(*LEFT)["counts"].encode()
    root = make(tmp_path, "refclef", refs, {1: [{"size": list(SIZE_HW), "counts": counts.decode()}, rle(*RIGHT)]})
    expected = rectangle(*LEFT) | rectangle(*RIGHT)
    assert np.array_equal(open_dataset("refclef:testB", root)[0].prompts[0].mask, expected)
    images = root / "refer_seg/images/saiapr_tc-12"
    (images / "01/images").mkdir(parents=True)
    (images / "COCO_1000.jpg").rename(images / "01/images/1000.jpg")
    assert np.array_equal(open_dataset("refclef:testA", root)[0].prompts[0].mask, expected)


@pytest.mark.parametrize(
    ("own", "split", "is_in"),
    [
        ("testA", "testA", True),
        ("testAB", "testA", True),
        ("testBC", "testA", False),
        ("testA", "test", True),
        ("testABC", "testAB", True),
        ("testA", "testAB", False),
        ("train", "train", True),
        ("train", "val", False),
        ("testA", "val", False),
    ],
)
def test_splits_of_letters(own, split, is_in):
    assert in_split(own, split) == is_in


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Evil()),
        pickle.dumps([np.int64(3)]),
        pickle.dumps(os.getcwd),
        b"",
        b"\x80\x04nonsense",
        b"version https",
    ],
    ids=["code", "numpy", "function", "empty", "broken", "pointer"],
)
def test_a_pickle_that_is_not_plain_data_is_refused(content, tmp_path):
    path = tmp_path / "refs.p"
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged") as error:
        read_pickle(path)
    assert str(path) in str(error.value)


def test_pickles_of_python_2_are_read(tmp_path):
    path = tmp_path / "refs.p"
    path.write_bytes(b"(lp0\n(dp1\nS'sent'\np2\nS'the man'\np3\nsS'ref_id'\nI7\nsa.")
    assert read_pickle(path) == [{"sent": "the man", "ref_id": 7}]


def test_a_root_of_something_else_is_told_the_whole_path(tmp_path):
    with pytest.raises(InputError, match=r"refer_seg/refcoco\+/refs\(unc\).p, which is not there"):
        open_dataset("refcoco+", tmp_path)


@pytest.mark.parametrize(
    ("spoil", "named", "told"),
    [
        (lambda folder: (folder / "refs(unc).p").unlink(), "refs(unc).p", "docs/data.md"),
        (lambda folder: (folder / "instances.json").unlink(), "instances.json", "docs/data.md"),
        (lambda folder: (folder / "instances.json").write_text("{"), "instances.json", "damaged"),
        (lambda folder: (folder / "instances.json").write_text("[]"), "instances.json", "damaged"),
        (lambda folder: (folder / "refs(unc).p").write_bytes(pickle.dumps({"a": 1})), "refs(unc).p", "damaged"),
        (
            lambda folder: (folder / "refs(unc).p").write_bytes(pickle.dumps([{"split": "val"}])),
            "refs(unc).p",
            "image_id",
        ),
        (lambda folder: (folder / "refs(unc).p").write_bytes(pickle.dumps([])), "refs(unc).p", "no refs of the split"),
    ],
)
def test_a_missing_or_broken_file_is_named(spoil, named, told, tmp_path):
    make(tmp_path, "refcoco", ONE)
    spoil(tmp_path / "refer_seg" / "refcoco")
    with pytest.raises(InputError, match=told) as error:
        open_dataset("refcoco:val", tmp_path)
    assert str(tmp_path / "refer_seg" / "refcoco" / named) in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda image, facts: image.unlink(), "COCO_1000.jpg, which is not there"),
        (lambda image, facts: image.write_bytes(b"no image"), "COCO_1000.jpg"),
        (lambda image, facts: write_image(image, (10, 10)), "10 x 10 pixels, but 30 x 20"),
        (lambda image, facts: facts["annotations"].pop(0), "no entry 1"),
        (lambda image, facts: facts["images"].pop(0), "no entry 1000"),
        (lambda image, facts: facts["annotations"][0].update(segmentation=[[1, 2]]), "annotation 1 of"),
    ],
)
def test_a_broken_sample_is_told_when_it_is_asked_for(spoil, told, tmp_path):
    make(tmp_path, "refcoco", ONE)
    path = tmp_path / "refer_seg/refcoco/instances.json"
    facts = json.loads(path.read_text())
    spoil(tmp_path / "refer_seg/images/mscoco/images/train2014/COCO_1000.jpg", facts)
    write_json(path, facts)
    dataset = open_dataset("refcoco:val", tmp_path)
    with pytest.raises(InputError, match=told):
        dataset[0]


def test_every_set_of_refs_has_a_name():
    assert set(LAYOUTS) <= set(DATASETS)
