"""Clips: one scene in smooth motion, with targets that may vanish behind something and come back."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.scenes import TEST, clip_expressions, expressions, make_clip, render, render_parts

SEEDS = [*range(5), *range(TEST.start, TEST.start + 5)]


@pytest.fixture(scope="module")
def followed():
    """(clip, its expressions) of each seed."""
    clips = [make_clip(seed, frames=16) for seed in SEEDS]
    return [(clip, clip_expressions(clip)) for clip in clips]


def test_a_seed_is_one_clip():
    first, second = make_clip(11), make_clip(11)
    for t in (0, 23, 47):
        a, b = render(first.frame(t), (80, 80)), render(second.frame(t), (80, 80))
        assert a.image.tobytes() == b.image.tobytes() and a.part_map.tobytes() == b.part_map.tobytes()


def test_parts_keep_their_numbers(followed):
    for clip, _ in followed:
        assert all(clip.frame(t).parts == clip.scene.parts for t in range(0, clip.frames, 5))


@pytest.mark.parametrize("t", [-1, 48, 1000])
def test_frames_beyond_the_clip_are_refused(t):
    with pytest.raises(IndexError, match="48 frames"):
        make_clip(0).frame(t)


def test_a_clip_of_one_frame():
    clip = make_clip(3, frames=1)
    assert render(clip.frame(0), (64, 64)).image.shape == (64, 64, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_motion_is_smooth(seed):
    """From one frame to the next, nothing moves by more than 5 % of the image, and something moves."""
    clip = make_clip(seed)
    where = np.array([[(b.pose.u, b.pose.v) for b in clip.frame(t).things] for t in range(clip.frames)])
    steps = np.abs(np.diff(where, axis=0))
    assert steps.max() < 0.05
    assert steps.sum(0).max() > 0.02 or clip.pan_uv[0] != 0


def test_phrases_are_those_of_the_first_frame(followed):
    for clip, found in followed:
        known = {(e.text, e.kind, e.part_ids, e.target) for e in expressions(clip.frame(0))}
        assert {(e.text, e.kind, e.part_ids, e.target) for e in found} <= known


def test_targets_move_stay_and_are_hidden_exactly_when_said(followed):
    for clip, found in followed:
        maps = [render_parts(clip.frame(t), (256, 256)) for t in range(clip.frames)]
        for expression in found:
            visible = np.array([np.isin(part_map, expression.part_ids).any() for part_map in maps])
            assert visible[0] and visible[-1] and visible.mean() >= 0.5
            assert expression.hidden_frames == tuple(np.flatnonzero(~visible))
            assert expression.returns == (not visible.all())
            moved = np.isin(maps[0], expression.part_ids) ^ np.isin(maps[-1], expression.part_ids)
            assert moved.mean() > 0.002


def test_a_good_share_of_clips_has_a_full_occlusion(followed):
    assert np.mean([any(expression.returns for expression in found) for _, found in followed]) >= 0.25
    assert np.mean([bool(found) for _, found in followed]) >= 0.8
