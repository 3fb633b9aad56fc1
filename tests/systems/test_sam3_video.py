"""SAM 3 follows a clip by a text: as transformers does it, without keeping frames, and from the command line."""

from __future__ import annotations

import io
import json
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from evfsam.__main__ import main
from evfsam.errors import CheckpointError, InputError, VideoError
from evfsam.media.export import decode_rle
from evfsam.media.video import VideoReader
from evfsam.runtime import Runtime, choose_runtime
from evfsam.systems.load import load_tracker
from evfsam.systems.registry import find_system, list_systems
from tests.media.clips import write_clip

FRAMES = 6  # more than the tiny tracker looks back


@pytest.fixture(scope="module")
def tracker(systems_folder):
    return load_tracker(find_system(f"sam3@{systems_folder}"), choose_runtime("cpu"))


def images() -> list[np.ndarray]:
    y, x = np.indices((48, 64))
    return [np.stack([x * 4 + 9 * i, y * 5, x + y + 20 * i], -1).astype(np.uint8) for i in range(FRAMES)]


def test_as_transformers_follows_a_clip(tracker):
    processor = tracker.processor
    session = processor.init_video_session(video=np.stack(images()), inference_device="cpu")
    processor.add_text_prompt(session, ["cat", "dog"])
    expected = [
        processor.postprocess_outputs(session, output) for output in tracker.model.propagate_in_video_iterator(session)
    ]
    for frames in (images(), iter(images())):  # the second one's length is unknown
        found = list(tracker.track(frames, ["cat", "[semantic] dog", "cat"]))
        assert [frame.index for frame in found] == list(range(FRAMES))
        for frame, each in zip(found, expected, strict=True):
            assert [o.object_id - 1 for o in frame.objects] == each["object_ids"].tolist()
            assert [o.score for o in frame.objects] == pytest.approx(each["scores"].tolist(), abs=1e-5)
            for o, mask in zip(frame.objects, each["masks"].numpy(), strict=True):
                assert (o.mask != mask).mean() < 0.01  # frames of a whole video are resized by another function
                assert o.prompt == ("[semantic] dog" if o.object_id - 1 in each["prompt_to_obj_ids"]["dog"] else "cat")


def test_what_is_old_is_forgotten(tracker, monkeypatch):
    sessions, made = [], tracker.processor.init_video_session
    monkeypatch.setattr(
        tracker.processor, "init_video_session", lambda **named: sessions.append(made(**named)) or sessions[0]
    )
    list(tracker.track(images(), "cat"))
    assert all(frame is None for frame in sessions[0].processed_frames.values())
    kept = [len(one["non_cond_frame_outputs"]) for one in sessions[0].output_dict_per_obj.values()]
    assert max(kept) == 4


@pytest.mark.parametrize(
    ("frames", "prompts", "told"),
    [
        (images(), [], "no prompt"),
        (images(), ["  "], "empty"),
        ([*images()[:2], np.zeros((20, 20, 3), np.uint8)], ["cat"], "different sizes"),
    ],
)
def test_what_it_cannot_follow(tracker, frames, prompts, told):
    with pytest.raises(InputError, match=told):
        list(tracker.track(frames, prompts))


def test_a_long_prompt_is_cut_and_said_once_per_prompt(tracker):
    frames = list(tracker.track(images()[:2], ["the cat " * 60]))
    assert [len(o.warnings) for frame in frames for o in frame.objects] == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("row", list_systems(), ids=lambda row: row.name)
def test_who_follows_clips_is_in_the_table(row):
    quantized = Runtime(choose_runtime("cpu").device, choose_runtime("cpu").dtype, 8)
    with pytest.raises(CheckpointError if "video" in row.capabilities else VideoError, match=row.name):
        load_tracker(row, quantized)


def test_objects_that_appear_later_are_in_every_file(systems_folder, tmp_path, capsys):
    clip = write_clip(tmp_path / "clip.mp4", count=FRAMES, audio="aac")
    out = {name: str(tmp_path / name) for name in ("video.mp4", "masks.zip", "masks.json")}
    files = ["-o", out["video.mp4"], "--masks", out["masks.zip"], "--rle", out["masks.json"]]
    assert main(["track", str(clip), "a cat", "--model", f"sam3@{systems_folder}", "--device", "cpu", *files]) == 0
    written = VideoReader(out["video.mp4"]).info
    assert written.duration == VideoReader(clip).info.duration and written.has_audio
    document = json.loads((tmp_path / "masks.json").read_text())
    rows = document["annotations"]
    assert [c["name"] for c in document["categories"]] == ["a cat"]
    assert [row["object_id"] for row in rows] == list(range(1, len(rows) + 1))
    first = [next(i for i, score in enumerate(row["scores"]) if score is not None) for row in rows]
    assert first[0] == 0 and max(first) > 0 and all(len(row["segmentations"]) == FRAMES for row in rows)
    with zipfile.ZipFile(out["masks.zip"]) as archive:
        for row in rows:
            for index, rle in enumerate(row["segmentations"]):
                if any(row["segmentations"]):
                    name = f"{row['object_id']:02d}-a-cat/{index:06d}.png"
                    png = np.asarray(Image.open(io.BytesIO(archive.read(name)))) > 0
                    assert np.array_equal(png, decode_rle(rle) if rle else np.zeros((48, 64), bool))
    told = capsys.readouterr().out
    assert told.count("a cat: visible on") == len(rows) and f"of {FRAMES - max(first)} frames" in told


def test_a_pipe_is_followed_though_frames_come_late(systems_folder, tmp_path, monkeypatch):
    stream = write_clip(tmp_path / "clip.ts", count=FRAMES).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream)))
    out = tmp_path / "out.mp4"
    assert main(["track", "-", "a cat", "-o", str(out), "--model", f"sam3@{systems_folder}", "--device", "cpu"]) == 0
    assert len(VideoReader(out)) == FRAMES


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--point", "5,5", "--scan"], "leave out --point and --scan"),
        (["--at", "0"], "leave out --at"),
        (["--direction", "both"], "leave out --direction"),
        (["--no-overlap", "--no-find-again"], "leave out --no-overlap and --no-find-again"),
        (["--precision", "8bit"], "8bit"),
        (["--model", "clipseg"], "follow clips with sam3"),
        (["--model", "sam3@/nowhere"], "no folder"),
    ],
)
def test_refused_with_one_sentence(options, told, systems_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", count=2)
    assert main(["track", str(clip), "a cat", "--model", f"sam3@{systems_folder}", "--device", "cpu", *options]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said and "\n" not in said
    assert list(tmp_path.iterdir()) == [clip]


def test_nothing_found_leaves_nothing(systems_folder, tmp_path, capsys):
    config = systems_folder / "sam3" / "config.json"
    strict = {**json.loads(config.read_text()), "score_threshold_detection": 2.0}
    blind = tmp_path / "sam3"
    blind.mkdir()
    for file in (systems_folder / "sam3").iterdir():
        (blind / file.name).symlink_to(file) if file != config else (blind / file.name).write_text(json.dumps(strict))
    clip = write_clip(tmp_path / "clip.mp4", count=3)
    command = ["track", str(clip), "a cat", "--model", f"sam3@{tmp_path}", "--device", "cpu"]
    assert main([*command, "-o", str(tmp_path / "out.mp4")]) == 2
    assert "in the whole video" in capsys.readouterr().err and not (tmp_path / "out.mp4").exists()
