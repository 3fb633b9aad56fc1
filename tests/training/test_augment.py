"""Varied images and prompts: as many as asked for, and the same from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.sample import Prompt
from evfsam.training.augment import vary_image, vary_prompt
from tests.training.small import small


def test_light_varies_widely_and_repeats_from_the_same_seed(scenes):
    image = scenes[0].image
    varied = [vary_image(image, np.random.default_rng(seed)) for seed in range(30)]
    light = [one.mean() / image.mean() for one in varied]
    assert min(light) < 0.6 and max(light) > 1.15
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in varied)
    assert (vary_image(image, np.random.default_rng(3)) == varied[3]).all()


@pytest.mark.parametrize(("share", "fewest", "most"), [(0.0, 0, 0), (0.3, 10, 50), (1.0, 100, 100)])
def test_the_share_of_varied_images(sampler_of, scenes, share, fewest, most):
    sampler = sampler_of(small(), varied=share)
    images = sampler.images([scenes[0]] * 100, np.random.default_rng(0))
    assert fewest <= sum((image != scenes[0].image).any() for image in images) <= most


def test_prompts_vary_and_some_have_no_other_words(scenes):
    prompts, rng = [prompt for sample in scenes for prompt in sample.prompts], np.random.default_rng(0)
    varied = [vary_prompt(prompt, rng) for prompt in prompts]
    changed = sum(text != prompt.text for text, prompt in zip(varied, prompts, strict=True))
    assert len(prompts) / 5 < changed < len(prompts)
    short = Prompt("the red car", np.zeros((1, 1), bool), "name")
    assert {vary_prompt(short, np.random.default_rng(i)) for i in range(9)} == {"the red car"}
