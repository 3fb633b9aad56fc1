"""The benchmark of video runs on a small model: it has to work on the day it is needed."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import video_speed
from evfsam.checkpoints.load import load_checkpoint
from evfsam.predictor import Predictor
from evfsam.runtime import choose_runtime
from tests.random_tracker import save_random_tracker


def test_shares_of_a_frame(tmp_path):
    predictor = Predictor(load_checkpoint(save_random_tracker(tmp_path / "tiny")), choose_runtime("cpu"))
    figures = video_speed.shares(predictor, 6, (48, 64), again=False)
    assert {"image encoder", "memory attention", "memory encoder"} <= {key.removesuffix(" share") for key in figures}
    assert all(0 < value < 1 for key, value in figures.items() if key.endswith("share"))


@pytest.mark.slow
def test_two_checkouts_run_in_turns(tmp_path, monkeypatch, capsys):
    model = str(save_random_tracker(tmp_path / "tiny"))
    written = tmp_path / "speed.json"
    small = ["--model", model, "--seconds", "0.3", "--rounds", "1", "--side", "96", "--json", str(written)]
    monkeypatch.setattr(sys, "argv", ["video_speed", *small, "--before", str(video_speed.ROOT)])
    assert video_speed.main() == 0
    rows = json.loads(written.read_text())["whole"]
    assert [(row["version"], row["again"]) for row in rows] == [
        (v, a) for a in (True, False) for v in ("this", "before")
    ]
    assert all(row["time_of_this"] > 0 for row in rows if row["version"] == "before")
    assert "frames_per_s" in capsys.readouterr().out
