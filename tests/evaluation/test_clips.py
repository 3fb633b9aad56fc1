from __future__ import annotations

import numpy as np
import pytest

from evfsam.evaluation import clips
from evfsam.evaluation.clips import ClipScores, clip_samples


def masks(*rows: str) -> np.ndarray:
    """One row of pixels a frame: "x" inside."""
    return np.array([[[pixel == "x" for pixel in row]] for row in rows])


@pytest.mark.parametrize(
    "answer, truth, j, after, hidden",
    [
        (("xx--", "xx--"), ("xx--", "xx--"), 1.0, None, None),
        (("xx--", "x---"), ("xx--", "xx--"), 0.75, None, None),
        (("xx--", "----", "--xx"), ("xx--", "----", "-xx-"), (1 + 1 / 3) / 2, 1 / 3, 1.0),
        (("xx--", "xx--", "----"), ("xx--", "----", "-xx-"), 0.5, 0.0, 0.0),
    ],
)
def test_scores_of_a_clip(answer, truth, j, after, hidden):
    scores = ClipScores()
    scores.add(masks(*answer), masks(*truth))
    found = scores.to_json()
    assert found["J"] == pytest.approx(j, abs=1e-5)
    assert found["J_after_occlusion"] == (None if after is None else pytest.approx(after, abs=1e-5))
    assert found["hidden_answered_empty"] == hidden


def test_a_target_is_there_on_the_first_frame(monkeypatch):
    monkeypatch.setattr(clips, "FRAMES", 8)
    samples = list(clip_samples(range(900_000, 900_003)))
    assert samples and all(sample.targets[0].any() and sample.phrase for sample in samples)
    assert all(sample.targets.shape == sample.pictures_rgb.shape[:3] for sample in samples)
