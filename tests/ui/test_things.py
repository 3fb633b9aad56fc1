"""Masks that were taken apart: rows that unfold, files, corrections, and several pictures in one go."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evfsam.errors import EvfSamError
from evfsam.types import Segmentation
from evfsam.ui import api, several
from evfsam.ui.history import History, Step
from evfsam.ui.kept import KeptMask
from evfsam.ui.limits import Limits
from evfsam.ui.refining import refine
from evfsam.ui.tabs import parts, referring, semantic


def kept(prompt: str, *boxes: tuple[int, int, int, int]) -> KeptMask:
    logits = np.full((96, 144), -5, np.float32)
    for x0, y0, x1, y1 in boxes:
        logits[y0:y1, x0:x1] = 5
    return KeptMask.of(Segmentation(prompt, logits, 0.8))


@pytest.fixture
def answer(service, picture):
    """Two cars one by one, and the sea."""
    asked = referring.ask(service, "first", picture, "every car, the sea")
    boxes = (10, 10, 40, 30), (60, 10, 90, 30)
    cars = replace(kept("every car", *boxes), things=tuple(kept("car", box) for box in boxes))
    return replace(asked, masks=(cars, kept("the sea", (0, 60, 144, 96))))


def names_of(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_what_asks_for_all_of_a_kind_is_taken_apart(service, picture):
    answer = referring.ask(service, "first", picture, "every car, all the sky, the sea")
    assert [bool(mask.things) for mask in answer.masks[1:]] == [False, False]
    assert all(thing.prompt == "car" and thing.size_hw == (96, 144) for thing in answer.masks[0].things)
    assert answer.prompts == ["every car", "all the sky", "the sea"]


def test_parts_are_never_taken_apart(service, picture):
    assert not any(mask.things for mask in parts.ask(service, "first", picture, "dog", ["head"]).masks)


def test_a_row_unfolds_into_numbered_rows(service, answer):
    html, _ = referring.show(service, answer, 0.5)
    assert re.findall(r'class="chip" data-row="([\d.]+)"', html) == ["0", "0.0", "0.1", "1"]
    assert re.findall(r'class="layer fill"[^>]* data-row="([\d.]+)"', html) == ["0", "0.0", "0.1", "1"]
    assert ">car 1<" in html and ">car 2<" in html and ">2 things<" in html
    colours = dict(re.findall(r'data-row="([\d.]+)" aria-pressed[^>]*><i style="background: rgb(\([\d, ]+\))', html))
    assert len({colours[row] for row in ("0.0", "0.1", "1")}) == 3


def test_each_thing_is_an_annotation_and_a_file_if_wanted(answer):
    _, single = referring.files(answer, 0.5)
    assert "shore.every-car.1.mask.png" not in names_of(single)
    document = json.loads(next(Path(path).read_text() for path in single if path.endswith(".coco.json")))
    assert [c["name"] for c in document["categories"]] == ["car", "the sea"]
    assert [a["bbox"] for a in document["annotations"]] == [[10, 10, 30, 20], [60, 10, 30, 20], [0, 60, 144, 36]]
    _, single = referring.files(answer, 0.5, each_thing=True)
    assert {"shore.every-car.1.mask.png", "shore.every-car.2.cutout.png"} <= set(names_of(single))


def test_yolo_files_keep_their_folders_in_the_zip(answer):
    archive, single = referring.files(answer, 0.5, "yolo")
    with zipfile.ZipFile(archive) as opened:
        assert {"labels/shore.txt", "images/shore.png", "data.yaml"} <= set(opened.namelist())
        assert len(opened.read("labels/shore.txt").splitlines()) == 3


def test_a_click_corrects_one_thing(service, answer):
    corrected, row = refine(service, answer, "0.1", True, (100, 20, 100, 20))
    assert row == "0.1" and corrected.key == answer.key and corrected.clicks == answer.clicks
    before, after = answer.masks[0], corrected.masks[0]
    assert after.things[0] is before.things[0] and after.things[1].prompt == "car"
    assert after.things[1].levels != before.things[1].levels and corrected.masks[1] is answer.masks[1]


@pytest.mark.parametrize("row", ["0.2", "1.0", "0.x", "7.0", "0.-1"])
def test_a_thing_that_is_not_there_is_one_sentence(service, answer, row):
    with pytest.raises(EvfSamError):
        refine(service, answer, row, True, (100, 20, 100, 20))


def test_things_count_for_what_can_be_undone(answer):
    history = History().then(Step(answer, 0.5, ""), 10**9).then(Step(replace(answer, asked=9), 0.5, ""), 1)
    assert history.past == ()


@pytest.mark.parametrize(
    ("pixels", "prompts", "things"), [(1_000_000, 1, 30), (25_000_000, 1, 11), (25_000_000, 12, 0), (10_000_000, 4, 6)]
)
def test_large_images_have_fewer_things(pixels, prompts, things):
    assert Limits().things_per_prompt((pixels // 1000, 1000), prompts) == things


def test_categories_keep_their_colours_beside_their_things(service, picture):
    answer = semantic.ask(service, "first", picture, ["car", "sky"])
    answer = replace(answer, masks=(replace(answer.masks[0], things=(kept("car", (1, 1, 9, 9)),)), answer.masks[1]))
    html, _ = semantic.show(service, answer)
    assert 'aria-expanded="false"' in html and re.findall(r'class="chip" data-row="([\d.]+)"', html)[:2] == ["0", "0.0"]


@pytest.fixture
def pictures(picture, tmp_path):
    """Two pictures of the same name, and a file that is none."""
    paths = [picture, str(tmp_path / "4567" / "shore.png"), str(tmp_path / "4567" / "fake.png")]
    os.makedirs(tmp_path / "4567")
    shutil.copy(picture, paths[1])
    Path(paths[2]).write_bytes(b"no picture")
    return paths


@pytest.mark.parametrize("format", ["coco", "polygon", "yolo"])
def test_several_pictures_in_one_go(service, pictures, format):
    def ask(path):
        return referring.ask(service, "first", path, "every car, the sea", thresholds=(0.5,))

    steps = list(several.answers(service.limits, pictures, ask, format=format))
    assert len(steps) == 4 and steps[0].archive is None
    done = steps[-1]
    assert [caption.split(" · ")[0] for _, caption in done.shown] == ["shore.png", "shore.png"]
    assert [line.split(":")[0] for line in done.failed] == ["fake.png"]
    assert "3 of 3 pictures done" in several.told(done) and "fake.png" in several.told(done)
    assert all(Image.open(path).size == (144, 96) for path, _ in done.shown)
    with zipfile.ZipFile(done.archive) as opened:
        names = set(opened.namelist())
        assert {"shore.overlay.png", "shore-2.overlay.png"} <= names
        if format == "yolo":
            assert {"labels/shore.txt", "labels/shore-2.txt", "images/shore-2.png", "data.yaml"} <= names
        else:
            assert len(json.load(io.TextIOWrapper(opened.open("annotations.coco.json")))["images"]) == 2


@pytest.mark.parametrize(
    ("limits", "told"),
    [(Limits(pictures=2), "at most 2 in one go"), (Limits(upload_bytes=1000), "MB in one go")],
)
def test_too_many_pictures_are_refused(pictures, limits, told):
    with pytest.raises(EvfSamError, match=told):
        next(several.answers(limits, pictures, lambda path: pytest.fail("asked")))


@pytest.mark.parametrize("which", [[], [2]])
def test_no_picture_that_can_be_used_is_one_sentence(service, pictures, which):
    with pytest.raises(EvfSamError):
        list(several.answers(service.limits, [pictures[i] for i in which], lambda path: service.look("first", path)))


def test_programs_get_the_things_as_well(service, picture):
    document, paths = api.segment(service, picture, "every car, the sea", "first", 0.5)
    every, sea = json.loads(json.dumps(document))["results"]
    assert every["phrase"] == "every car" and sea["things"] == []
    assert all({"score", "presence", "area", "box_xyxy", "rle"} == set(thing) for thing in every["things"])
    written = json.loads(next(Path(path).read_text() for path in paths if path.endswith(".coco.json")))["annotations"]
    expected = [row["rle"] for row in (*(every["things"] or [every]), sea) if row["box_xyxy"]]
    assert [annotation["segmentation"] for annotation in written] == expected
