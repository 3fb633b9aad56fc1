"""The simulated user: points and boxes fit the target, corrections hit errors."""

from __future__ import annotations

import numpy as np
import torch

from evfsam.training.point_prompts import (
    PointSimulator,
    corrected,
    sample_boxes,
    sample_corrections,
    sample_points,
)
from evfsam.types import MaskLogits


def test_points_and_boxes_fit_the_target():
    rng = np.random.default_rng(0)
    coverage = torch.zeros(2, 32, 32)
    coverage[0, 4:12, 20:30] = 1
    coverage[1, 20:22, 3:5] = 1
    points, labels = sample_points(coverage, 4, rng, image_size=128)
    cells = (points / 4).long()
    inside = coverage[torch.arange(2)[:, None], cells[..., 1], cells[..., 0]] > 0.5
    assert torch.equal(inside, labels.bool()) and labels[:, 0].all()
    boxes = sample_boxes(coverage, rng, image_size=128)
    assert torch.allclose(boxes[0], torch.tensor([80.0, 16, 120, 48]), atol=12)
    many = sample_boxes(coverage[:1].expand(200, -1, -1), rng, image_size=128)
    assert 60 < (many == torch.tensor([80.0, 16, 120, 48])).all(1).sum() < 140  # half are drawn exactly


def test_corrections_hit_what_is_wrong():
    simulator = PointSimulator(np.random.default_rng(0), image_size=128)
    coverage = torch.zeros(3, 32, 32)
    coverage[:, 4:12, 20:30] = 1
    answer = torch.full((3, 32, 32), -1.0)
    answer[0, 4:12, 20:26] = 1  # a piece is missing
    answer[1, 4:12, 15:30] = 1  # a piece too much
    answer[2, 4:12, 20:30] = 1  # all right
    for _ in range(20):
        points, labels = simulator.corrections(coverage, answer)
        x, y = (points[:, 0] / 4).long().T
        assert labels.flatten().tolist() == [1, 0, 1] and ((y >= 4) & (y < 12)).all()
        assert 26 <= x[0] < 30 and 15 <= x[1] < 20 and 20 <= x[2] < 30


def test_about_a_third_is_corrected_by_one_point_or_more():
    rng = np.random.default_rng(0)
    counts = [sample_corrections(3, rng) for _ in range(600)]
    assert set(counts) == {0, 1, 2, 3} and 150 < sum(count > 0 for count in counts) < 250


def test_each_correction_goes_into_the_answer_before_it_and_the_last_one_is_learned_from():
    coverage = torch.zeros(2, 32, 32)
    coverage[:, 4:12, 4:28] = 1
    seen, answers = [], []
    weight = torch.ones((), requires_grad=True)

    def decode(points):
        """Marks what is clicked on, and a little more with every click."""
        seen.append(points)
        logits = torch.full((2, 32, 32), -1.0)
        logits[:, 4:12, 4 : 8 + 6 * points[0].shape[1]] = 1
        answers.append(MaskLogits(logits * weight, torch.ones(2)))
        return answers[-1]

    first = torch.full((2, 32, 32), -1.0)
    given = (torch.tensor([[[20.0, 20.0]]] * 2), torch.ones(2, 1, dtype=torch.int64))
    simulator = PointSimulator(np.random.default_rng(0), image_size=128)
    last = corrected(decode, [simulator.corrections] * 3, coverage, first, given)
    assert [points.shape[1] for points, _ in seen] == [2, 3, 4] and torch.equal(seen[-1][0][:, :1], given[0])
    assert last is answers[-1] and [a.low_res_masks.requires_grad for a in answers] == [False, False, True]
    for before, (points, labels) in zip([first, *(a.low_res_masks for a in answers)], seen, strict=False):
        x, y = (points[0, -1] / 4).long().tolist()
        assert (before[0, y, x] > 0) != (coverage[0, y, x] > 0.5) and labels[0, -1] == coverage[0, y, x]


def test_words_for_one_thing_also_get_a_point_where_they_were_answered_and_words_for_many_never():
    simulator = PointSimulator(np.random.default_rng(0), image_size=128)
    coverage = torch.zeros(2, 32, 32)
    coverage[:, 20:30, 4:12] = 1
    answer = torch.full((2, 32, 32), -1.0)
    answer[:, 4:13, 20:29] = 3  # another thing
    own = {phrase: [] for phrase in ("the red car", "[semantic] car")}
    one_thing = torch.tensor([True, False])
    for _ in range(60):
        points, labels = simulator.second_points(one_thing, coverage, answer)
        assert points.shape == (2, 1, 2) and labels.shape == (2, 1) and labels.dtype == torch.int64
        for phrase, (x, y), label in zip(own, (points[:, 0] / 4).long().tolist(), labels[:, 0].tolist(), strict=True):
            own[phrase].append(label == 1 and (x, y) == (24, 8))  # else "here" on the truth, or "not here"
            assert own[phrase][-1] or label == (coverage[0, y, x] > 0.5)
    assert 15 < sum(own["the red car"]) < 45 and not any(own["[semantic] car"])
