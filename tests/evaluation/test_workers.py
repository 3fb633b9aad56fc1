"""Several processes: the same model, the same order, errors that reach the caller."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from evfsam.errors import EvfSamError, InputError
from evfsam.evaluation.workers import parallel_map
from evfsam.predictor import Predictor

ITEMS = range(5)


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return Predictor.from_pretrained(random_checkpoint, device="cpu")


def look(predictor):
    """Which process works, with which model and how many threads."""
    return lambda item: (item, os.getpid(), predictor.info, torch.get_num_threads())


def refuse(predictor):
    def work(item):
        raise InputError(f"item {item} is refused")

    return work


def die(predictor):
    return lambda item: os._exit(1)


@pytest.mark.slow
def test_workers_have_the_same_model_and_keep_the_order(predictor):
    done, changed = [], predictor.with_refinement(replace(predictor.info.refinement, reject_below=0.25))
    found = list(parallel_map(look, changed, ITEMS, 2, done.append))
    items, processes, infos, threads = (list(column) for column in zip(*found, strict=True))
    assert items == list(ITEMS) and done == [1, 2, 3, 4, 5]
    assert os.getpid() not in processes and len(set(processes)) <= 2
    assert set(infos) == {changed.info} and set(threads) == {1}
    assert {process for _, process, *_ in parallel_map(look, predictor, ITEMS)} == {os.getpid()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "error", "told"), [(refuse, InputError, "item 0 is refused"), (die, EvfSamError, "fewer")]
)
def test_what_goes_wrong_in_a_worker_is_told_here(predictor, start, error, told):
    with pytest.raises(error, match=told):
        list(parallel_map(start, predictor, ITEMS, 2))
