"""A wrong value is answered by one sentence on standard error and exit code 2, before any work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from evfsam.__main__ import main

# What is typed -> what the sentence must say. {x} are files of the fixture.
LONG = "a" * 100_000
REFUSED = {
    "no file": (["segment", "{folder}/none.jpg", "car"], "There is no file"),
    "no second file": (["segment", "{picture}", "none.jpg", "car"], "There is no file 'none.jpg'"),
    "no image": (["segment", "{text}", "car"], "is not a"),
    "empty file": (["segment", "{empty}", "car"], "empty"),
    "truncated": (["segment", "{truncated}", "car"], "damaged"),
    "empty folder": (["segment", "{folder}/nothing", "car"], "no images in the folder"),
    "endless name": (["segment", LONG, "car"], "There is no file"),
    "NUL in a name": (["segment", "a\0.png", "car"], "There is no file"),
    "no prompt": (["segment", "{picture}"], "what to look for"),
    "empty prompt": (["segment", "{picture}", " "], "prompt is empty"),
    "prefix alone": (["segment", "{picture}", "[semantic] "], "prompt is empty"),
    "punctuation": (["segment", "{picture}", "car", "?!"], "prompt is empty"),
    "endless prompt": (["segment", "{picture}", LONG], "A prompt has 100,000 characters: shorten it"),
    "half a character": (["segment", "{picture}", "car \udc80"], "half a character"),
    "many prompts": (["segment", "{picture}", *["car"] * 201], "at most 200"),
    "-p without images": (["segment", "car", "-p", "car"], "There is no file 'car'"),
    "out is a file": (["segment", "{picture}", "car", "-o", "{text}"], "cannot be written"),
    "out is in a file": (["segment", "{picture}", "car", "-o", "{text}/deep/out"], "cannot be written"),
    "out without a name": (["segment", "{picture}", "car", "-o", " "], "cannot be written"),
    "endless out": (["segment", "{picture}", "car", "-o", LONG], "cannot be written"),
    "NUL in out": (["segment", "{picture}", "car", "-o", "o\0ut"], "cannot be written"),
    "JSON in no folder": (["segment", "{picture}", "car", "--json", "{folder}/such/x.json"], "There is no folder"),
    "JSON is a folder": (["segment", "{picture}", "car", "--json", "{folder}"], "it is a folder"),
    "JSON over the image": (["segment", "{picture}", "car", "--json", "{picture}"], "would be overwritten"),
    "cut-outs nowhere": (["segment", "{picture}", "car", "--json", "-", "--cutouts"], "name a folder"),
    "threshold nan": (["segment", "{picture}", "car", "--threshold", "nan"], "--threshold is 'nan': give a number"),
    "threshold 0": (["segment", "{picture}", "car", "--threshold", "0"], "--threshold is 0: give a number between"),
    "threshold 50 %": (["segment", "{picture}", "car", "--threshold", "50"], "for example 0.5"),
    "threshold in words": (["segment", "{picture}", "car", "--threshold", "half"], "--threshold is 'half'"),
    "half a point": (["segment", "{picture}", "car", "--point", "5"], "--point is '5': give X,Y"),
    "a point in words": (["segment", "{picture}", "car", "--point", "5,left"], "--point is 'left'"),
    "a point nowhere": (["segment", "{picture}", "car", "--point", "nan,5"], "--point is 'nan'"),
    "a point beside the image": (
        ["segment", "{picture}", "car", "--point", "64.5,5"],
        "x from 0 to 64 and y from 0 to 48",
    ),
    "a label of 2": (["segment", "{picture}", "car", "--point", "5,5,2"], "The label of --point is 2"),
    "half a box": (["segment", "{picture}", "car", "--box", "5,5,9"], "A box has 3 numbers"),
    "an empty box": (["segment", "{picture}", "car", "--box", "5,5,5,9"], "is empty"),
    "a box beside the image": (["segment", "{picture}", "car", "--box", "5,5,9,99"], "outside the image"),
    "two boxes": (["segment", "{picture}", "car", "--box", "5,5,9,9", "--box", "5,5,9,9"], "given twice"),
    "an empty prompt with a point": (["segment", "{picture}", " ", "--point", "5,5"], "prompt is empty"),
    "misspelt option": (["segment", "{picture}", "car", "--treshold", "0.5"], "arguments: --treshold"),
    "option without value": (["segment", "{picture}", "car", "-o"], "expected one argument"),
    "misspelt model": (["segment", "{picture}", "car", "--model", "evf-sam2-multitsak"], "evf-sam2-multitask"),
    "unknown model": (["evaluate", "--model", "gpt"], "Known ones"),
    "model is a file": (["evaluate", "--model", "{picture}"], "name the folder"),
    "folder without model": (["evaluate", "--model", "{folder}/nothing"], "no config.json"),
    "no such device": (["evaluate", "--device", "toaster"], "Unknown device"),
    "precision": (["segment", "{picture}", "car", "--device", "cpu", "--precision", "fp7"], "fp32"),
    "no scenes": (["evaluate", "--count", "0"], "--count is 0: give a whole number of at least 1"),
    "many scenes": (["evaluate", "--count", "many"], "--count is 'many'"),
    "negative seed": (["evaluate", "--seed", "-5"], "--seed is -5: give a whole number of at least 0"),
    "tiny pictures": (["evaluate", "--size", "3"], "--size is 3: give a whole number from 16"),
    "no images": (["segment"], "python -m evfsam segment --help"),
    "unknown verb": (["fly"], "python -m evfsam --help"),
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
    if "--model" not in arguments and arguments[0] in ("segment", "evaluate"):
        arguments += ["--model", str(random_checkpoint)]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and said in told.err and len(told.err) < 500
    assert told.out == "" and not (tmp_path / "such").exists()
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.skipif(os.name != "posix", reason="a shell closes streams so")
@pytest.mark.parametrize(("stream", "verb", "code"), [("<&-", "track - dog", 2), (">&-", "models --json", 0)])
def test_a_stream_that_the_shell_has_closed(stream, verb, code, tmp_path):
    command = f"{sys.executable} -m evfsam {verb} {stream}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == code and done.stderr.count("\n") == bool(code)
    assert not list(tmp_path.iterdir())


def test_a_real_shell_sees_no_traceback():
    command = [sys.executable, "-m", "evfsam", "evaluate", "--model", "no-such-model"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("evfsam: There is no checkpoint 'no-such-model'")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [[], ["segment"], ["track"], ["evaluate"], ["train"], ["models"]])
def test_help_names_the_default_model(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*verb, "--help"])
    assert stopped.value.code == 0 and "evf-sam2-tiny" in capsys.readouterr().out


def test_without_a_verb_the_help_is_shown(capsys):
    assert main([]) == 2
    assert "Verbs:" in capsys.readouterr().err


def test_an_unexpected_error_is_one_sentence_that_says_how_to_see_more(files, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("the weights\nmelted")

    monkeypatch.setattr("evfsam.cli.segment.load_model", fail)
    arguments = ["segment", str(files["picture"]), "car", "-o", str(files["folder"] / "out")]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "RuntimeError: the weights melted" in told and "EVFSAM_DEBUG=1" in told
    monkeypatch.setenv("EVFSAM_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(arguments)


def test_a_full_memory_is_told_as_such(files, monkeypatch, capsys):
    def fail(*_):
        raise torch.OutOfMemoryError("tried to allocate 5 GiB")

    monkeypatch.setattr("evfsam.cli.segment.load_model", fail)
    assert main(["segment", str(files["picture"]), "car", "-o", str(files["folder"] / "out")]) == 1
    assert "memory is full" in capsys.readouterr().err


def test_a_reader_that_goes_away_gets_no_traceback():
    done = subprocess.run(
        f"{sys.executable} -m evfsam models --json | head -c 1", shell=True, capture_output=True, text=True
    )
    assert done.stdout == "{" and done.stderr == ""


def test_the_verb_app_reads_the_options_of_the_page(capsys):
    assert main(["app", "--port", "99999"]) == 2
    assert capsys.readouterr().err == "evfsam app: port is 99999: give a whole number from 1 to 65,535.\n"
