"""Photographs: the pack made from a clone, what may be asked of it, and people set beside each other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evfsam.data.ccp import MOST_PEOPLE, composed_sample, photo_sample, read_pack, read_photo, single_sample
from evfsam.data.ccp.__main__ import main
from evfsam.data.ccp.build import describe, doubtful_labels
from evfsam.data.ccp.colours import colour_shares
from evfsam.data.ccp.compose import room
from evfsam.data.ccp.sample import Cutout
from evfsam.data.ccp.vocabulary import prompt_labels
from evfsam.errors import InputError
from tests.data.photographs import BODY, COATS, NAMES, PEOPLE, draw, make_clone, make_pack

SIZE_HW = (96, 96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("ccp"))


@pytest.fixture(scope="module")
def pack(folder):
    return read_pack(folder)


@pytest.fixture(scope="module")
def composed(pack):
    """Twenty images of three people at most."""
    return [composed_sample(pack, "train", np.random.default_rng(i), SIZE_HW, 1.2, 3) for i in range(20)]


def mask_of(sample, expression):
    return np.isin(sample.part_map, expression.part_ids)


def test_the_command_makes_the_pack_and_keeps_a_tenth_back(tmp_path, capsys):
    clone = make_clone(tmp_path / "clone")
    assert main([str(clone), str(tmp_path / "pack")]) == 0
    pack = read_pack(tmp_path / "pack")
    assert [photo.identity for photo in pack.photos["val"]] == ["0006", "0016"]
    train = [photo.identity for photo in pack.photos["train"]]
    assert len(train) == PEOPLE - 4 and not {"0001", "0011"} & set(train)
    image, label_map = read_photo(pack.photos["train"][0])
    assert image.shape == (448, 299, 3) and label_map.shape == (448, 299)
    assert set(np.unique(label_map)) == {0, *(NAMES.index(name) for name in BODY)}
    assert main([str(tmp_path), str(tmp_path / "pack")]) == 2 and "is no clone" in capsys.readouterr().err


def test_prompts_name_unions_of_labels_and_no_prompt_rests_on_a_doubtful_one():
    label_map = draw(1)[1]
    vocabulary = prompt_labels(NAMES)
    targets = {t["prompt"]: t for t in describe("0002", "train", label_map, NAMES, vocabulary)["targets"]}
    person = np.isin(label_map, targets["[semantic] person"]["labels"])
    assert (person == (label_map > 0)).all() and targets["[semantic] coat"]["kind"] == "class"
    assert {"[semantic] outerwear", "[semantic] lower clothes", "[semantic] pants"} <= set(targets)
    swapped = label_map.copy()
    swapped[label_map == NAMES.index("coat")] = NAMES.index("jeans")
    entry = describe("0002", "train", swapped, NAMES, vocabulary)
    asked = {target["prompt"] for target in entry["targets"]}
    assert entry["suspect_labels"] == ["jeans"] == doubtful_labels(swapped, NAMES)
    assert not {"[semantic] jeans", "[semantic] pants", "[semantic] lower clothes"} & asked
    assert {"[semantic] person", "[semantic] clothes", "[semantic] hair"} <= asked
    half = {t["prompt"] for t in describe("0868", "train", label_map, NAMES, vocabulary)["targets"]}
    assert not {"[semantic] person", "[semantic] clothes"} & half and "[semantic] hair" in half


def test_a_folder_without_a_pack_is_refused(tmp_path, folder):
    with pytest.raises(InputError, match="no pack of photographs"):
        read_pack(tmp_path)
    facts = json.loads((folder / "prompts.json").read_text())
    (tmp_path / "labels.json").write_text((folder / "labels.json").read_text())
    (tmp_path / "prompts.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="is not there"):
        read_photo(read_pack(tmp_path).photos["train"][0])


def test_a_single_photograph_is_asked_for_what_it_shows(pack):
    for seed in range(12):
        sample = single_sample(pack, pack.photos["train"][0], np.random.default_rng(seed), SIZE_HW)
        assert sample.image.shape == (*SIZE_HW, 3) and sample.part_map.dtype == np.uint8
        for expression in sample.expressions:
            assert mask_of(sample, expression).any() == (expression.kind != "absent")


def test_the_same_seed_gives_the_same_sample(pack):
    one, again, other = (photo_sample(pack, seed, SIZE_HW) for seed in (4, 4, 5))
    assert (one.image == again.image).all() and one.expressions == again.expressions
    assert (one.image != other.image).any()


def test_people_by_place_are_where_the_words_say(composed):
    said = 0
    for sample in composed:
        centres = [np.nonzero(np.isin(sample.part_map, ids))[1].mean() for ids in sample.people]
        for expression in sample.expressions:
            if expression.kind == "place":
                here = np.nonzero(mask_of(sample, expression))[1].mean()
                if "second" not in expression.text and any(word in expression.text for word in ("left", "right")):
                    assert here == (min if "left" in expression.text else max)(centres)
                    said += 1
    assert said >= 20


def test_people_by_colour_are_the_only_ones_to_wear_it(composed):
    said = 0
    for sample in composed:
        for expression in sample.expressions:
            if expression.kind == "colour":
                colour = next(name for name in (*COATS, "black") if name in expression.text)
                coat = [np.isin(sample.part_map, [ids[0] - 1 + NAMES.index("coat")]) for ids in sample.people]
                shares = [colour_shares(sample.image[mask]).get(colour, 0) for mask in coat if mask.any()]
                if "coat" in expression.text:
                    assert sum(share > 0.5 for share in shares) == 1
                said += 1
    assert said >= 5


def test_all_people_are_meant_by_the_category(composed):
    counts = set()
    for sample in composed:
        (everyone,) = (e for e in sample.expressions if e.text in ("[semantic] person", "[semantic] human"))
        assert (mask_of(sample, everyone) == (sample.part_map > 0)).all()
        counts.add(len(sample.people))
    assert max(counts) == 3 <= MOST_PEOPLE and min(counts) >= 1


@pytest.mark.parametrize(("side", "finds_room"), [(10, True), (40, False)])
def test_nobody_is_mostly_hidden_by_one_who_comes_later(side, finds_room):
    """One person fills the image: a small one may stand in front of it, a large one may not."""
    person = np.full((40, 40), 5, np.uint8)
    newcomer = Cutout(np.zeros((side, side, 3), np.uint8), np.ones((side, side), np.uint8))
    assert (room(person, newcomer, np.random.default_rng(0)) is not None) == finds_room


def test_words_for_absent_things_mean_nothing(composed):
    absent = [e for sample in composed for e in sample.expressions if e.kind == "absent"]
    assert absent and not any(e.part_ids for e in absent)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 30, 30), "red"),
        ((30, 60, 200), "blue"),
        ((40, 150, 60), "green"),
        ((250, 215, 60), "yellow"),
        ((240, 130, 30), "orange"),
        ((246, 136, 184), "pink"),
        ((124, 66, 178), "purple"),
        ((128, 80, 48), "brown"),
        ((245, 245, 245), "white"),
        ((20, 20, 24), "black"),
        ((128, 128, 128), "grey"),
    ],
)
def test_colours_have_their_names(rgb, name):
    assert colour_shares(np.array([rgb] * 3, np.uint8)) == {name: 1.0}


def test_no_pixels_have_no_colour():
    assert colour_shares(np.zeros((0, 3), np.uint8)) == {}
