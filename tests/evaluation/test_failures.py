"""The page of failures shows the worst answers, of several kinds and scenes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from benchmarks.failures import Case, main, worst

NOTHING = np.zeros((2, 2), bool)


def case(seed: int, kind: str = "place", iou: float = 0.0, wrong: float = 0.1) -> Case:
    return Case(seed, kind, "the car", iou, wrong, np.zeros((2, 2, 3), np.uint8), NOTHING, NOTHING)


def test_the_worst_come_first_one_a_scene_and_no_kind_takes_the_page():
    cases = [case(1, wrong=0.1), case(2, wrong=0.3), case(2, "size", wrong=0.2), case(3, iou=0.9), case(4, "size", 0.5)]
    assert [(c.seed, c.iou) for c in worst(cases)] == [(2, 0), (1, 0), (4, 0.5), (3, 0.9)]
    many = [case(seed) for seed in range(40)] + [case(99, "colour", 0.8)]
    chosen = worst(many)
    assert len(chosen) == 7 and chosen[-1].kind == "colour"  # 2 * 24 / 9, and the other kind


def test_a_page_is_written(random_checkpoint, tmp_path):
    main([str(random_checkpoint), "--count", "3", "--out", str(tmp_path)])
    text = (tmp_path / "failures-random-sam2.md").read_text()
    assert "| 3 |" in text and "| 4 |" not in text and "failures-random-sam2.png" in text
    assert Image.open(tmp_path / "failures-random-sam2.png").size == (1064, 308)
