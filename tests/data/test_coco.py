"""Photographs in COCO's format: splits, phrases that are true, composed samples."""

from __future__ import annotations

import random

import numpy as np
import pytest

from evfsam.data.coco.clips import moving_clip
from evfsam.data.coco.compose import ComposedDataset
from evfsam.data.coco.dataset import CocoDataset
from evfsam.data.coco.erase import erase_some
from evfsam.data.coco.photographs import is_held_out, read_photographs
from evfsam.data.coco.phrases import TEMPLATES, Thing, referring_phrases
from evfsam.data.coco.words import plural, stuff_word
from evfsam.data.registry import open_dataset
from evfsam.data.sample import ABSENT, REFERRING
from evfsam.errors import InputError
from tests.data.coco import write_coco


@pytest.fixture
def root(tmp_path):
    return write_coco(tmp_path)


def thing(category: str, x: int, y: int, side: int) -> Thing:
    mask = np.zeros((100, 100), bool)
    mask[y : y + side, x : x + side] = True
    return Thing(category, mask, side * side)


def test_no_photograph_is_in_both_splits(root):
    held_out, train = read_photographs(root, held_out=True), read_photographs(root, held_out=False)
    assert [photograph.image_id for photograph in held_out] == [5, 10]
    assert len(train) == 8 and not any(is_held_out(photograph.image_id) for photograph in train)


def test_a_sample_asks_for_what_is_there_and_for_what_is_not(root):
    sample = open_dataset("coco:held-out", root)[0]
    by_text = {prompt.text: prompt for prompt in sample.prompts}
    assert by_text["[semantic] dog"].mask.sum() == pytest.approx(20 * 20 + 32 * 32, rel=0.1)
    assert "[semantic] cup" not in by_text  # a crowd is neither there nor absent
    absent = [prompt for prompt in sample.prompts if prompt.kind == ABSENT]
    assert [prompt.text for prompt in absent] == ["[semantic] kite"] and not absent[0].mask.any()
    assert any(prompt.kind == REFERRING for prompt in sample.prompts)
    assert [p.text for p in open_dataset("coco:held-out", root)[0].prompts] == [p.text for p in sample.prompts]


@pytest.mark.parametrize(
    ("things", "words", "named"),
    [
        ([thing("dog", 0, 40, 20), thing("dog", 70, 40, 20)], {"left", "leftmost"}, 0),
        ([thing("dog", 0, 40, 20), thing("dog", 70, 40, 20)], {"right", "rightmost"}, 1),
        ([thing("dog", 0, 40, 20), thing("dog", 70, 40, 30)], {"larger", "largest", "bigger", "biggest", "big"}, 1),
        ([thing("dog", 0, 40, 20), thing("dog", 70, 40, 30)], {"smaller", "smallest", "small"}, 0),
        ([thing("dog", 0, 0, 20), thing("dog", 30, 60, 20)], {"top", "upper"}, 0),
        ([thing("dog", 0, 40, 10), thing("dog", 40, 40, 10), thing("dog", 80, 40, 10)], {"middle", "centre"}, 1),
    ],
)
def test_place_and_size_name_one_thing(things, words, named):
    found = set()
    for seed in range(30):
        for phrase, meant in referring_phrases(things, ["dog"], random.Random(seed)):
            if words & set(phrase.split()):
                assert meant is things[named], phrase
                found.add(phrase)
    assert found


def test_things_alike_in_place_and_size_have_no_phrase():
    twins = [thing("dog", 40, 40, 20), thing("dog", 42, 42, 20)]
    assert referring_phrases(twins, ["dog"], random.Random(0)) == []


def test_what_is_hidden_is_behind():
    front, back = thing("cup", 20, 20, 30), thing("dog", 30, 30, 30)
    back.behind.append(front)
    phrases = {
        p: t for seed in range(30) for p, t in referring_phrases([front, back], ["cup", "dog"], random.Random(seed))
    }
    assert phrases["the dog behind the cup"] is back
    assert phrases["the cup in front of the dog"] is front


def test_every_wording_names_its_thing():
    assert all("{n}" in template or "{p}" in template for template in TEMPLATES)


