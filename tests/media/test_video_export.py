"""A followed clip as files."""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from evfsam.media.export import decode_rle
from evfsam.media.palette import colour_of
from evfsam.media.video import VideoReader
from evfsam.media.video_export import cutout_video, masks_zip, overlay_video, rle_json
from evfsam.types import TrackedFrame, TrackedObject
from tests.media.clips import write_clip
from tests.media.test_video_writer import first_rgba

NAMES = {1: "the red car", 4: "a tree"}


@pytest.fixture
def reader(tmp_path) -> VideoReader:
    return VideoReader(write_clip(tmp_path / "in.mp4", count=6))


def mask_at(index: int, object_id: int) -> np.ndarray:
    """The car moves; the tree is first met on frame 2 and gone on frame 4."""
    mask = np.zeros((48, 64), bool)
    if object_id == 1:
        mask[20:40, 5 + 3 * index : 25 + 3 * index] = True
    elif index != 4:
        mask[2:12, 50:60] = True
    return mask


def followed(reader: VideoReader):
    """Frames of the clip with their objects and times."""
    for index, picture in enumerate(reader):
        objects = tuple(
            TrackedObject(
                prompt=NAMES[i],
                mask_logits=np.where(mask_at(index, i), 5.0, -5.0).astype(np.float32),
                score=0.75,
                presence=0.5,
                object_id=i,
            )
            for i in NAMES
            if i == 1 or index >= 2
        )
        yield TrackedFrame(index, picture, objects), *reader.time_of(index)


def write(sink, reader: VideoReader) -> None:
    with sink as taking:
        for frame, time, duration in followed(reader):
            taking.add(frame, time, duration)


def test_overlay_video(reader, tmp_path):
    write(overlay_video(tmp_path / "out.mp4", reader, list(NAMES)), reader)
    written = VideoReader(tmp_path / "out.mp4")
    assert written.info.duration == reader.info.duration and written.info.fps == reader.info.fps
    before, after = reader.frame(0).astype(int), written.frame(0).astype(int)
    inside = after[30, 12] - before[30, 12]
    towards = np.subtract(colour_of(0), before[30, 12])
    assert np.dot(inside, towards) > 0 and np.abs(inside).max() > 5
    assert np.abs(after[6, 55] - before[6, 55]).max() < 12  # the tree is not there yet
    assert np.abs(written.frame(3)[6, 55].astype(int) - before[6, 55]).max() > 20


def test_colours_are_given_in_the_order_of_appearance(reader, tmp_path):
    write(overlay_video(tmp_path / "given.mp4", reader, list(NAMES)), reader)
    write(overlay_video(tmp_path / "as they come.mp4", reader), reader)
    assert (tmp_path / "given.mp4").read_bytes() == (tmp_path / "as they come.mp4").read_bytes()


def test_cutout_video(reader, tmp_path):
    write(cutout_video(tmp_path / "out.webm", reader), reader)
    alpha = first_rgba(tmp_path / "out.webm")[..., 3]
    mask = mask_at(0, 1)
    assert alpha[30, 15] > 240 and alpha[6, 55] < 15
    assert np.mean((alpha > 127) != mask) < 0.03


def test_masks_zip(reader, tmp_path):
    write(masks_zip(tmp_path / "out.zip"), reader)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = archive.namelist()
        assert len(names) == 12 and "01-the-red-car/000003.png" in names
        for index in range(6):
            for folder, object_id in (("01-the-red-car", 1), ("04-a-tree", 4)):
                png = np.asarray(Image.open(io.BytesIO(archive.read(f"{folder}/{index:06d}.png"))))
                expected = mask_at(index, object_id) & (object_id == 1 or index >= 2)
                assert np.array_equal(png, expected * np.uint8(255))


def test_what_is_never_visible_gets_no_folder(reader, tmp_path):
    unicorn = TrackedObject(
        prompt="a unicorn", mask_logits=np.full((48, 64), -5.0, np.float32), score=0.1, presence=None, object_id=7
    )
    with masks_zip(tmp_path / "out.zip") as archive, rle_json(tmp_path / "out.json", reader) as document:
        for frame, time, duration in followed(reader):
            for sink in (archive, document):
                sink.add(replace(frame, objects=(*frame.objects, unicorn)), time, duration)
    last = json.loads((tmp_path / "out.json").read_text())["annotations"][-1]
    assert (last["object_id"], last["segmentations"], last["presences"]) == (7, [None] * 6, [None] * 6)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"01-the-red-car", "04-a-tree"}


def test_rle_json(reader, tmp_path):
    write(rle_json(tmp_path / "out.json", reader), reader)
    document = json.loads((tmp_path / "out.json").read_text())
    (video,) = document["videos"]
    assert (video["height"], video["width"], video["length"], video["fps"]) == (48, 64, 6, 25.0)
    assert video["times"] == [float(Fraction(i, 25)) for i in range(6)]
    assert [c["name"] for c in document["categories"]] == list(NAMES.values())
    car, tree = document["annotations"]
    assert (car["object_id"], tree["object_id"], car["category_id"], tree["category_id"]) == (1, 4, 1, 2)
    for index in range(6):
        assert np.array_equal(decode_rle(car["segmentations"][index]), mask_at(index, 1))
    assert car["bboxes"][1] == [8, 20, 20, 20] and car["areas"][1] == 400
    assert [s is None for s in tree["segmentations"]] == [True, True, False, False, True, False]
    assert tree["scores"] == [None, None, 0.75, 0.75, 0.75, 0.75]
    assert tree["presences"] == [None, None, 0.5, 0.5, 0.5, 0.5]


def test_many_objects_need_few_open_files(reader, tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    frames = list(followed(reader))
    crowd = [replace(frames[0][0].objects[0], object_id=i) for i in range(1, 41)]
    with open(os.devnull) as first_free:
        few = first_free.fileno() + 20
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
        with rle_json(tmp_path / "out.json", reader) as document:
            for frame, time, duration in frames:
                document.add(replace(frame, objects=tuple(crowd)), time, duration)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(json.loads((tmp_path / "out.json").read_text())["annotations"]) == len(crowd)


@pytest.mark.parametrize("kind", ["overlay", "cutout", "zip", "json"])
def test_a_stop_leaves_nothing(kind, reader, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    sink = {
        "overlay": lambda: overlay_video(folder / "out.mp4", reader, list(NAMES)),
        "cutout": lambda: cutout_video(folder / "out.webm", reader),
        "zip": lambda: masks_zip(folder / "out.zip"),
        "json": lambda: rle_json(folder / "out.json", reader),
    }[kind]()
    with pytest.raises(KeyboardInterrupt), sink as taking:
        taking.add(*next(followed(reader)))
        raise KeyboardInterrupt
    assert list(folder.iterdir()) == []
