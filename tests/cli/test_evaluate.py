"""The evaluate verb prints and writes the same scores as the library computes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evfsam import Predictor
from evfsam.__main__ import main
from evfsam.evaluation.report import to_json
from evfsam.evaluation.runner import evaluate_scenes
from tests.data.photographs import make_pack

SCENES = ["evaluate", "--data", "scenes", "--seed", "900000", "--count", "2", "--size", "64"]


def test_scores_are_printed_and_written(random_checkpoint, tmp_path, capsys):
    path = tmp_path / "out.json"
    assert main([*SCENES, "--model", str(random_checkpoint), "--exchange", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    evaluation = evaluate_scenes(Predictor.from_pretrained(random_checkpoint), 900_000, 2, (64, 64), exchange=True)
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


def test_answered_once_is_what_the_checkpoint_says_without_a_click_of_its_own(tmp_path, capsys):
    paths = [tmp_path / "twice.json", tmp_path / "once.json"]
    command = ["evaluate", "--seed", "900000", "--count", "1", "--model", "evf-sam2-tiny"]
    for path, options in zip(paths, ([], ["--once"]), strict=True):
        assert main([*command, *options, "--json", str(path)]) == 0
    twice, once = (json.loads(path.read_text())["scores"] for path in paths)
    predictor = Predictor.from_pretrained("evf-sam2-tiny")
    first = predictor.with_refinement(replace(predictor.info.refinement, point_refinement=False))
    plain = evaluate_scenes(first, 900_000, 1)
    assert once == to_json(plain)["scores"]
    assert once["referring"] != twice["referring"] and once["stuff"] == twice["stuff"]


def test_json_alone_on_standard_output(random_checkpoint, capsys):
    assert main([*SCENES, "--model", str(random_checkpoint), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == "scenes"


@pytest.mark.parametrize("measure", ["robustness", "clicks"])
def test_other_measures_are_printed_and_written(random_checkpoint, tmp_path, capsys, monkeypatch, measure):
    monkeypatch.setattr("evfsam.evaluation.robustness.SIZES", (32,))
    path = tmp_path / "out.json"
    command = ["evaluate", f"--{measure}", "--count", "1", "--model", str(random_checkpoint), "--json", str(path)]
    assert main(command) == 0
    result = json.loads(path.read_text())
    table = capsys.readouterr().out
    assert result["measure"] == measure and all(name in table for name in result["scores"])


def test_photographs_are_scored_from_their_folder(random_checkpoint, tmp_path, capsys):
    folder = make_pack(tmp_path)
    command = ["evaluate", "--data", "ccp", "--folder", str(folder), "--count", "1", "--composed", "1"]
    assert main([*command, "--model", str(random_checkpoint), "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["data"] == "ccp" and result["prompts"]["[semantic] coat"]["samples"] == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--data", "ccp"], "--folder"),
        (["--workers", "0"], "from 1 to 256"),
        (["--json", "nowhere/scores.json"], "no folder 'nowhere'"),
        (["--data", "clips", "--clicks"], "measured on scenes"),
        (["--data", "ccp", "--folder", "nowhere"], "no pack of photographs"),
    ],
)
def test_what_cannot_be_measured_is_said(random_checkpoint, capsys, options, told):
    assert main(["evaluate", *options, "--model", str(random_checkpoint)]) == 2
    assert told in capsys.readouterr().err
