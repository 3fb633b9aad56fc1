"""From a shell: a picture and phrases become masks, an overlay and a JSON that agree with each other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from evfsam import load_model
from evfsam.__main__ import main
from evfsam.cli.segment import split_arguments
from evfsam.data.scenes import make_scene, render
from evfsam.media.export import decode_rle

PHRASES = ["the red car", "[semantic] sky"]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "My Picture.png"
    Image.fromarray(render(make_scene(900_000), (96, 128)).image).save(path)
    return path


def test_files_and_json_agree(picture, tmp_path, random_checkpoint, capsys):
    out = tmp_path / "deep" / "out"
    assert main(["segment", str(picture), *PHRASES, "--model", str(random_checkpoint), "-o", str(out)]) == 0
    result = json.loads((out / "result.json").read_text())
    assert (result["model"], result["precision"]) == ("random-sam2", "fp32")
    (entry,) = result["pictures"]
    assert entry["size_hw"] == [96, 128]
    assert Image.open(out / entry["overlay"]).size == (128, 96)
    expected = load_model(random_checkpoint, device="cpu").segment(np.asarray(Image.open(picture)), PHRASES)
    for row, answer in zip(entry["results"], expected, strict=True):
        mask = np.asarray(Image.open(out / row["mask"]))
        assert set(np.unique(mask)) <= {0, 255}
        assert ((mask == 255) == answer.mask).all() and (decode_rle(row["rle"]) == answer.mask).all()
        assert row["prompt"] == answer.prompt and row["score"] == pytest.approx(answer.score, abs=1e-4)
        assert row["area_px"] == answer.mask.sum()
        assert (tuple(row["box_xyxy"]) if row["box_xyxy"] else None) == answer.box_xyxy
    assert {path.name for path in out.iterdir()} == {
        "result.json",
        entry["overlay"],
        *(row["mask"] for row in entry["results"]),
    }
    told = capsys.readouterr().out
    assert all(phrase in told for phrase in PHRASES)


def test_json_alone_on_standard_output(picture, tmp_path, random_checkpoint, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert main(["segment", str(picture), "the car", "--model", str(random_checkpoint), "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert decode_rle(result["pictures"][0]["results"][0]["rle"]).shape == (96, 128)
    assert set(tmp_path.iterdir()) == before


def test_a_folder_with_a_broken_picture(picture, tmp_path, random_checkpoint, capsys):
    """The others are done, pictures of the same name stay apart, and the exit code tells."""
    Image.open(picture).save(tmp_path / "my-picture.bmp")
    (tmp_path / "a broken one.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path), "the car", "--model", str(random_checkpoint), "-o", str(out)]) == 2
    entries = json.loads((out / "result.json").read_text())["pictures"]
    assert [entry["picture"].rsplit("/")[-1] for entry in entries] == ["My Picture.png", "my-picture.bmp"]
    assert len({entry["overlay"] for entry in entries} | {e["results"][0]["mask"] for e in entries}) == 4
    assert "'a broken one.jpg' is not an image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "pictures"),
    [
        (["a.jpg", "the car"], 1),
        (["a.jpg", "b.PNG", "the car", "sky"], 2),
        (["no suffix", "the car"], 1),
        (["a.jpg", "the car", "b.jpg"], 1),  # after the first phrase all are phrases
        (["a.jpg", ""], 1),
        (["a.jpg", "tests", "the car"], 2),  # a folder that is there
    ],
)
def test_pictures_come_first(arguments, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    assert split_arguments(arguments) == (arguments[:pictures], arguments[pictures:])
