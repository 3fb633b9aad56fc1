"""Batches: what is asked, of which images, and where the truth lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from evfsam.data.sample import PART, Prompt, Sample
from evfsam.data.scenes import TEST, VALIDATION, make_clip, make_scene, render
from evfsam.errors import InputError
from evfsam.processing.inputs import prepare
from evfsam.training.cache import OUTSIDE, open_scenes
from evfsam.training.sampler import Mixture, Sampler, coverage_of, generator, wholes_and_parts
from tests.training.small import small


def stage_of(recipe, **changes):
    return replace(recipe.stages[-1], kind="phrases", **changes)


def test_the_same_step_gives_the_same_batch_and_another_step_another(sampler_of):
    sampler, stage = sampler_of(small(), varied=0.5), stage_of(small())

    def batch(step):
        return sampler.phrases(stage, generator(0, "joint", step))[0]

    again, other = batch(5), batch(6)
    for name, value in batch(5)._asdict().items():
        same = torch.equal(value, getattr(again, name)) if torch.is_tensor(value) else value == getattr(again, name)
        assert same, name
    assert other.token_ids.shape != again.token_ids.shape or not torch.equal(other.token_ids, again.token_ids)


@pytest.mark.parametrize("name", ["evf-sam2-tiny", "evf-sam-tiny"])
def test_images_are_prepared_and_targets_lie_where_a_predictor_would_put_them(sampler_of, scenes, name):
    sampler, stage = sampler_of(small(name)), stage_of(small(name), images=6, prompts=4)
    batch, samples = sampler.phrases(stage, generator(0, "x", 1))
    assert len(batch.token_ids) == len(batch.coverage) == len(batch.token_coverage) == 24
    for number, sample in enumerate(samples):
        wanted = prepare(sample.image, sampler.spec)
        assert torch.equal(batch.segmenter_pixels[number], wanted.segmenter_pixels[0])
        assert torch.equal(batch.encoder_pixels[number], wanted.encoder_pixels[0])
        height, width = wanted.geometry.resized_size_hw
        outside = batch.coverage[batch.image_of_row == number].clone()
        outside[:, : -(-height // 4), : -(-width // 4)] = 0
        assert not outside.any()  # nothing is to be found in the padding
    said = {tuple(sampler.token_ids(p.text).tolist()): p.mask for s in samples for p in s.prompts}
    for ids, covered in zip(batch.token_ids, batch.token_coverage, strict=True):
        mask = said[tuple(i for i in ids.tolist() if i != 1)]
        assert covered.mean() == pytest.approx(mask.mean(), abs=0.02)


def test_kinds_are_asked_about_in_the_shares_of_the_stage(sampler_of):
    recipe = small()
    shares = stage_of(recipe).shares | {"stuff": 0.0, "colour": 0.0}
    sampler = sampler_of(recipe)
    stage = stage_of(recipe, images=20, prompts=20, shares=shares)
    batch, samples = sampler.phrases(stage, generator(0, "x", 0))
    asked = {tuple(i for i in row if i != 1) for row in batch.token_ids.tolist()}
    kinds = {p.kind: tuple(sampler.token_ids(p.text).tolist()) in asked for s in samples for p in s.prompts}
    assert not kinds["stuff"] and not kinds["colour"]
    assert sum(kinds.values()) >= 4 and batch.one_thing.any() and not batch.one_thing.all()


def photograph(name="one"):
    """What a reader of a real data set yields: an image of any size, prompts, and nothing else."""
    masks = np.zeros((4, 60, 100), bool)
    masks[0, 10:40, 20:50] = masks[1, 10:20, 20:30] = True
    texts = ("the dog", "[semantic] dog ear", "the cat", "?")  # the last one is no prompt
    prompts = tuple(map(Prompt, texts, masks, ("referring", PART, "a kind of its own", "referring")))
    return Sample(name, np.full((60, 100, 3), 90, np.uint8), prompts)


@pytest.mark.parametrize(("most", "asked"), [(1, 1), (3, 3), (5, 3)])
def test_any_data_set_is_asked_up_to_so_many_different_prompts(most, asked):
    recipe = small()
    letters = lambda text: {"input_ids": [0, *text.encode()[:5], 2]}  # noqa: E731
    letters.unk_token_id = 3
    sampler = Sampler(Mixture(([photograph()],), (False,)), recipe.model, letters)
    batch, samples = sampler.phrases(stage_of(recipe, images=1, prompts=most, shares=None), generator(0, "x", 0))
    assert len(batch.token_ids) == asked == len({tuple(row) for row in batch.token_ids.tolist()})
    targets = sampler.point_targets(samples, 20, generator(0, "y", 0))
    assert targets.is_part.any() and not targets.is_part.all() and targets.coverage.flatten(1).any(1).all()


def test_an_image_that_shows_nothing_has_no_point_targets(sampler_of):
    empty = replace(photograph(), prompts=photograph().prompts[2:])
    assert sampler_of(small()).point_targets([empty], 3, generator(0, "x", 0)) is None


def test_an_image_whose_things_are_all_tiny_is_asked_for_its_largest_part():
    part_map = np.full((128, 128), 3, np.uint8)
    part_map[0, 0] = 5
    assert wholes_and_parts(part_map, [(5,)]) == ([(3,)], [])


def test_a_mixture_is_its_data_sets_one_after_the_other_and_knows_which_are_known(scenes):
    mixture = Mixture((scenes, [photograph("a"), photograph("b")]), (True, False))
    assert len(mixture) == 6 and mixture[5].name == "b" and mixture[0].name == scenes[0].name
    assert [mixture.is_known(i) for i in (0, 3, 4, 5)] == [True, True, False, False]
    assert set(mixture.draw(200, np.random.default_rng(0))) == set(range(6))
    with pytest.raises(IndexError):
        mixture[6]


def test_coverage_is_the_share_of_each_cell():
    mask = np.zeros((8, 16), bool)
    mask[:4, :6] = True
    assert coverage_of(mask, 2).tolist() == [[0.75, 0], [0, 0]]


def test_cached_scenes_are_those_that_are_rendered(tmp_path):
    still = open_scenes(tmp_path / "still", 40, 3, 96, 1, aspects=(1.0, 4 / 3))
    moving = open_scenes(tmp_path / "moving", 40, 3, 96, 1, moving=True)
    for row, seed in enumerate(range(40, 43)):
        sample, aspect = still[row], (1.0, 4 / 3)[seed % 2]
        drawn = render(make_scene(seed, aspect), sample.image.shape[:2])
        assert sample.image.shape[1] == 96 and (sample.image == drawn.image).all()
        assert (sample.facts["part_map"] == drawn.part_map).all() and (sample.facts["part_map"] != OUTSIDE).all()
        assert any(prompt.mask.any() for prompt in sample.prompts)
        assert (moving[row].image == render(make_clip(seed).frame(seed), (96, 96)).image).all()
    assert [sample.name for sample in still] == [f"still/{row}" for row in range(3)]
    assert list(still.texts()) == [prompt.text for sample in still for prompt in sample.prompts]


@pytest.mark.parametrize("first, count", [(VALIDATION.start - 1, 2), (VALIDATION.start, 1), (TEST.start, 500)])
def test_no_training_touches_the_seeds_kept_for_tests(tmp_path, first, count):
    with pytest.raises(InputError):
        open_scenes(tmp_path, first, count, 64, workers=1)
    assert not list(tmp_path.iterdir())
