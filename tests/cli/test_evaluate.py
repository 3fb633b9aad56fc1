"""The evaluate verb prints and writes the same scores as the library computes."""

from __future__ import annotations

import json

from evfsam import load_model
from evfsam.__main__ import main
from evfsam.evaluation.report import to_json
from evfsam.evaluation.runner import evaluate_scenes

SCENES = ["evaluate", "--data", "scenes", "--seed", "900000", "--count", "2", "--size", "64"]


def test_scores_are_printed_and_written(random_checkpoint, tmp_path, capsys):
    path = tmp_path / "out.json"
    assert main([*SCENES, "--model", str(random_checkpoint), "--exchange", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    evaluation = evaluate_scenes(load_model(random_checkpoint), 900_000, 2, (64, 64), exchange=True)
    assert result["scores"] == to_json(evaluation)["scores"]
    assert (result["model"], result["seed"], result["count"], result["split"]) == (
        "random-sam2",
        900_000,
        2,
        "test",
    )
    table = capsys.readouterr().out
    for kind, row in result["scores"].items():
        line = next(line for line in table.splitlines() if line.startswith(f"{kind} "))
        assert f"{row['model']['giou']:.3f}" in line and f"{row['exchanged']['giou']:.3f}" in line


def test_json_alone_on_standard_output(random_checkpoint, capsys):
    assert main([*SCENES, "--model", str(random_checkpoint), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == "scenes"
