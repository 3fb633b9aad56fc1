"""Scenes and renderings: the same for the same seed, exact masks, any size."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfsam.data.scenes import (
    TEST,
    TRAIN,
    VALIDATION,
    canonical_size_hw,
    categories,
    colours,
    expressions,
    make_scene,
    part_names,
    render,
    render_parts,
    require_training_seeds,
    stuff_names,
)
from evfsam.errors import InputError

SEED = st.integers(0, TEST.stop - 1)


@given(SEED)
@settings(max_examples=8, deadline=None)
def test_a_seed_gives_one_scene_one_image_and_one_list_of_expressions(seed):
    first, second = make_scene(seed), make_scene(seed)
    assert first.parts == second.parts
    drawn, again = render(first, (96, 96)), render(second, (96, 96))
    assert drawn.image.tobytes() == again.image.tobytes()
    assert drawn.part_map.tobytes() == again.part_map.tobytes()
    assert expressions(first) == expressions(second)


def test_seeds_differ():
    images = {render(make_scene(seed), (32, 32)).image.tobytes() for seed in range(12)}
    assert len(images) == 12


@given(SEED, st.integers(24, 400), st.integers(24, 400))
@settings(max_examples=20, deadline=None)
def test_any_size_is_drawn_and_every_pixel_belongs_to_a_part(seed, height, width):
    scene = make_scene(seed, aspect=width / height)
    drawn = render(scene, (height, width))
    assert drawn.image.shape == (height, width, 3) and drawn.image.dtype == np.uint8
    assert drawn.part_map.shape == (height, width) and drawn.part_map.dtype == np.uint16
    assert drawn.part_map.max() < len(scene.parts)
    assert np.array_equal(drawn.part_map, render_parts(scene, (height, width)))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 500), (901, 7), (1600, 1200)])
def test_odd_and_large_sizes(size_hw):
    drawn = render(make_scene(3, aspect=size_hw[1] / size_hw[0]), size_hw)
    assert drawn.image.shape[:2] == drawn.part_map.shape == size_hw


@pytest.mark.parametrize("seed", range(6))
def test_masks_agree_between_sizes(seed):
    """A mask drawn at 512 and one drawn at 128 are the same shape."""
    scene = make_scene(seed)
    small, large = render_parts(scene, (128, 128)), render_parts(scene, (512, 512))
    for thing in range(len(scene.things)):
        ids = [part.index for part in scene.parts if part.thing == thing]
        coarse = np.isin(small, ids).astype(np.float64)
        fine = np.isin(large, ids).reshape(128, 4, 128, 4).mean((1, 3))
        if coarse.mean() < 0.01:
            continue
        assert np.minimum(coarse, fine).sum() / np.maximum(coarse, fine).sum() > 0.85


@pytest.mark.parametrize("seed", range(4))
def test_pixels_inside_a_part_look_like_it_and_nothing_bleeds_from_beneath(seed):
    """Away from edges, a small rendering is the average of a large one, in labels and colours."""
    scene = make_scene(seed)
    small, large = render(scene, (128, 128)), render(scene, (512, 512))
    blocks = large.part_map.reshape(128, 4, 128, 4)
    pure = (blocks == blocks[:, :1, :, :1]).all((1, 3))
    assert (blocks[:, 0, :, 0][pure] == small.part_map[pure]).mean() > 0.995
    mean = large.image.reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(mean - small.image)[pure].mean() < 4.0


def test_edges_are_antialiased():
    """Along edges there are colours between the two sides: far more distinct colours than patches."""
    drawn = render(make_scene(1), (256, 256))
    edge = drawn.part_map[:, 1:] != drawn.part_map[:, :-1]
    steps = np.abs(np.diff(drawn.image.astype(int), axis=1)).sum(2)[edge]
    assert len(np.unique(steps)) > 100


@pytest.mark.parametrize("seed", range(40))
def test_the_part_table(seed):
    scene = make_scene(seed)
    assert [part.index for part in scene.parts] == list(range(len(scene.parts)))
    assert scene.parts[0].thing is None and scene.parts[0].name == "sky"
    assert 4 <= len(scene.things) <= 9
    for part in scene.parts:
        if part.thing is None:
            assert part.name in stuff_names()
            continue
        assert part.kind == scene.things[part.thing].kind and part.kind in categories()
        assert part.name in (part_names(part.kind) or (part.kind,))
        assert part.colour in ("", *colours())


def test_most_scenes_have_several_things_of_one_kind():
    repeated = [len({body.kind for body in scene.things}) < len(scene.things) for scene in map(make_scene, range(60))]
    assert np.mean(repeated) > 0.9


def test_a_scene_is_laid_out_for_its_aspect():
    wide = make_scene(5, aspect=16 / 9)
    assert wide.aspect == 16 / 9
    assert canonical_size_hw(wide.aspect) == (144, 256)
    assert canonical_size_hw(0.5) == (256, 128)
    assert len(expressions(wide)) > 10


def test_the_splits_do_not_touch():
    assert not set(TRAIN) & set(VALIDATION) and not set(VALIDATION) & set(TEST) and not set(TRAIN) & set(TEST)


@pytest.mark.parametrize(("start", "count"), [(0, 1), (0, 800_000), (799_999, 1), (12_345, 100)])
def test_training_seeds_accepted(start, count):
    assert require_training_seeds(start, count) == range(start, start + count)


@pytest.mark.parametrize(
    ("start", "count"), [(0, 800_001), (799_999, 2), (800_000, 1), (900_000, 500), (-1, 5), (0, 0), (5, -1)]
)
def test_training_seeds_refused(start, count):
    with pytest.raises(InputError, match="799999"):
        require_training_seeds(start, count)


def test_the_world_is_the_one_that_scores_were_measured_on():
    """Scores name seeds. If a change moves things to other places, say so, and measure and train anew."""
    scenes = [make_scene(seed) for seed in (0, 1, TEST.start)]
    layout = [[body.kind, body.colour, f"{body.pose.u:.4f}", f"{body.pose.v:.4f}"] for s in scenes for body in s.things]
    digest = hashlib.sha256(json.dumps(layout).encode()).hexdigest()
    assert digest == "bfbef214461781641d3683ae4e2175731c8a2e503659e3563f5e3a1f1032a66c"
