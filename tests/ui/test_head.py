"""The top of the page: what the menu says, and which checkpoint answers a new picture."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from evfsam.checkpoints.registry import bundled_models, find
from evfsam.data.scenes import make_scene, render
from evfsam.media.images import open_image
from evfsam.media.video_writer import open_writer
from evfsam.ui.app import broken_html
from evfsam.ui.examples import read_clips, read_examples
from evfsam.ui.followed import Clip
from evfsam.ui.head import Head, facts, model_choices
from evfsam.ui.pictures import looks_drawn
from evfsam.ui.service import ModelService
from evfsam.ui.settings import Settings
from evfsam.ui.word_chips import with_word, words_html


@pytest.fixture(scope="module")
def service():
    return ModelService(Settings(device="cpu"))


@pytest.fixture
def head(service):
    with gr.Blocks():
        return Head(service)


@pytest.mark.parametrize("example", read_examples(), ids=lambda example: example.file.stem)
def test_photographs_are_told_from_drawn_scenes(example):
    assert looks_drawn(open_image(example.file)) != example.is_photograph


@pytest.mark.parametrize("quality", [None, 75])
@pytest.mark.parametrize("size_hw", [(320, 480), (384, 384)])
def test_drawn_scenes_are_told_from_photographs(size_hw, quality):
    drawn = []
    for seed in range(700_000, 700_010):
        image = render(make_scene(seed, size_hw[1] / size_hw[0]), size_hw).image
        if quality:
            file = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(image)).save(file, "jpeg", quality=quality)
            image = np.asarray(Image.open(file))
        drawn.append(looks_drawn(image))
    assert sum(drawn) >= 9


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 4000), (3000, 2)])
def test_any_size_can_be_looked_at(size_hw):
    assert looks_drawn(np.zeros((*size_hw, 3), np.uint8)) is False


@pytest.mark.parametrize(
    ("photograph", "model", "own", "answers", "before"),
    [
        (True, "evf-sam2-tiny", None, "evf-sam2-tiny-coco", "evf-sam2-tiny"),
        (True, "evf-sam-tiny", None, "evf-sam2-tiny-coco", "evf-sam-tiny"),
        (False, "evf-sam2-tiny", None, "evf-sam2-tiny", None),
        (True, "evf-sam2-tiny-photo", None, "evf-sam2-tiny-photo", None),
        (True, "evf-sam2-multitask", None, "evf-sam2-multitask", None),
        (True, "evf-sam2-tiny-coco", "evf-sam2-tiny", "evf-sam2-tiny-coco", "evf-sam2-tiny"),
        (False, "evf-sam2-tiny-coco", "evf-sam2-tiny", "evf-sam2-tiny", None),
    ],
)
def test_who_answers_a_new_picture(head, photograph, model, own, answers, before):
    name, kept, row, line, back = head.route(photograph, model, own)
    assert (name, kept) == (answers, before)
    assert row["visible"] == back["visible"] == (before is not None)
    assert (f"{answers} answers here" in line) == (before is not None)
    assert before is None or back["value"] == f"Use {before}"


def test_a_clip_is_answered_by_a_checkpoint_that_has_seen_its_like_and_can_follow(head, tmp_path, monkeypatch):
    drawn, real, broken = read_clips()[0].file, tmp_path / "real.mp4", tmp_path / "broken.mp4"
    photograph = next(example.file for example in read_examples() if example.is_photograph)
    with open_writer(real, Fraction(25)) as writer:
        writer.write(open_image(photograph)[:300, :400], Fraction(0), Fraction(1, 25))
    broken.write_bytes(b"no clip")
    named = [head.route_clip(Clip(str(path)), "evf-sam2-tiny", None)[0] for path in (drawn, real)]
    assert named == ["evf-sam2-tiny", "evf-sam2-tiny-coco"]
    skipped = [gr.skip()] * len(head.outputs)
    assert head.route_clip(Clip(str(broken)), "evf-sam2-tiny", None) == skipped
    monkeypatch.setattr(head.service.checkpoints, "for_photographs", lambda: find("evf-sam-multitask"))
    assert head.route_clip(Clip(str(real)), "evf-sam2-tiny", None) == skipped


def test_the_way_to_a_published_checkpoint_is_shown_where_none_for_photographs_is_here(head, monkeypatch):
    monkeypatch.setattr(head.service.checkpoints, "for_photographs", lambda: None)
    name, kept, row, line, back = head.route(True, "evf-sam2-tiny", None)
    assert (name, kept, row["visible"], back["visible"]) == ("evf-sam2-tiny", None, True, False)
    assert "evf-sam2-multitask knows them, the button above gets it" in line


def test_the_menu_says_what_each_checkpoint_is_for_its_size_and_whether_it_is_here(service):
    labels = {name: label for label, name in model_choices(service)}
    assert labels["evf-sam2-tiny"] == "evf-sam2-tiny · drawn scenes · 16 MB, here"
    assert labels["evf-sam2-tiny-photo"].startswith("evf-sam2-tiny-photo · drawn scenes and photographs · ")
    assert labels["evf-sam"] == "evf-sam · photographs, any words · 5.3 GB, not here"
    assert "answers phrases, categories, parts, clips; knows 148 words; on this disk" in facts(find("evf-sam2-tiny"))
    assert "reads any words; not on this disk" in facts(find("evf-sam"))


def test_every_bundled_checkpoint_says_what_it_was_trained_on():
    assert all(info.trained_on for info in bundled_models())
    assert replace(find("evf-sam2-tiny"), trained_on=()).trained_on == ()


@pytest.mark.parametrize(
    ("query", "told", "asks"),
    [
        ({"tab": "refer", "picture": "example/street.jpg", "model": "evf-sam2-tiny"}, "", True),
        ({"tab": "refer", "picture": "example/gone.jpg"}, "The picture of this link is not here any more", False),
        (
            {"tab": "refer", "picture": "example/street.jpg", "model": "<b>"},
            "“&lt;b&gt;”, which is not",
            True,
        ),
        ({"tab": "games"}, "a tab that is not here: “games”", False),
    ],
)
def test_a_broken_link_says_what_is_missing(service, query, told, asks):
    html = broken_html(service, query, query["tab"] == "refer")
    assert told in html and bool(html) == bool(told) and ("evf-broken" in html) != asks


def test_words_of_a_small_checkpoint_are_offered_and_added():
    small = find("evf-sam2-tiny")
    assert ">balloon</button>" in words_html(small) and words_html(find("evf-sam")) == ""
    assert with_word(small, " ", 0) == "the sky"
    assert with_word(small, "the red bus, ", 0) == "the red bus, the sky"
