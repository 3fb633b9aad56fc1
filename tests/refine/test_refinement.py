"""Which refinements a checkpoint asks for."""

from __future__ import annotations

import pytest

from evfsam.refine.refinement import Refinement

OLDER = {
    "presence_threshold": 0.7,
    "self_prompts": True,
    "follows_edges": True,
}
ALL = Refinement(0.7, True, True)
ALL_AND_THRESHOLD = Refinement(0.7, True, True, True, 0.3)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, Refinement()),
        ({"refinement": {}}, Refinement()),
        ({"refinement": {"reject_below": 0.7, "guided_filter": True}}, Refinement(0.7, guided_filter=True)),
        ({"refinement": ALL.to_config()}, ALL),
        ({"refinement": ALL_AND_THRESHOLD.to_config()}, ALL_AND_THRESHOLD),
        (OLDER, ALL),
        ({"iou_thresholds": 0.35, "drops_strays": True}, Refinement()),
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
        ({"refinement": {"point_refinement": "no"}}, "point_refinement: 'no'; write true or false"),
        ({"refinement": {"text_threshold": 0}}, "text_threshold: 0; write a number between 0 and 1"),
        ({"refinement": {"text_threshold": float("nan")}}, "text_threshold: nan"),
        ({"refinement": {"text_threshold": "0.5"}}, "text_threshold: '0.5'"),
        ({"presence_threshold": "x"}, "presence_threshold: 'x'"),
        ({"follows_edges": 1}, "follows_edges: 1"),
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
