"""A category's mask is taken apart into things, each with its own mask and score."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

import evfsam
from evfsam import things
from evfsam.checkpoints.registry import find
from evfsam.geometry import mask_iou
from evfsam.resources import ASSETS

DRAWN, OPEN, REFERRING = (find(name) for name in ("evf-sam2-tiny", "evf-sam2-multitask", "evf-sam2"))


@pytest.mark.parametrize(
    ("prompt", "info", "text", "apart", "every"),
    [
        ("[semantic] dog", DRAWN, "[semantic] dog", True, False),
        ("[semantic] sky", DRAWN, "[semantic] sky", False, False),
        ("[semantic] dog", REFERRING, "[semantic] dog", True, False),
        ("every dog", DRAWN, "[semantic] dog", True, True),
        ("Every Dog.", DRAWN, "[semantic] Dog", True, True),
        ("each dog", DRAWN, "[semantic] dog", True, True),
        ("all dogs", DRAWN, "[semantic] dog", True, True),
        ("all the people", DRAWN, "[semantic] person", True, True),
        ("all of the houses", DRAWN, "[semantic] house", True, True),
        ("every grass", DRAWN, "[semantic] grass", False, True),
        ("every dog", OPEN, "[semantic] dog", True, True),
        ("every traffic light", OPEN, "[semantic] traffic light", True, True),
        ("all dogs", OPEN, "[semantic] dogs", True, True),  # open language has no list of words
        ("every dog on the left", DRAWN, "every dog on the left", True, True),
        ("every dog", REFERRING, "every dog", True, True),  # it knows no categories
        ("the dog", DRAWN, "the dog", False, False),
        ("everything", DRAWN, "everything", False, False),
        ("all", DRAWN, "all", False, False),
        ("the dogs", OPEN, "the dogs", False, False),
    ],
)
def test_how_prompts_are_read(prompt, info, text, apart, every):
    asked = things.read(prompt, info)
    assert (asked.text, asked.apart, asked.every) == (text, apart, every)


@pytest.fixture(scope="module")
def predictor():
    return evfsam.Predictor.from_pretrained("evf-sam2-tiny", device="cpu")


@pytest.fixture(scope="module")
def balloons(predictor):
    encoded = predictor.encode(ASSETS / "examples" / "street.jpg")
    return encoded, predictor.segment(encoded, ["[semantic] balloon"])[0]


def test_two_balloons(predictor, balloons):
    encoded, both = balloons
    found = evfsam.separate(predictor, encoded, both)
    assert len(found) == 2 and all(thing.prompt == "balloon" for thing in found)
    assert all(thing.mask.shape == both.mask.shape and 0 <= thing.score <= 1 for thing in found)
    assert all(mask_iou(a.mask, b.mask) < things.SAME for a, b in combinations(found, 2))
    assert mask_iou(found[0].mask | found[1].mask, both.mask) > 0.8
    assert all(thing.presence == both.presence for thing in found)


def test_no_more_than_were_wanted(predictor, balloons):
    assert len(evfsam.separate(predictor, *balloons, most=1)) == 1


def test_between_two_steps_the_work_can_be_stopped(predictor, balloons):
    steps = list(things.iter_separate(predictor, *balloons))
    assert steps.index(None) == 0 and len([step for step in steps if step is None]) >= 2


@pytest.mark.parametrize(
    "wrong", [None, np.ones((5, 7), bool), evfsam.Segmentation("a dog", np.ones((5, 7), np.float32), 0.5)]
)
def test_a_mask_of_another_image_is_refused(predictor, balloons, wrong):
    with pytest.raises(evfsam.InputError, match="no result on this image"):
        evfsam.separate(predictor, balloons[0], wrong)


def test_nothing_comes_apart_into_nothing(predictor, balloons):
    encoded, both = balloons
    nothing = evfsam.Segmentation("[semantic] dog", np.full(both.mask.shape, -1, np.float32), 0.5)
    assert evfsam.separate(predictor, encoded, nothing) == []


def test_the_work_ends_on_a_mask_of_noise(predictor, balloons):
    encoded, both = balloons
    logits = np.random.default_rng(0).standard_normal(both.mask.shape).astype(np.float32)
    assert len(evfsam.separate(predictor, encoded, evfsam.Segmentation("noise", logits, 0.5))) <= things.MOST
