"""Varied pictures and phrases: other than before, as many as asked for, the same from the same dice."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.scenes import Expression, expressions, make_scene, render
from evfsam.training.config import StageConfig
from evfsam.training.sampling import read_pictures, sample_phrases
from evfsam.training.scene_cache import SceneCache
from evfsam.training.variety import vary_phrase, vary_picture

CONFIG = StageConfig(steps=1, learning_rate=1e-3, scenes=2, prompts=40)


@pytest.fixture(scope="module")
def cache():
    scenes = [make_scene(seed) for seed in range(3)]
    drawn = [render(scene, (64, 64)) for scene in scenes]
    return SceneCache(
        np.stack([one.image for one in drawn]),
        np.stack([one.part_map.astype(np.uint8) for one in drawn]),
        [expressions(scene) for scene in scenes],
        [],
        [(64, 64)] * 3,
        stretched=True,
    )


def test_light_varies_widely_and_repeats_from_the_same_seed(cache):
    picture = cache.image(0)
    varied = [vary_picture(picture, np.random.default_rng(seed)) for seed in range(30)]
    light = [one.mean() / picture.mean() for one in varied]
    assert min(light) < 0.6 and max(light) > 1.15
    assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in varied)
    assert (vary_picture(picture, np.random.default_rng(3)) == varied[3]).all()


@pytest.mark.parametrize(("variety", "fewest", "most"), [(0.0, 0, 0), (0.3, 10, 50), (1.0, 100, 100)])
def test_the_share_of_varied_pictures(cache, variety, fewest, most):
    pictures = read_pictures(cache, [0] * 100, np.random.default_rng(0), variety)
    changed = sum((picture != cache.image(0)).any() for picture in pictures)
    assert fewest <= changed <= most


def test_phrases_vary_and_mean_what_they_meant(cache):
    known = {expression.text for scene in cache.expressions for expression in scene}
    plain, varied = (sample_phrases(cache, CONFIG, np.random.default_rng(0), 16, 4, v) for v in (0.0, 1.0))
    assert set(plain.phrases) <= known
    assert 20 < sum(phrase not in known for phrase in varied.phrases) < len(varied.phrases)
    assert varied.coverage.shape == plain.coverage.shape


def test_without_variety_nothing_is_drawn_for_it(cache):
    """The batches of a recipe without variety are those of before."""
    rng, other = np.random.default_rng(7), np.random.default_rng(7)
    read_pictures(cache, [0, 1], rng)
    assert rng.random() == other.random()


def test_a_phrase_without_other_words_stays():
    said = {vary_phrase(Expression("the red car", "name", (1,), None), np.random.default_rng(i)) for i in range(9)}
    assert said == {"the red car"}
