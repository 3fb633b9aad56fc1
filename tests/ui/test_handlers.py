"""The tabs' handlers without a browser: what a user asks, and what comes back."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evfsam.checkpoints.registry import find
from evfsam.data.ccp import words as photo_words
from evfsam.errors import EvfSamError
from evfsam.geometry import mask_iou
from evfsam.media.export import decode_rle
from evfsam.ui.clicking import clicks_to_text
from evfsam.ui.heat import heat_over
from evfsam.ui.history import STEPS, TOGETHER_S, History, Step
from evfsam.ui.refining import refine, without_mark, without_marks
from evfsam.ui.tabs import compare, parts, referring, semantic
from evfsam.ui.tabs.common import Question, stale_html
from evfsam.ui.turns import Client
from evfsam.ui.vocabulary import vocabulary_of
from tests.trace import functions_entered


@pytest.fixture
def answer(service, picture):
    return referring.ask(service, "first", picture, "the red car, the blue car")


def test_an_answer_shows_every_phrase(service, answer):
    html, status = referring.show(service, answer, 0.5)
    assert html.count("<li>") == 2
    assert "shore.png, 144 by 96 pixels" in html
    assert "first on cpu (fp32)" in status and "2 phrases answered in" in status


def test_phrases_are_shown_as_text_not_as_html(service, picture):
    answer = referring.ask(service, "first", picture, "<img src=x onerror=alert(1)> car")
    html, status = referring.show(service, answer, 0.5)
    assert "<img src=x" not in html + status and "&lt;img src=x" in html


def test_asking_again_does_not_encode_again(service, picture):
    encoded = []
    hook = service.predictor("first").model.visual_model.image_encoder.register_forward_hook(
        lambda *_: encoded.append(1)
    )
    try:
        for text in ("the red car", "a dog, the sea"):
            referring.ask(service, "first", picture, text)
    finally:
        hook.remove()
    assert len(encoded) <= 1  # none if an earlier test showed the same picture


def test_from_the_page_a_question_enters_few_functions(service, app, picture):
    ask = next(
        f.fn for f in app.fns.values() if f.fn and f.fn.__module__ == referring.__name__ and f.fn.__name__ == "on_ask"
    )
    ask("first", picture, "the red car", 0.5, "", History())
    entered = functions_entered(lambda: ask("first", picture, "the blue car", 0.5, "", History()))
    assert len([name for name in entered if not name.startswith("modeling/")]) <= 60, sorted(entered)


def test_every_thing_of_a_kind_is_finished_as_it_was_decoded(service, picture, monkeypatch):
    """Only masks of one thing are zoomed into, and "every car" asks for all."""
    predictor, finished = service.predictor("first"), []
    finish = predictor.finish

    def noted(masks, row, encoded, prompt, *others, **of_things):
        if not of_things:
            finished.append(prompt)
        return finish(masks, row, encoded, prompt, *others, **of_things)

    monkeypatch.setattr(predictor, "finish", noted)
    answer = referring.ask(service, "first", picture, "every car, the car")
    assert finished == ["[semantic] car", "the car"]
    assert [mask.prompt for mask in answer.masks] == ["every car", "the car"]


def test_replicas_are_asked_while_another_question_has_the_turn(service, picture, answer, monkeypatch):
    monkeypatch.setattr(service, "_replicas", service.predictor("first"))
    monkeypatch.setattr(service, "_served", "first")
    with service._model.turn(Client()):
        assert same_masks(referring.ask(service, "first", picture, "the red car, the blue car"), answer)


def test_the_threshold_changes_masks_without_the_model(service, answer, monkeypatch):
    monkeypatch.setattr(service, "predictor", None)
    low, high = (sum(s.mask.sum() for s in answer.at(t)) for t in (0.05, 0.95))
    assert low >= high
    assert referring.show(service, answer, 0.05)[0] != referring.show(service, answer, 0.95)[0]


@pytest.mark.parametrize(
    ("model", "name", "text", "told"),
    [
        ("first", None, "a car", "Choose a picture first"),
        ("first", "notes.txt", "a car", "'notes.txt' is not an image"),
        ("first", "empty.png", "a car", "'empty.png' is empty"),
        ("first", "shore.png", " , ", "Type what to look for"),
        ("first", "shore.png", "?!", "The prompt is empty"),
        ("nobody", "shore.png", "a car", "There is no checkpoint 'nobody' here; choose one of first, second"),
        (None, "shore.png", "a car", "There is no checkpoint None here; choose one of first, second"),
    ],
)
def test_what_cannot_be_asked(service, picture, model, name, text, told):
    folder = Path(picture).parent
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty.png").write_bytes(b"")
    with pytest.raises(EvfSamError, match=re.escape(told)):
        referring.ask(service, model, name and str(folder / name), text)


def test_an_empty_mask_is_said(service, answer):
    masks = tuple(replace(mask, levels=zlib.compress(bytes(96 * 144))) for mask in answer.masks)
    assert "Nothing here" in "".join(referring.show(service, replace(answer, masks=masks), 0.5))


def test_clicks_refine_one_phrase_and_can_be_forgotten(service, answer):
    refined, row = refine(service, answer, 1, True, (70, 50, 70, 50))
    refined, again = refine(service, refined, "1", False, (10, 10, 10, 10))
    assert row == again == 1
    assert refined.clicks[0] is None and refined.clicks[1].points.labels.tolist() == [1, 0]
    assert refined.masks[0] == answer.masks[0] and refined.masks[1] != answer.masks[1]
    html, status = referring.show(service, refined, 0.5)
    assert html.count("data-mark=") == 2 and "1 phrase answered" in status
    forgotten = without_marks(service, refined)
    assert forgotten.clicks == (None, None) and same_masks(forgotten, answer)


def test_a_click_without_a_chosen_row_asks_for_what_is_there(service, answer):
    more, row = refine(service, answer, None, False, (70, 50, 70, 50))
    assert row == 2 and more.masks[:2] == answer.masks and more.prompts == [*answer.prompts, ""]
    assert more.clicks[2].points.labels.tolist() == [1]  # a new thing starts with what belongs to it
    html, _ = referring.show(service, more, 0.5, row)
    assert ">clicked thing<" in html and 'data-chosen="2"' in html
    assert f'data-key="{answer.key}"' in html  # rows that were chosen stay chosen
    names = [Path(path).name for path in referring.files(more, 0.5)[1]]
    assert "shore.clicked-thing.mask.png" in names or not more.masks[2].at().mask.any()
    assert without_marks(service, more).prompts == answer.prompts


def test_a_picture_can_be_clicked_before_anything_was_asked(service, picture):
    nothing = service.look("first", picture)
    html, status = referring.show(service, nothing, 0.5)
    assert "evf-stage" in html and "evf-rows" not in html and "picture=0123abcd%2Fshore.png" in status
    assert referring.files(nothing, 0.5) == (None, [])
    assert refine(service, nothing, None, True, (20, 10, 90, 80))[0].clicks[0].box == (20, 10, 90, 80)


def test_marks_are_removed_one_by_one(service, answer):
    refined, _ = refine(service, answer, 1, True, (70, 50, 70, 50))
    refined, _ = refine(service, refined, 1, False, (20, 50, 20, 50))
    refined, _ = refine(service, refined, 1, True, (10, 10, 90, 80))
    left = without_mark(service, refined, 1, "0")
    assert left.clicks[1].points.labels.tolist() == [0] and left.clicks[1].box == (10, 10, 90, 80)
    left = without_mark(service, without_mark(service, left, 1, "box"), 1, "0")
    assert left.clicks == (None, None) and same_masks(left, answer) and left.masks[0] is answer.masks[0]
    for mark in ("0", "box"):
        with pytest.raises(EvfSamError, match="no such mark"):
            without_mark(service, left, 1, mark)


def test_a_clicked_thing_goes_with_its_last_mark(service, answer):
    more, row = refine(service, answer, None, True, (70, 50, 70, 50))
    more, _ = refine(service, more, row, False, (20, 50, 20, 50))
    assert without_mark(service, more, row, 0).masks == answer.masks


def steps(answer, *thresholds, seconds=10.0) -> History:
    history = History(Step(answer, 0.5, ""))
    for i, threshold in enumerate(thresholds, start=1):
        history = history.then(Step(answer, threshold, "", at_s=i * seconds), 10**9)
    return history


def test_clicks_phrases_and_threshold_are_undone_and_redone_one_by_one(service, answer):
    clicked, _ = refine(service, answer, 0, True, (70, 50, 70, 50))
    asked = referring.ask(service, "first", answer.picture_path, "a dog")
    done = [Step(answer, 0.5, "the red car"), Step(clicked, 0.5, "the red car")]
    done += [Step(clicked, 0.7, "the red car"), Step(asked, 0.7, "a dog")]
    history = History()
    for i, step in enumerate(done):
        history = history.then(replace(step, at_s=10 * i), 10**9)
    for step in reversed(done[:-1]):
        history = history.undo()
        assert history.now == step and history.future
    assert history.undo() is history and not history.past
    for step in done[1:]:
        history = history.redo()
        assert history.now == step
    assert history.redo() is history
    again = history.undo().then(Step(answer, 0.2, ""), 10**9)
    assert again.past and not again.future  # what was undone is gone


def test_a_slider_that_is_drawn_is_one_step(answer):
    assert [s.threshold for s in steps(answer, 0.6, 0.7, 0.8, seconds=TOGETHER_S / 2).past] == [0.5]
    assert [s.threshold for s in steps(answer, 0.6, 0.7, 0.7).past] == [0.5, 0.6]


def test_the_past_is_bounded_and_belongs_to_one_picture(service, answer, tmp_path):
    many = steps(answer, *(0.05 + i / 100 for i in range(STEPS + 3)))
    assert len(many.past) == STEPS
    again = [referring.ask(service, "first", answer.picture_path, "a dog") for _ in range(2)]
    size = sum(len(mask.levels) for mask in answer.masks) + len(again[0].masks[0].levels)
    history = History(Step(answer, 0.5, "")).then(Step(again[0], 0.5, ""), size)
    assert history.past and history.then(Step(again[1], 0.5, ""), size).past == (history.now,)
    other = replace(answer, picture_path=str(tmp_path / "other.png"))
    assert many.then(Step(other, 0.5, ""), 10**9) == History(Step(other, 0.5, ""))


def same_masks(one, other) -> bool:
    """Whether two answers agree but for rounding: prompts that are asked together and alone differ by that."""
    pairs = zip(one.masks, other.masks, strict=True)
    return all(mask_iou(mask.at().mask, twin.at().mask) > 0.99 for mask, twin in pairs)


def test_a_link_brings_clicked_things_back(service, picture, answer):
    clicked, _ = refine(service, answer, None, True, (70, 50, 70, 50))
    text = clicks_to_text(clicked.clicks)
    assert same_masks(referring.ask(service, "first", picture, "the red car, the blue car", text), clicked)
    alone = refine(service, service.look("first", picture), None, True, (70, 50, 70, 50))[0]
    assert referring.ask(service, "first", picture, "", clicks_to_text(alone.clicks)).masks == alone.masks


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (Question("a.png", "m", ("x",)), ""),
        (Question("b.png", "m", ("x",)), "is for another picture"),
        (Question("a.png", "n<", ("x",)), "is by m, not by n&lt;"),
        (Question("a.png", "m", ("y",)), "is for other words"),
        (Question("a.png", "m", ()), "is for other words"),
        (Question(None, "m", ("x",)), ""),
    ],
)
def test_an_answer_to_another_question_is_marked(now, told):
    html = stale_html(Question("a.png", "m", ("x",)), now, "Segment")
    assert told in html and ("evf-stale" in html) == bool(told)
    assert stale_html(None, now, "Segment") == ""


def test_attention_stands_beside_the_mask(service, answer):
    html = referring.attention(service, answer, "the blue car", 0.5)
    assert html.index("Mask of the blue car") < html.index("Attention for the blue car")
    assert "the red car" not in html


def test_attention_is_a_picture_of_the_same_size(image):
    heat = heat_over(image, np.eye(5, dtype=np.float32))
    assert heat.shape == image.shape and heat[0, 0].sum() > heat[0, -1].sum()


def test_downloads_hold_what_is_shown(answer):
    archive, single = referring.files(answer, 0.4)
    names = [Path(path).name for path in single]
    assert names == [
        "shore.the-red-car.mask.png",
        "shore.the-red-car.cutout.png",
        "shore.the-blue-car.mask.png",
        "shore.the-blue-car.cutout.png",
        "shore.overlay.png",
        "shore.coco.json",
    ]
    with zipfile.ZipFile(archive) as bundle:
        assert sorted(bundle.namelist()) == sorted(names)
        with Image.open(io.BytesIO(bundle.read(names[0]))) as mask:
            assert np.array_equal(np.asarray(mask) > 0, answer.masks[0].at(0.4).mask)
        found = json.loads(bundle.read(names[-1]))["annotations"]
    assert np.array_equal(decode_rle(found[1]["segmentation"]), answer.masks[1].at(0.4).mask)


def test_what_was_not_found_gives_no_empty_files(answer):
    nothing = replace(answer.masks[0], levels=zlib.compress(bytes(96 * 144)))
    _, single = referring.files(replace(answer, masks=(nothing, answer.masks[1])), 0.4)
    names = [Path(path).name for path in single]
    assert not [name for name in names if "red" in name] and "shore.the-blue-car.mask.png" in names


def test_semantic_labels_every_pixel_at_most_once(service, picture):
    answer = semantic.ask(service, "first", picture, semantic.categories(["sky", "sea"], "sand, sky"))
    assert answer.prompts == ["[semantic] sky", "[semantic] sea", "[semantic] sand"]
    html, status = semantic.show(service, answer)
    assert "of the picture is labelled" in status and ">sky<" in html and "[semantic]" not in html
    _, single = semantic.files(answer)
    contents = {Path(path).name: Path(path).read_bytes() for path in single}
    masks = [
        np.asarray(Image.open(io.BytesIO(contents[f"shore.{name}.mask.png"]))) > 0 for name in ("sky", "sea", "sand")
    ]
    assert np.sum(masks, axis=0).max() <= 1
    with Image.open(io.BytesIO(contents["shore.labels.png"])) as labels:
        for value, mask in enumerate(masks):
            assert np.array_equal(np.asarray(labels) == value, mask)
    assert [row["category"] for row in json.loads(contents["shore.labels.json"])["labels"]] == ["sky", "sea", "sand"]


def test_semantic_needs_a_category():
    with pytest.raises(EvfSamError, match="at least one category"):
        semantic.categories([], " ")


def test_parts_come_as_masks_and_cutouts(service, picture):
    names = ["body", "wheel"]
    answer = parts.ask(service, "first", picture, "car", names)
    assert answer.prompts == ["[semantic] car body", "[semantic] car wheel"]
    assert ">wheel<" in parts.show(service, answer, "car", names)[0]
    pieces = parts.exploded(answer, names)
    found = [s for s in answer.at() if s.mask.any()]
    assert len(pieces) == len(found) > 0
    for (path, _), part in zip(pieces, found, strict=True):
        x0, y0, x1, y1 = part.box_xyxy
        with Image.open(path) as piece:
            assert piece.mode == "RGBA" and piece.size == (x1 - x0, y1 - y0)


def test_parts_need_a_part():
    with pytest.raises(EvfSamError, match="at least one part"):
        parts.part_names([], " ")
    assert parts.part_names(["wheel"], "door, wheel") == ["wheel", "door"]


def test_checkpoints_side_by_side(service, picture):
    half, found = compare.compare(service, "checkpoints", picture, "the red car", ["first", "second"], [], "first")
    assert half.labels == ["first"] and found.labels == ["first", "second"]
    assert all(side.encode_seconds > 0 and side.weight_bytes > 0 for side in found.sides)
    html = compare.pair(found, "second", "first")
    assert html.index("Mask of second") < html.index("Mask of first") < html.index("Where second and first differ")
    paths = {Path(path).name: Path(path) for path in compare.files(found)[1]}
    assert {"shore.first.mask.png", "shore.second.mask.png", "shore.difference.first.second.png"} <= set(paths)
    document = json.loads(paths["shore.comparison.json"].read_text())
    assert [side["model"] for side in document["sides"]] == ["first", "second"]
    assert document["iou"][0][1] == pytest.approx(compare.comparison.pairwise_iou(found.sides)[0, 1], abs=1e-6)


@pytest.mark.parametrize("way", ["checkpoints", "precisions", "phrases"])
def test_a_comparison_names_the_phrase_that_it_asked_for(service, picture, way):
    *_, found = compare.compare(service, way, picture, "a <dog>, a cat", ["first", "second"], ["fp32", "bf16"], "first")
    assert ("Asked for “a &lt;dog&gt;”" in compare.prompt_html(way, found)) == (way != "phrases")


def test_the_same_answer_agrees_with_itself(service, picture):
    *_, found = compare.compare(service, "phrases", picture, "the red car, the  red car , a dog", [], [], "first")
    assert found.labels == ["the red car", "a dog"]
    *_, found = compare.compare(service, "phrases", picture, "[semantic] sky, [SEMANTIC] sky", [], [], "first")
    assert compare.comparison.pairwise_iou(found.sides) == pytest.approx(np.ones((2, 2)))


def test_chips_are_words_that_the_checkpoint_knows():
    words = vocabulary_of(find("evf-sam2-tiny"))
    assert "sky" in words.categories and "wheel" in words.parts["car"]
    assert "pants" not in words.parts["person"] and words.part_prompt("person", "hair") == "person hair"


def test_chips_name_what_people_wear_for_a_checkpoint_that_learned_from_photographs():
    info = find("evf-sam2-tiny")
    words = vocabulary_of(replace(info, vocabulary=(*info.vocabulary, *photo_words())))
    assert {"pants", "hair", "clothes"} <= set(words.parts["person"]) and "clothes" in words.categories
    assert not {"shoe", "trousers"} & set(words.parts["person"])  # beside "shoes" and "pants" they would only confuse
    assert words.part_prompt("person", "hair") == "hair" and words.part_prompt("car", "wheel") == "car wheel"
