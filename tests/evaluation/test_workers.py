"""Two workers give what one process gives: the same samples, in the same order, added up to the same scores."""

from __future__ import annotations

import os
from functools import partial

import pytest
import torch

from evfsam import Predictor
from evfsam.errors import EvfSamError, InputError
from evfsam.evaluation import clicking, robustness, runner
from evfsam.evaluation.answers import floor_answer
from evfsam.evaluation.clicking import evaluate_clicks
from evfsam.evaluation.clips import evaluate_clips
from evfsam.evaluation.photographs import evaluate_photographs
from evfsam.evaluation.report import to_json
from evfsam.evaluation.robustness import evaluate_robustness
from evfsam.evaluation.runner import evaluate_scenes
from evfsam.evaluation.samples import Turn, scene_sample, scene_samples, turns
from evfsam.evaluation.workers import each
from evfsam.refine.refinement import Refinement
from tests.data.photographs import make_pack
from tests.random_tracker import save_random_tracker

SIZE_HW = (48, 64)
SEEDS = range(900_000, 900_005)


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return Predictor.from_pretrained(random_checkpoint, device="cpu")


def look(predictor):
    """Who asks, under which facts, with how many threads, and the two pictures that it sees."""

    def ask(turn: Turn):
        sample = scene_sample(turn, SIZE_HW)
        pictures = sample.image.tobytes(), sample.other_image.tobytes()
        return os.getpid(), predictor.checkpoint.info, torch.get_num_threads(), pictures

    return ask


def refuse(predictor):
    def ask(turn: Turn):
        raise InputError(f"scene {turn.seed} is refused")

    return ask


def die(predictor):
    return lambda turn: os._exit(1)


def test_the_first_scene_has_the_picture_after_the_last_and_each_other_one_the_picture_before_it():
    assert [turn.before for turn in turns(SEEDS)] == [900_005, 900_000, 900_001, 900_002, 900_003]


def test_workers_see_the_same_pairs_of_pictures_in_the_same_order_and_the_same_model(predictor):
    told, predictor = [], predictor.with_refinement(Refinement(point_refinement=True, reject_below=0.25))
    found = list(each(look, predictor, turns(SEEDS), 2, told.append))
    processes, infos, threads, pictures = (list(column) for column in zip(*found, strict=True))
    assert os.getpid() not in processes and len(set(processes)) <= 2
    assert set(infos) == {predictor.checkpoint.info} and set(threads) == {1}
    assert pictures == [(s.image.tobytes(), s.other_image.tobytes()) for s in scene_samples(SEEDS, SIZE_HW)]
    assert pictures == [row[-1] for row in each(look, predictor, turns(SEEDS))]
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("start", "error", "told"),
    [
        (refuse, InputError, "scene 900000 is refused"),
        pytest.param(die, EvfSamError, "fewer", marks=pytest.mark.slow),
    ],
)
def test_what_goes_wrong_in_a_worker_is_told_here(predictor, start, error, told):
    with pytest.raises(error, match=told):
        list(each(start, predictor, turns(SEEDS), 2))


def scenes(folder, workers):
    predictor = Predictor.from_pretrained(folder, device="cpu")
    flags = {"exchange": True, "floor": True, "ceiling": True}
    return to_json(evaluate_scenes(predictor, 900_000, 3, SIZE_HW, **flags, workers=workers))


def changes(folder, workers):
    return evaluate_robustness(Predictor.from_pretrained(folder, device="cpu"), 900_000, 2, workers=workers)


def clicked(folder, workers):
    return evaluate_clicks(Predictor.from_pretrained(folder, device="cpu"), 900_000, 2, workers=workers)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(runner, "floor_answer", partial(floor_answer, range(800_000, 800_010)))
    monkeypatch.setattr(robustness, "CLEAN_SIZE_HW", (48, 48))
    monkeypatch.setattr(robustness, "SIZES", (32, 64))
    monkeypatch.setattr(robustness, "ODD_SIZES_HW", ((32, 96),))
    monkeypatch.setattr(clicking, "SIZE_HW", (48, 48))


@pytest.mark.parametrize(
    "measure", [scenes, pytest.param(changes, marks=pytest.mark.slow), pytest.param(clicked, marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("small", "one_thread")
def test_scores_on_scenes_are_those_of_one_process(random_checkpoint, measure):
    same(measure(random_checkpoint, 1), measure(random_checkpoint, 2))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_scores_on_photographs_are_those_of_one_process(predictor, tmp_path):
    folder = make_pack(tmp_path)
    same(*(evaluate_photographs(predictor, folder, composed=4, workers=workers) for workers in (1, 2)))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_scores_on_clips_are_those_of_one_process(tmp_path):
    predictor = Predictor.from_pretrained(save_random_tracker(tmp_path / "tracker"), device="cpu")
    same(*(evaluate_clips(predictor, 900_000, 2, workers=workers) for workers in (1, 2)))


def same(one, two) -> None:
    """Equal to the order of names, numbers up to a pixel of a mask; how long it took is another matter."""
    if isinstance(one, dict):
        assert list(one) == list(two)
        for name in set(one) - {"seconds"}:
            same(one[name], two[name])
    else:
        assert one == (pytest.approx(two, abs=2e-3) if isinstance(two, float) else two)
