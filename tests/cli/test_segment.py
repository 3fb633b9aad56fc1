"""From a shell: an image and prompts become masks, an overlay and a JSON that agree with each other."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from evfsam.__main__ import main
from evfsam.cli.segment import split_arguments
from evfsam.data.scenes import make_scene, render
from evfsam.media.export import decode_rle
from evfsam.predictor import Predictor
from evfsam.resources import ASSETS
from evfsam.types import PointPrompt

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
    expected = Predictor.from_pretrained(random_checkpoint, device="cpu").segment(
        np.asarray(Image.open(picture)), PHRASES
    )
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
    (tmp_path / "._My Picture.png").write_bytes(b"not looked at, as all hidden files")
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path), "the car", "--model", str(random_checkpoint), "-o", str(out)]) == 2
    entries = json.loads((out / "result.json").read_text())["pictures"]
    assert [entry["picture"].rsplit("/")[-1] for entry in entries] == ["My Picture.png", "my-picture.bmp"]
    assert len({entry["overlay"] for entry in entries} | {e["results"][0]["mask"] for e in entries}) == 4
    told = capsys.readouterr().err
    assert "'a broken one.jpg' is not an image" in told and "._My" not in told


@pytest.mark.parametrize(
    ("arguments", "images"),
    [
        (["a.jpg", "the car"], 1),
        (["a.jpg", "b.PNG", "the car", "sky"], 2),
        (["no suffix", "the car"], 1),
        (["a.jpg", "the car", "b.jpg"], 1),  # after the first prompt all are prompts
        (["a.jpg", ""], 1),
        (["dog", "the car"], 1),
        (["a.jpg", "./dog", "the car"], 2),
        (["a.jpg", "dog/", "the car"], 2),
        (["a.jpg", "./note", "the car"], 2),
        (["a.jpg", "black/white car"], 1),
        (["a.jpg", "a" * 5000], 1),
        (["a.jpg", "a\0b"], 1),
    ],
)
def test_images_come_first(arguments, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dog").mkdir()
    (tmp_path / "note").write_text("")
    assert split_arguments(arguments) == (arguments[:images], arguments[images:])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("prompt", ["dog", "note"])
def test_a_prompt_with_the_name_of_a_file_or_folder_is_a_prompt_and_a_note_says_so(
    prompt, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dog").mkdir()
    (tmp_path / "note").write_text("")
    assert split_arguments(["a.jpg", prompt, "the car"]) == (["a.jpg"], [prompt, "the car"])
    assert f"'{prompt}' is read as a prompt" in capsys.readouterr().err
    assert split_arguments(["a.jpg", prompt], ["b.png"]) == (["a.jpg", prompt], ["b.png"])


def test_threshold_and_cutouts(picture, tmp_path, random_checkpoint, capsys):
    """A higher threshold gives a smaller mask; the cut-out is the image inside it."""
    areas = []
    for threshold in ("0.2", "0.5", "0.8"):
        out = tmp_path / threshold
        options = ["-p", "the car", "--threshold", threshold, "--cutouts", "-o", str(out)]
        assert main(["segment", str(picture), *options, "--model", str(random_checkpoint)]) == 0
        told = capsys.readouterr().out
        result = json.loads((out / "result.json").read_text())
        (row,) = result["pictures"][0]["results"]
        masks = "1 mask, " if row["area_px"] else ""
        assert f"written to {out}/: {masks}1 overlay" in told and "result.json" in told
        assert result["threshold"] == float(threshold)
        areas.append(row["area_px"])
        if row["area_px"]:
            rgba = np.asarray(Image.open(out / row["cutout"]))
            assert (rgba[..., 3] == np.asarray(Image.open(out / row["mask"]))).all()
    assert areas[0] >= areas[1] >= areas[2] and areas[0] > areas[2]


def test_what_is_done_is_kept_when_the_run_is_stopped(picture, tmp_path, random_checkpoint, monkeypatch, capsys):
    Image.open(picture).save(tmp_path / "second.png")
    segment, asked = Predictor.segment, []

    def stop_at_the_second(self, *arguments):
        asked.append(arguments)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return segment(self, *arguments)

    monkeypatch.setattr(Predictor, "segment", stop_at_the_second)
    out = tmp_path / "out"
    assert main(["segment", str(tmp_path), "the car", "--model", str(random_checkpoint), "-o", str(out)]) == 130
    assert len(json.loads((out / "result.json").read_text())["pictures"]) == 1
    assert "stopped" in capsys.readouterr().err


def test_names_that_are_no_utf_8_are_printed_and_written(picture, tmp_path, random_checkpoint, capsys):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Image.open(picture).save(odd)
    assert main(["segment", odd, "the car", "--model", str(random_checkpoint), "-o", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["pictures"][0]["picture"] == odd
    assert "caf\\udce9.png" in capsys.readouterr().out


def test_points_and_a_box_refine_the_first_prompt(picture, tmp_path, random_checkpoint):
    def masks(*options, prompts=PHRASES):
        out = tmp_path / "-".join(options)
        assert (
            main(["segment", str(picture), *prompts, *options, "-o", str(out), "--model", str(random_checkpoint)]) == 0
        )
        entry = json.loads((out / "result.json").read_text())["pictures"][0]
        return [decode_rle(row["rle"]) for row in entry["results"]]

    image, predictor = np.asarray(Image.open(picture)), Predictor.from_pretrained(random_checkpoint, device="cpu")
    points = PointPrompt(np.array([[30, 40], [5, 6]], np.float32), np.array([1, 0]))
    expected = predictor.segment(image, PHRASES, [points, None], [(10, 20, 60, 70), None])
    for mask, result in zip(
        masks("--point", "30,40", "--point", "5,6,0", "--box", "60,20,10,70"), expected, strict=True
    ):
        assert (mask == result.mask).all()
    (alone,) = masks("--point", "30,40", prompts=[])
    one = PointPrompt(np.array([[30, 40]], np.float32), np.array([1]))
    assert (alone == predictor.segment(image, [""], [one])[0].mask).all()


@pytest.mark.parametrize("options", [[], ["--things"]])
def test_every_gives_numbered_things(tmp_path, options, capsys):
    out = tmp_path / "out"
    street = str(ASSETS / "examples" / "street.jpg")
    assert main(["segment", street, "every balloon", "--format", "coco", "-o", str(out), *options]) == 0
    assert "2 things" in capsys.readouterr().out
    ((row,),) = [entry["results"] for entry in json.loads((out / "result.json").read_text())["pictures"]]
    assert row["prompt"] == "every balloon" and len(row["things"]) == 2
    masks = [decode_rle(thing["rle"]) for thing in row["things"]]
    assert not (masks[0] & masks[1]).any()
    document = json.loads((out / "annotations.coco.json").read_text())
    assert [c["name"] for c in document["categories"]] == ["balloon"]
    assert [decode_rle(a["segmentation"]).sum() for a in document["annotations"]] == [m.sum() for m in masks]
    for thing, mask in zip(row["things"], masks, strict=True):
        assert ("mask" in thing) == bool(options)
        assert not options or ((np.asarray(Image.open(out / thing["mask"])) > 0) == mask).all()


def test_a_data_set_of_several_images_for_yolo(picture, tmp_path, random_checkpoint):
    Image.open(picture).save(tmp_path / "second.png")
    out = tmp_path / "out"
    arguments = [str(picture), str(tmp_path / "second.png"), *PHRASES, "--format", "yolo", "-o", str(out)]
    assert main(["segment", *arguments, "--model", str(random_checkpoint)]) == 0
    stems = ["my-picture", "second"]
    assert sorted(path.stem for path in (out / "images").iterdir()) == stems
    assert sorted(path.stem for path in (out / "labels").iterdir()) == stems
    assert "names:" in (out / "data.yaml").read_text()


def test_what_was_not_found_gives_no_files(tmp_path):
    out = tmp_path / "out"
    street = str(ASSETS / "examples" / "street.jpg")
    assert main(["segment", street, "the unicorn", "--cutouts", "--format", "polygon", "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["annotations.coco.json", "result.json", "street.overlay.png"]
    assert json.loads((out / "annotations.coco.json").read_text())["annotations"] == []
