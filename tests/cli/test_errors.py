"""What a user does wrong is answered by one sentence on standard error and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from evfsam.__main__ import main

# What is typed -> what the sentence must say. {x} are files of the fixture.
REFUSED = {
    "no file": (["segment", "{folder}/none.jpg", "car"], "no file"),
    "no picture": (["segment", "{text}", "car"], "not an image"),
    "empty file": (["segment", "{empty}", "car"], "empty"),
    "truncated": (["segment", "{truncated}", "car"], "damaged"),
    "empty folder": (["segment", "{folder}/nothing", "car"], "no pictures"),
    "no phrase": (["segment", "{picture}"], "what to look for"),
    "empty phrase": (["segment", "{picture}", " "], "phrase is empty"),
    "prefix alone": (["segment", "{picture}", "[semantic] "], "phrase is empty"),
    "punctuation": (["segment", "{picture}", "car", "?!"], "phrase is empty"),
    "out is a file": (["segment", "{picture}", "car", "-o", "{text}"], "cannot be written"),
    "misspelt model": (
        ["segment", "{picture}", "car", "--model", "evf-sam2-multitsak"],
        "evf-sam2-multitask",
    ),
    "unknown model": (["evaluate", "--model", "gpt"], "Known ones"),
    "model is a file": (["evaluate", "--model", "{picture}"], "name the folder"),
    "folder without model": (["evaluate", "--model", "{folder}/nothing"], "no config.json"),
    "no such device": (["evaluate", "--device", "toaster"], "Unknown device"),
    "precision": (["segment", "{picture}", "car", "--device", "cpu", "--precision", "fp7"], "fp32"),
    "no scenes": (["evaluate", "--count", "0"], "count from 1"),
    "negative seed": (["evaluate", "--seed", "-5"], "seed from 0"),
    "tiny pictures": (["evaluate", "--size", "3"], "16 pixels"),
}


@pytest.fixture
def files(tmp_path):
    """The paths that the table names."""
    paths = {name: tmp_path / f"{name}.png" for name in ("picture", "text", "empty", "truncated")}
    Image.effect_noise((64, 48), 60).convert("RGB").save(paths["picture"])
    paths["text"].write_text("hello")
    paths["empty"].write_bytes(b"")
    paths["truncated"].write_bytes(paths["picture"].read_bytes()[:900])
    (tmp_path / "nothing").mkdir()
    return {**paths, "folder": tmp_path}


@pytest.mark.parametrize("name", REFUSED)
def test_one_sentence(name, files, random_checkpoint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed, said = REFUSED[name]
    arguments = [argument.format(**files) for argument in typed]
    if "--model" not in arguments:
        arguments += ["--model", str(random_checkpoint)]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and said in told.err
    assert told.out == "" and not (tmp_path / "out" / "result.json").exists()


def test_a_real_shell_sees_no_traceback():
    command = [sys.executable, "-m", "evfsam", "evaluate", "--model", "no-such-model"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("evfsam: There is no checkpoint 'no-such-model'")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["fly"], ["segment"], ["evaluate", "--count", "many"]])
def test_usage_for_what_is_no_command(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and "usage:" in capsys.readouterr().err
