"""``python -m evfsam train``: what it refuses, before anything is rendered."""

from __future__ import annotations

import pytest

from evfsam.__main__ import main

REFUSED = {
    "half a worker": (["--workers", "1.5"], "--workers is 1.5: give a whole number"),
    "no number": (["--steps", "nan"], "--steps is 'nan': give a whole number"),
    "a seed below 0": (["--seed", "-1"], "--seed is -1: give a whole number from 0"),
    "an unknown stage": (["--stages", "sleep"], "no stage 'sleep'"),
    "an unknown recipe": (["--recipe", "evf-sam3"], "no recipe 'evf-sam3'"),
    "no scenes a step": (["--batch", "0"], "--batch is 0: give a whole number of at least 1"),
    "fewer than no workers": (["--workers", "-1"], "--workers is -1: give a whole number of at least 1"),
    "no steps": (["--steps", "0"], "--steps is 0: give a whole number of at least 1"),
    "an unknown encoder": (["--recipe", "paper-sam2", "--encoder", "bert"], "no encoder 'bert'"),
    "an encoder of the paper for another recipe": (
        ["--encoder", "clip-large-text"],
        "--encoder is for a recipe of found",
    ),
    "no scenes": (["--scenes", "0"], "--scenes is 0: give a whole number of at least 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused_in_a_sentence(name, tmp_path, capsys):
    options, told = REFUSED[name]
    assert main(["train", "--out", str(tmp_path / "run"), *options]) == 2
    error = capsys.readouterr().err
    assert told in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["", "\0", "a" * 300, __file__, f"{__file__}/below"])
def test_a_folder_that_cannot_be_written(name, capsys):
    assert main(["train", "--out", name]) == 2
    assert "cannot be written" in capsys.readouterr().err
