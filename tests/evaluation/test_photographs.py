"""Photographs are scored by prompt beside the best constant mask, and people in composed pictures by kind."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam import Predictor
from evfsam.data.ccp import read_pack, read_photo
from evfsam.errors import InputError
from evfsam.evaluation.photographs import evaluate_photographs, floor_masks, to_table
from tests.data.photographs import make_pack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("ccp"))


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return Predictor.from_pretrained(random_checkpoint, device="cpu")


def test_prompts_and_composed_pictures_are_scored(predictor, folder):
    told = []
    result = evaluate_photographs(predictor, folder, composed=4, on_picture=told.append)
    assert told == [1, 2, 3, 4, 5, 6] and result["count"] == 2
    row = result["prompts"]["[semantic] person"]
    assert row["samples"] == 2 and 0 <= row["iou"] <= 1
    # The drawn people all stand alike, so that a constant mask is nearly perfect.
    assert row["floor"] > 0.9
    kinds = set(result["composed_scores"])
    assert "place" in kinds and any(kind.startswith("place, ") for kind in kinds)
    assert "[semantic] person" in to_table(result)


def test_the_floor_is_fitted_on_the_train_split_where_there_is_enough(folder):
    pack = read_pack(folder)
    floors = floor_masks(pack, {"[semantic] hair", "[semantic] watch"})
    assert set(floors) == {"[semantic] hair"}
    target = np.isin(read_photo(pack.photos["val"][0])[1], pack.vocabulary["[semantic] hair"])
    found = floors["[semantic] hair"].at(target.shape)
    assert (found & target).sum() / (found | target).sum() > 0.7


def test_a_folder_without_photographs_is_refused(predictor, tmp_path):
    with pytest.raises(InputError, match="no pack of photographs"):
        evaluate_photographs(predictor, tmp_path)
