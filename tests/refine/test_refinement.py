"""Which refinements a checkpoint asks for, and the shift to the best expected IoU."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.refine.refinement import Refinement, iou_optimal_shift

OLDER = {
    "presence_threshold": 0.7,
    "self_prompts": True,
    "follows_edges": True,
    "iou_thresholds": True,
    "drops_strays": True,
}
ALL = Refinement(0.7, True, True, 1.0, True)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Refinement()),
        ({"refinement": {}}, Refinement()),
        ({"refinement": {"reject_below": 0.7, "iou_shift": 0.35}}, Refinement(reject_below=0.7, iou_shift=0.35)),
        ({"refinement": ALL.to_config()}, ALL),
        (OLDER, ALL),
        ({"iou_thresholds": 0.35}, Refinement(iou_shift=0.35)),
    ],
)
def test_read_from_a_config(config, expected):
    assert Refinement.from_config(config) == expected


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"refinement": []}, "write an object"),
        ({"refinement": {"sharpen": True}}, "refinement: 'sharpen'; write only reject_below"),
        ({"refinement": {"reject_below": 9}}, "reject_below: 9; write a number from 0 to 1"),
        ({"refinement": {"reject_below": float("nan")}}, "reject_below: nan"),
        ({"refinement": {"reject_below": True}}, "reject_below: True"),
        ({"refinement": {"iou_shift": None}}, "iou_shift: None"),
        ({"refinement": {"point_refinement": "no"}}, "point_refinement: 'no'; write true or false"),
        ({"presence_threshold": "x"}, "presence_threshold: 'x'"),
        ({"drops_strays": 1}, "drops_strays: 1"),
    ],
)
def test_refused(config, said):
    with pytest.raises(ValueError, match=said):
        Refinement.from_config(config)


@pytest.mark.parametrize(
    ("below", "presence", "rejected"),
    [(None, 0.0, False), (0.5, 0.4, True), (0.5, 0.5, False), (0.5, None, False), (1.0, 0.999, True)],
)
def test_rejection(below, presence, rejected):
    assert Refinement(reject_below=below).rejects(presence) == rejected


def test_logits_are_raised_to_where_the_expected_iou_is_best():
    """Pixels in or out by chance, with known probabilities: no other threshold gives a better IoU on average."""
    rng = np.random.default_rng(0)
    chances = rng.beta(0.3, 0.7, 400)
    truths = rng.random((3000, 400)) < chances
    thresholds = np.linspace(0.05, 0.95, 91)

    def iou(threshold: float) -> float:
        mask = chances > threshold
        return float(((truths & mask).sum(1) / (truths | mask).sum(1)).mean())

    best = thresholds[np.argmax([iou(t) for t in thresholds])]
    raised = iou_optimal_shift(iou(best))
    chosen = 1 / (1 + np.exp(raised))  # the probability whose logit is now 0
    assert chosen < 0.45 and iou(chosen) == pytest.approx(iou(best), abs=0.002) and iou(0.5) < iou(best) - 0.005


@pytest.mark.parametrize(("predicted", "raised"), [(1.0, 0.0), (1.3, 0.0), (0.5, 0.6931), (0.1, 1.204), (-0.2, 1.204)])
def test_a_predicted_iou_out_of_bounds_raises_no_more_than_its_bound(predicted, raised):
    assert iou_optimal_shift(predicted) == pytest.approx(raised, abs=1e-3)
