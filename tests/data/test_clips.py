"""DAVIS, Ref-DAVIS17, Ref-YouTube-VOS and MeViS, read from miniatures in their original layout."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.registry import open_dataset
from evfsam.errors import InputError
from tests.data.miniatures import SIZE_HW, rectangle, rle, write_image, write_json, write_labels

FRAMES = ("00000", "00005", "00010")
ONE, TWO = (0, 0, 8, 8), (15, 5, 8, 8)
LABELS = rectangle(*ONE) + 2 * rectangle(*TWO)


def write_clip(images, masks, name: str = "dog") -> None:
    """Two objects that are there on all frames but the last."""
    for t, frame in enumerate(FRAMES):
        write_image(images / name / f"{frame}.jpg", seed=t)
        if masks:
            write_labels(masks / name / f"{frame}.png", LABELS if t < 2 else np.zeros(SIZE_HW), mode="P")


def davis(root, phrases):
    write_clip(root / "JPEGImages/480p", root / "Annotations/480p")
    write_json(root / "phrases.json", phrases)
    return root


def expressions(ids: list, field: str) -> dict:
    said = {str(i): {"exp": f"expression {i}", field: own} for i, own in enumerate(ids)}
    return {"videos": {"dog": {"expressions": said, "frames": list(FRAMES)}}}


def ref_youtube_vos(root, split: str = "train"):
    write_clip(root / split / "JPEGImages", root / split / "Annotations")
    write_json(root / f"meta_expressions/{split}/meta_expressions.json", expressions(["1", "2", "2"], "obj_id"))
    return root


def mevis(root, split: str = "valid_u"):
    write_clip(root / split / "JPEGImages", None)
    write_json(root / split / "meta_expressions.json", expressions([[7], [7, 8]], "anno_id"))
    masks = {"7": [rle(*ONE), rle(*ONE), None], "8": [None, rle(*TWO), None]}
    write_json(root / split / "mask_dict.json", masks)
    return root


def test_frames_are_read_when_they_are_asked_for(tmp_path):
    root = davis(tmp_path, {"dog": "the dog"})
    frames = open_dataset("davis:all", root)[0].frames
    assert len(frames) == 3 and frames[1].shape == (*SIZE_HW, 3) and len(frames[1:]) == 2
    assert np.array_equal(frames[1:][0], frames[1]) and not np.array_equal(frames[0], frames[1])
    (root / "JPEGImages/480p/dog/00010.jpg").unlink()
    with pytest.raises(InputError, match="00010.jpg is not there"):
        frames[2]


def test_davis_has_one_phrase_for_all_or_one_for_each_object(tmp_path):
    (prompt,) = open_dataset("davis:all", davis(tmp_path, {"dog": "both dogs"}))[0].prompts
    assert prompt.object_id is None and np.array_equal(prompt.mask[0], LABELS > 0) and not prompt.mask[2].any()
    write_json(tmp_path / "phrases.json", {"dog": {"2": "the right dog"}})
    (prompt,) = open_dataset("davis:all", tmp_path)[0].prompts
    assert prompt.object_id == 2 and np.array_equal(prompt.mask[1], rectangle(*TWO))


@pytest.mark.parametrize("size", ["Full-Resolution", "1080p"])
def test_davis_may_be_of_another_size(size, tmp_path):
    root = davis(tmp_path, {"dog": "the dog"})
    for folder in ("JPEGImages", "Annotations"):
        (root / folder / "480p").rename(root / folder / size)
    sample = open_dataset("davis:all", root)[0]
    assert len(sample.frames) == 3 and sample.prompts[0].mask[0].any()


def test_davis_without_lists_of_splits_names_the_split_that_needs_none(tmp_path):
    with pytest.raises(InputError, match="davis:all"):
        open_dataset("davis", davis(tmp_path, {"dog": "the dog"}))


@pytest.mark.parametrize("year", ["2016", "2017"])
def test_davis_has_lists_of_its_splits(year, tmp_path):
    root = davis(tmp_path, {"dog": "the dog", "cat": "the cat"})
    (root / "ImageSets" / year).mkdir(parents=True)
    (root / "ImageSets" / year / "val.txt").write_text("dog\nbird\n")
    assert [clip.name for clip in open_dataset("davis", root).clips] == ["dog"]


@pytest.mark.parametrize(("name", "split"), [("ref-youtube-vos", "train"), ("ref-davis", "valid")])
def test_expressions_of_one_object_share_their_masks(name, split, tmp_path):
    dataset = open_dataset(f"{name}:{split}", ref_youtube_vos(tmp_path, split))
    sample = dataset[0]
    assert dataset.name == f"{name}:{split}" and sample.name == "dog" and len(sample.frames) == 3
    assert [(p.text, p.object_id) for p in sample.prompts] == [
        ("expression 0", 1),
        ("expression 1", 2),
        ("expression 2", 2),
    ]
    assert np.array_equal(sample.prompts[0].mask[0], rectangle(*ONE)) and sample.prompts[0].mask.shape == (3, *SIZE_HW)
    assert sample.prompts[1].mask is sample.prompts[2].mask


def test_clips_without_frames_or_expressions_are_left_out(tmp_path):
    facts = expressions(["1"], "obj_id")
    facts["videos"] |= {"cat": {"expressions": {}, "frames": ["0"]}, "cow": {**facts["videos"]["dog"], "frames": []}}
    write_json(ref_youtube_vos(tmp_path) / "meta_expressions/train/meta_expressions.json", facts)
    assert [clip.name for clip in open_dataset("ref-youtube-vos", tmp_path).clips] == ["dog"]


def test_mevis_joins_the_objects_of_an_expression(tmp_path):
    one, both = open_dataset("mevis", mevis(tmp_path))[0].prompts
    assert np.array_equal(one.mask[0], rectangle(*ONE)) and not one.mask[2].any() and one.object_id == 7
    assert np.array_equal(both.mask[1], rectangle(*ONE) | rectangle(*TWO)) and both.object_id is None


@pytest.mark.parametrize(
    ("make", "name", "file", "content", "told"),
    [
        (mevis, "mevis", "valid_u/mask_dict.json", None, "mask_dict.json, which is not there"),
        (mevis, "mevis", "valid_u/mask_dict.json", {}, "no entry '7'"),
        (mevis, "mevis", "valid_u/mask_dict.json", [], "must be an object"),
        (mevis, "mevis", "valid_u/mask_dict.json", {"7": [None], "8": [None]}, "has 1 frames, the clip 3"),
        (mevis, "mevis", "valid_u/mask_dict.json", {"7": [{"size": [1, 1]}] * 3, "8": []}, "annotation 7 of"),
        (mevis, "mevis", "valid_u/meta_expressions.json", {"videos": {}}, "no clip has expressions"),
        (mevis, "mevis", "valid_u/meta_expressions.json", {}, "no entry 'videos'"),
        (ref_youtube_vos, "ref-youtube-vos", "train/Annotations/dog/00005.png", None, "00005.png is not there"),
        (ref_youtube_vos, "ref-youtube-vos", "train/JPEGImages/dog/00000.jpg", None, "00000.jpg is not there"),
    ],
)
def test_a_missing_or_broken_file_is_named(make, name, file, content, told, tmp_path):
    make(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        write_json(tmp_path / file, content)
    with pytest.raises(InputError, match=told):
        open_dataset(name, tmp_path)[0]


@pytest.mark.parametrize(
    ("phrases", "told"),
    [
        ({}, "no expression for a sequence"),
        ({"cat": "the cat"}, "cat holds no frames"),
        ([1], "damaged"),
        ({"dog": 5}, "damaged"),
        ({"dog": {"left": "the left dog"}}, "must be numbers"),
        ({"dog": {"1": 5}}, "where a text belongs"),
    ],
)
def test_phrases_that_do_not_fit_are_told(phrases, told, tmp_path):
    with pytest.raises(InputError, match=told):
        open_dataset("davis:all", davis(tmp_path, phrases))
