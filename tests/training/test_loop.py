"""The loop: resuming, batches prepared by other processes, and what it writes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from evfsam.training.grounding import GroundingHeads
from evfsam.training.loop import schedule, train
from evfsam.training.phrase_stage import PhraseStage
from evfsam.training.point_stage import PointStage
from evfsam.training.run import new_model
from tests.training.small import STEPS, small


def point_stage(sampler_of):
    recipe = small()
    stage = replace(recipe.stage("segmenter"), image_size=None)
    return PointStage(new_model(recipe.model, 0), stage, sampler_of(recipe), 0)


def phrase_stage(sampler_of):
    recipe = small()
    model = new_model(recipe.model, recipe.seed)
    heads = GroundingHeads(recipe.model.encoder)  # after ``new_model``, which seeds
    return PhraseStage(model, recipe.stage("all-384"), sampler_of(recipe, varied=0.5), recipe.seed, heads)


def accumulating(sampler_of):
    module = phrase_stage(sampler_of)
    module.stage = replace(module.stage, images=1, batch=2)
    return module


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("make", [point_stage, phrase_stage, accumulating])
def test_a_run_cut_off_and_resumed_ends_where_an_unbroken_one_does(tmp_path, sampler_of, monkeypatch, make):
    monkeypatch.setattr("evfsam.training.loop.SAVE_EVERY", 2)

    def weights(folder, stop_at=None):
        folder.mkdir(exist_ok=True)
        module = make(sampler_of)
        batch = module.batch

        def stopping(step):
            if step == stop_at:
                raise KeyboardInterrupt
            return batch(step)

        module.batch = stopping
        train(module, folder, Accelerator(cpu=True))
        return {name: value.clone() for name, value in module.state_dict().items()}

    whole = weights(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        weights(tmp_path / "cut", stop_at=5 if make is accumulating else 2)  # two batches in a step
    resumed = weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("whole", [True, False])
def test_a_run_that_was_killed_while_it_saved_goes_on(tmp_path, sampler_of, whole):
    module = point_stage(sampler_of)
    train(module, tmp_path, Accelerator(cpu=True))
    state, new = tmp_path / module.stage.name, tmp_path / f"{module.stage.name}.new"
    if whole:  # killed before it replaced the old state
        state.rename(new)
        state.mkdir()
    else:
        new.mkdir()
        (new / "model.safetensors").write_bytes(b"half")
    again = point_stage(sampler_of)
    train(again, tmp_path, Accelerator(cpu=True))
    assert not new.exists() and json.loads((state / "step.json").read_text())["step"] == STEPS
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True))


@pytest.mark.usefixtures("one_thread")
def test_batches_that_other_processes_prepare_teach_the_same(tmp_path, sampler_of):
    states = []
    for workers in (0, 2):
        module = phrase_stage(sampler_of)
        (tmp_path / str(workers)).mkdir()
        train(module, tmp_path / str(workers), Accelerator(cpu=True), workers)
        states.append(module.state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_metrics_are_lines_of_json(tmp_path, sampler_of, monkeypatch):
    def rows(every: int) -> list[dict]:
        monkeypatch.setattr("evfsam.training.loop.LOG_EVERY", every)
        folder = tmp_path / str(every)
        folder.mkdir()
        train(point_stage(sampler_of), folder, Accelerator(cpu=True))
        return [json.loads(line) for line in (folder / "metrics.jsonl").open()]

    singly, by_twos = rows(1), rows(2)
    assert [row["step"] for row in singly] == [1, 2, 3]
    assert all(np.isfinite(row["loss"]) and row["stage"] == "segmenter" for row in singly)
    # The last line tells of the steps since the one before it, however few.
    assert [row["step"] for row in by_twos] == [2, 3]
    assert [row["prompts"] for row in by_twos] == [2 * 6, 6]
    assert by_twos[0]["loss"] == pytest.approx((singly[0]["loss"] + singly[1]["loss"]) / 2, abs=2e-4)
    assert by_twos[1]["loss"] == pytest.approx(singly[2]["loss"], abs=2e-4)


def test_the_rate_rises_and_falls_to_zero():
    stage = replace(small().stages[0], steps=100, warmup=10)
    rates = [schedule(stage, step) for step in range(101)]
    assert rates[0] == 0.1 and max(rates) == rates[9] and rates[100] == 0
    assert all(later <= earlier for earlier, later in zip(rates[9:], rates[10:], strict=False))
    assert small().stages[0].steps == STEPS
