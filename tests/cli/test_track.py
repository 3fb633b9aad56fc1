"""From a shell: a video and phrases become a video, masks and a JSON that agree with each other."""

from __future__ import annotations

import io
import json
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from evfsam.__main__ import main
from evfsam.media.export import decode_rle
from evfsam.media.video import VideoReader
from tests.media.clips import write_clip
from tests.random_tracker import save_random_tracker


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    return str(save_random_tracker(tmp_path_factory.mktemp("model") / "tracker"))


@pytest.fixture(scope="module")
def blind_tracker(tmp_path_factory):
    return str(save_random_tracker(tmp_path_factory.mktemp("model") / "blind", presence_logit=-10.0))


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "my clip.mp4", count=8, audio="aac")


def test_all_outputs_agree(clip, tmp_path, tracker, capsys):
    out = tmp_path / "out"
    out.mkdir()
    files = ["-o", "video.mp4", "--masks", "masks.zip", "--rle", "masks.json", "--cutout", "cutout.webm"]
    arguments = [str(out / a) if "." in a else a for a in files]
    assert main(["track", str(clip), "the red car", "a tree", "--model", tracker, *arguments]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["cutout.webm", "masks.json", "masks.zip", "video.mp4"]
    written, before = VideoReader(out / "video.mp4").info, VideoReader(clip).info
    assert (written.duration, written.fps, written.has_audio) == (before.duration, before.fps, True)
    document = json.loads((out / "masks.json").read_text())
    with zipfile.ZipFile(out / "masks.zip") as archive:
        for annotation, folder in zip(document["annotations"], ("01-the-red-car", "02-a-tree"), strict=True):
            for index, rle in enumerate(annotation["segmentations"]):
                png = np.asarray(Image.open(io.BytesIO(archive.read(f"{folder}/{index:06d}.png")))) > 0
                assert np.array_equal(png, decode_rle(rle) if rle else np.zeros((48, 64), bool))
    told = capsys.readouterr().out
    assert "the red car: visible on" in told and "of 8 frames" in told and "video.mp4" in told


def test_from_a_chosen_second_both_ways(clip, tmp_path, tracker):
    out = tmp_path / "masks.json"
    arguments = ["--at", "0.2", "--start", "0.08", "--direction", "both", "--model", tracker, "--rle", str(out)]
    assert main(["track", str(clip), "the red car", *arguments]) == 0
    (annotation,) = json.loads(out.read_text())["annotations"]
    assert len(annotation["scores"]) == 6 and None not in annotation["scores"]


def test_the_same_prompt_twice_is_counted_twice(clip, tmp_path, tracker, capsys):
    out = str(tmp_path / "masks.zip")
    assert main(["track", str(clip), "the car", "the car", "--masks", out, "--model", tracker, "--quiet"]) == 0
    assert capsys.readouterr().out.count("the car: visible on 8 of 8 frames\n") == 2


def test_a_point_and_a_box_refine_the_first_prompt(clip, tmp_path, tracker):
    def first_masks(*options):
        out = tmp_path / "-".join(["masks", *options])
        arguments = ["track", str(clip), "the car", "the tree", "--rle", str(out), "--model", tracker, "--quiet"]
        assert main([*arguments, *options]) == 0
        return [annotation["segmentations"][0] for annotation in json.loads(out.read_text())["annotations"]]

    car, tree = first_masks()
    for options in (("--point", "5,5"), ("--box", "4,4,20,20")):
        refined, same = first_masks(*options)
        assert refined != car and same == tree


def test_the_default_output(clip, tmp_path, tracker, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["track", str(clip), "the red car", "--scan", "--model", tracker]) == 0
    assert len(VideoReader("my clip.tracked.mp4")) == 8


def test_through_pipes(clip, tmp_path, tracker, monkeypatch, capsysbinary):
    stream = write_clip(tmp_path / "clip.ts", count=8)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.read_bytes())))
    assert main(["track", "-", "the red car", "-o", "-", "--model", tracker]) == 0
    (tmp_path / "out.mp4").write_bytes(capsysbinary.readouterr().out)
    assert len(VideoReader(tmp_path / "out.mp4")) == 8


def test_nothing_found_is_said_and_nothing_is_left(clip, tmp_path, blind_tracker, capsys):
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["--model", blind_tracker, "-o", str(out / "video.mp4")]
    assert main(["track", str(clip), "the red car", *arguments]) == 2
    assert "--scan" in capsys.readouterr().err
    assert main(["track", str(clip), "the red car", "--scan", *arguments]) == 2
    assert "in the whole video" in capsys.readouterr().err
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nowhere.mp4", "the car"], "no file"),
        (["CLIP", "  "], "empty"),
        (["CLIP"], "python -m evfsam track --help"),
        (["CLIP", "a" * 100_000], "shorten it"),
        (["a\0.mp4", "the car"], "a"),
        (["CLIP", "the car", "--start", "nan"], "--start is 'nan': give a number of at least 0"),
        (["CLIP", "the car", "--end", "nan"], "--end is 'nan'"),
        (["CLIP", "the car", "--end", "inf"], "--end is 'inf'"),
        (["CLIP", "the car", "--at", "-1"], "--at is -1"),
        (["CLIP", "the car", "--start", "2", "--end", "1"], "--end 1 is not after --start 2"),
        (["CLIP", "the car", "--max-side", "-5"], "--max-side is -5: give a whole number from 16"),
        (["CLIP", "the car", "--max-side", "1e99"], "--max-side is 1e+99"),
        (["CLIP", "the car", "--direction", "up"], "choose from 'forward'"),
        (["CLIP", "the car", "--masks", "nowhere/masks.zip"], "no folder"),
        (["CLIP", "the car", "--rle", "."], "it is a folder"),
        (["CLIP", "the car", "--masks", "x", "--rle", "./x"], "is named twice"),
        (["CLIP", "the car", "-o", "CLIP"], "would be overwritten"),
        (["CLIP", "the car", "--cutout", "out.mp4"], "end its name in"),
        (["CLIP", "the car", "--at", "9"], "outside"),
        (["CLIP", "the car", "--start", "9"], "Nothing lies between"),
        (["CLIP", "the car", "-o", "out.txt"], "end its name in"),
        (["CLIP", "the car", "-o", "nowhere/out.mp4"], "no folder"),
        (["CLIP", "the car", "--scan", "--point", "1,1"], "without --scan"),
        (["CLIP", "the car", "--point", "9000,1"], "outside"),
        (["-", "the car", "--at", "1"], "pipe"),
        (["-", "the car", "--direction", "both"], "pipe"),
    ],
)
def test_refused_with_one_sentence(arguments, words, clip, tracker, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = [str(clip) if a == "CLIP" else a for a in arguments]
    assert main(["track", *arguments, "--model", tracker]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and said.count("\n") == 0 and len(said) < 500
    assert list(tmp_path.iterdir()) == [clip]


def test_a_model_without_memory(clip, random_checkpoint, capsys):
    assert main(["track", str(clip), "the red car", "--model", str(random_checkpoint)]) == 2
    assert "was not made for video; use" in capsys.readouterr().err