@pytest.mark.parametrize(("category", "several"), [("dog", "dogs"), ("person", "people"), ("sheep", "sheep")])
def test_plurals(category, several):
    assert plural(category) == several


@pytest.mark.parametrize(("name", "word"), [("sky-other-merged", "sky"), ("wall-brick", "wall"), ("net", None)])
def test_stuff_has_short_words(name, word):
    assert stuff_word(name) == word


def test_composed_samples_repeat_and_never_contradict_themselves(root):
    photographs = read_photographs(root, held_out=False)
    one, other = (ComposedDataset(photographs, 64, 20) for _ in range(2))
    other[5]
    for index in range(20):
        sample, again = one[index], other[index]
        assert np.array_equal(sample.image, again.image)
        assert [p.text for p in sample.prompts] == [p.text for p in again.prompts]
        assert sample.image.shape == (64, 64, 3)
        for prompt in sample.prompts:
            assert prompt.mask.any() == (prompt.kind != ABSENT), prompt.text
        columns = {
            side: np.nonzero(p.mask)[1].mean()
            for p in sample.prompts
            if p.kind == REFERRING and "dog" in p.text
            for side in ("left", "right")
            if side in p.text
        }
        if len(columns) == 2:
            assert columns["left"] < columns["right"]


@pytest.mark.parametrize("text", ["", "{}", '{"images": [], "annotations": 3, "categories": []}'])
def test_damaged_annotations_are_one_sentence(tmp_path, text):
    with pytest.raises(InputError, match="name a folder"):
        read_photographs(tmp_path, held_out=True)
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(InputError, match="copy it again"):
        read_photographs(tmp_path, held_out=True)


def test_a_missing_photograph_is_one_sentence(root):
    dataset = CocoDataset(read_photographs(root, held_out=True), "held-out")
    dataset.photographs[0].path.unlink()
    with pytest.raises(InputError, match="is not there"):
        dataset[0]


def test_clips_of_photographs_repeat_and_keep_the_numbers_of_things(root):
    photographs = read_photographs(root, held_out=False)
    for seed in range(6):
        images, maps, things = moving_clip(photographs, seed, 4, 64)
        again, *_ = moving_clip(photographs, seed, 4, 64)
        assert images.shape == (4, 64, 64, 3) and maps.shape == (4, 64, 64) and np.array_equal(images, again)
        assert set(np.unique(maps)) <= {0, *(number for (number,) in things)}
        assert any((images[0] != image).any() for image in images[1:])


def test_things_often_seen_together_are_asked_for_when_one_is_missing(root):
    photographs = read_photographs(root, held_out=False)
    beside = ComposedDataset(photographs, 64, 20).beside
    assert beside["dog"]["dog"] == len(photographs) and beside["dog"]["kite"] == 0


@pytest.mark.parametrize("seed", range(12))
def test_what_is_erased_is_gone_and_the_rest_is_untouched(seed):
    before = np.random.default_rng(seed).integers(0, 256, (100, 100, 3), np.uint8)
    things = [thing("dog", 5, 5, 20), thing("dog", 60, 5, 20), thing("cup", 5, 60, 20), thing("person", 60, 60, 20)]
    image, left, stuff = before.copy(), list(things), {"grass": np.ones((100, 100), bool)}
    erase_some(image, left, stuff, {"person"}, random.Random(seed))
    shown = {each.category for each in left}
    assert "person" in shown and len(shown) < 3
    for each in things:
        changed = (image != before).any(-1)[each.mask]
        if each.category in shown:
            assert each in left and not changed.any() and stuff["grass"][each.mask].all()
        else:
            assert each not in left and changed.mean() > 0.9 and not stuff["grass"][each.mask].any()


def test_what_only_the_photograph_shows_is_asked_for_as_absent(root):
    photographs = read_photographs(root, held_out=False)
    samples = ComposedDataset(photographs, 64, 60)
    own = {instance.category for photograph in photographs for instance in photograph.instances}
    absent = {p.text.removeprefix("[semantic] ") for sample in samples for p in sample.prompts if p.kind == ABSENT}
    assert own & absent
