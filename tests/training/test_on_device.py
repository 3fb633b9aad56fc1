"""Batches drawn on the device itself mean what batches from the loader mean."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.errors import InputError
from evfsam.processing.inputs import prepare
from evfsam.processing.masks import surest_points
from evfsam.processing.text import PAD_ID
from evfsam.training import on_device
from evfsam.training.on_device import DeviceSampler, SceneStore, train_on_device
from evfsam.training.phrases import PhraseReader
from evfsam.training.run import new_model, run
from evfsam.training.scene_cache import coverage_of, open_cache
from evfsam.training.stages import GroundingHeads, TogetherStage
from evfsam.types import Geometry
from tests.training.test_training import STAGE, small

CPU = torch.device("cpu")
BUNDLED = "assets/checkpoints/evf-sam2-tiny"


@pytest.fixture(scope="module", params=["evf-sam2-tiny", "evf-sam-tiny"])
def reader(request, tmp_path_factory):
    """Scenes of several shapes as a model that stretches or pads them reads them, none in other light or words."""
    recipe = small(request.param)
    size, stretched = recipe.model.segmenter.image_size, not recipe.model.pixels.keep_aspect_ratio
    cache = open_cache(tmp_path_factory.mktemp("scenes"), 0, 3, size, 1, (1.0, 3.0, 1 / 3), stretched=stretched)
    return PhraseReader(recipe.model, cache, load_tokenizer(BUNDLED))


@pytest.fixture(scope="module")
def sampler(reader):
    torch.manual_seed(0)
    store = SceneStore(reader, STAGE, 0, CPU, 0)
    return DeviceSampler(store, reader.spec, reader.tokens, replace(STAGE, scenes=12, prompts=8))


@pytest.fixture(scope="module")
def batch(sampler):
    return sampler.batch()


def test_pictures_are_those_that_a_predictor_would_prepare(reader, batch):
    for i, scene in enumerate(batch.words.scenes.tolist()):
        wanted = prepare(reader.cache.image(scene), reader.spec)
        # Kept in 8 bits: half a step of them off, and cut off where bicubic weights overshoot.
        assert (batch.words.segmenter_pixels[i] - wanted.segmenter_pixels[0]).abs().max() < 0.6 / min(reader.spec.std)
        assert (batch.words.encoder_pixels[i] - wanted.encoder_pixels[0].clamp(-1, 1)).abs().max() < 0.6 / 127.5


def test_phrases_cover_what_the_scene_says_and_come_with_their_own_words(reader, batch):
    words, said = batch.words, 0
    for row, scene in enumerate(words.scenes[words.scene_of_row].tolist()):
        ids = [i for i in words.token_ids[row].tolist() if i != PAD_ID]
        matches = [e for e in reader.cache.expressions[scene] if reader.token_ids(e.text).tolist() == ids]
        assert matches
        wanted = [coverage_of(reader.cache.square_map(scene), e.part_ids, words.coverage.shape[-1]) for e in matches]
        # The part in a cell's middle stands for the cell where a map is resized, so thin rims differ.
        assert min(np.abs(words.coverage[row].numpy() - each).mean() for each in wanted) < 0.02
        said += bool(words.coverage[row].any())
    assert said > len(words.coverage) / 2
    assert words.one_thing.any() and not words.one_thing.all()


def test_kinds_are_asked_about_in_the_shares_of_the_stage(reader):
    config = replace(STAGE, scenes=40, prompts=20, shares={**STAGE.shares, "stuff": 0.0, "colour": 0.0})
    words = DeviceSampler(SceneStore(reader, config, 0, CPU, 0), reader.spec, reader.tokens, config).batch().words
    asked = {tuple(i for i in row if i != PAD_ID) for row in words.token_ids.tolist()}
    by_kind = {
        e.kind: tuple(reader.token_ids(e.text).tolist()) in asked for scene in reader.cache.expressions for e in scene
    }
    assert not by_kind["stuff"] and not by_kind["colour"] and by_kind["place"] and by_kind["parts"]


def test_what_is_pointed_at_is_clicked_inside_and_boxed_around(sampler, batch):
    assert sum(len(group.coverage) for group in batch.pointing) == 6 * 12
    for group, (count, clicks, boxed, corrections) in zip(batch.pointing, on_device.POINTED, strict=True):
        assert len(group.coverage) == count * 12 and group.coverage.flatten(1).amax(1).min() > 0
        cell = sampler.size / sampler.grid
        if clicks:
            xy, labels = group.points
            at = (xy / cell).long()
            covered = group.coverage[torch.arange(len(xy))[:, None], at[..., 1], at[..., 0]]
            assert xy.shape == (len(xy), clicks, 2) and labels[:, 0].all()
            best = group.coverage.flatten(1).amax(1, keepdim=True).clamp(max=0.95)
            assert torch.where(labels == 1, covered >= best, covered < 0.05).all()
        if boxed:
            mask = group.coverage > 0.5
            some = mask.flatten(1).any(1)
            columns = mask.any(1).float().argmax(1) * cell
            off = (group.boxes[:, 0] - columns).abs()[some]
            assert (off < 0.2 * sampler.size).all() and off.median() < 0.03 * sampler.size
        assert (group.points is None) == (clicks == 0) and (group.boxes is None) == (not boxed)
        assert group.corrections == corrections


def test_second_clicks_are_into_errors_or_where_the_package_would_click_itself(sampler, batch):
    coverage = batch.words.coverage
    shifted = 4 * (coverage.roll(3, 2) - 0.5)
    many = torch.zeros(len(coverage), dtype=torch.bool)
    xy, labels = sampler.second_clicks(many, coverage, shifted)
    at = (xy[:, 0] / (sampler.size / sampler.grid)).long()
    rows = torch.arange(len(coverage))
    wanted, answered = coverage > 0.5, shifted > 0
    wrong = wanted != answered
    some = wrong.flatten(1).any(1)
    assert some.any() and wrong[rows, at[:, 1], at[:, 0]][some].all()
    assert (labels[:, 0].bool() == wanted[rows, at[:, 1], at[:, 0]])[some].all()
    clear = torch.nn.functional.avg_pool2d(shifted[:, None], 5, 1, 2)[:, 0]
    own = surest_points(clear, Geometry(*[(sampler.size, sampler.size)] * 3))
    near = (sampler._deepest(clear) - own).abs().amax((1, 2)) <= 3 * sampler.size / sampler.grid
    assert near[clear.flatten(1).amax(1) > 0].float().mean() > 0.7


def test_grey_pictures_have_no_colour_and_the_others_all_of_theirs(sampler):
    grey = DeviceSampler(sampler.store, sampler.spec, sampler.tokens, replace(sampler.config, grey=0.5))
    pixels = grey.batch().words.segmenter_pixels
    colour = (pixels * grey.std + grey.mean).std(1).amax((1, 2))
    assert (colour < 1e-3).any() and (colour > 10).any() and ((colour < 1e-3) | (colour > 10)).all()


def stage_of(reader, name="evf-sam2-tiny"):
    recipe = small(name)
    model = new_model(recipe.model, 0)
    recipe = replace(recipe, together=replace(STAGE, steps=4))
    return TogetherStage(model, recipe, GroundingHeads(recipe.model.encoder), reader, None)


@pytest.mark.usefixtures("one_thread")
def test_a_run_cut_off_and_resumed_ends_where_an_unbroken_one_does(reader, tmp_path, monkeypatch):
    if reader.spec.keep_aspect_ratio:
        pytest.skip("the same code for both")
    monkeypatch.setattr(on_device, "SAVE_EVERY", 2)
    save = on_device._save

    def full_disk(*args):
        save(*args)
        raise OSError("no space left")

    def end(name, cut_off):
        folder, accelerator = tmp_path / name, Accelerator(cpu=True)
        folder.mkdir()
        if cut_off:
            monkeypatch.setattr(on_device, "_save", full_disk)
            stage = stage_of(reader)
            with pytest.raises(OSError):
                train_on_device(stage, stage.config, folder, accelerator)
            monkeypatch.setattr(on_device, "_save", save)
        stage = stage_of(reader)
        before = {key: value.clone() for key, value in stage.state_dict().items()}
        train_on_device(stage, stage.config, folder, accelerator)
        return before, stage.state_dict()

    before, whole = end("whole", cut_off=False)
    _, resumed = end("resumed", cut_off=True)
    assert whole.keys() == before.keys()
    assert any(not torch.equal(whole[key], before[key]) for key in before)
    for key, value in whole.items():
        torch.testing.assert_close(resumed[key], value, rtol=1e-4, atol=1e-6)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 4 and rows[-1]["stage"] == "together" and 0 < rows[-1]["loss"] < 50


def test_several_processes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    with pytest.raises(InputError, match="one process"):
        run(small(), tmp_path, device="cpu", on_device=True)
