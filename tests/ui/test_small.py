"""The app's small parts: phrases, settings, links, label maps, clicks, comparisons, the score plot."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfsam.checkpoints.registry import find
from evfsam.errors import InputError
from evfsam.refine.refinement import Refinement
from evfsam.types import PointPrompt, Segmentation, SpatialPrompt
from evfsam.ui import comparison, links, timeline
from evfsam.ui.answers import notes
from evfsam.ui.clicking import clicks_from_text, clicks_to_text, with_drag
from evfsam.ui.kept import THRESHOLDS, UNLABELLED, KeptMask, LabelMap
from evfsam.ui.label_map import Settler, labels_png
from evfsam.ui.prompts import split_prompts, with_quotes
from evfsam.ui.settings import read_settings
from evfsam.ui.viewer import HTML, Row
from evfsam.ui.vocabulary import OPEN, semantic_prompt


@pytest.mark.parametrize(
    ("typed", "phrases"),
    [
        ("the red car", ["the red car"]),
        ("the red car, a dog", ["the red car", "a dog"]),
        ("the red car\na dog\n", ["the red car", "a dog"]),
        (" the   red car ;; a dog,", ["the red car", "a dog"]),
        ("a dog, a dog", ["a dog"]),
        ("[semantic] sky", ["[semantic] sky"]),
        ("l'été, 空", ["l'été", "空"]),
    ],
)
def test_phrases(typed, phrases):
    assert split_prompts(typed) == phrases


@pytest.mark.parametrize("typed", ["", "  ", ",,\n", None, 5, ["a dog"], {"a": 1}, float("nan"), "x" * 100_000])
def test_no_phrases(typed):
    with pytest.raises(InputError):
        split_prompts(typed)


@pytest.mark.parametrize(
    ("arguments", "environment", "models", "device"),
    [
        ([], {}, (), "auto"),
        (["--model", "a", "--model", "b"], {"EVFSAM_MODEL": "c"}, ("a", "b"), "auto"),
        ([], {"EVFSAM_MODEL": "c, d", "EVFSAM_DEVICE": "cpu"}, ("c", "d"), "cpu"),
        (["--device", "cuda"], {"EVFSAM_DEVICE": "cpu"}, (), "cuda"),
    ],
)
def test_settings(arguments, environment, models, device):
    settings = read_settings(arguments, environment)
    assert (settings.models, settings.device) == (models, device)


def test_a_link_finds_the_picture_again(picture):
    query = dict(part.split("=") for part in links.link_to("refer", picture, "m", ask="x")[1:].split("&"))
    assert query["picture"] == "0123abcd%2Fshore.png"
    assert links.linked_picture({"picture": "0123abcd/shore.png"}) == picture


def test_a_link_names_an_example():
    path = links.EXAMPLES / "street.jpg"
    assert "example%2Fstreet.jpg" in links.link_to("refer", str(path), "m")
    assert links.linked_picture({"picture": "example/street.jpg"}) == str(path.resolve())


@pytest.mark.parametrize(
    "named",
    [
        "",
        "example/",
        "example/../../LICENSE",
        "../0123abcd/shore.png",
        "/etc/passwd",
        "0123abcd/../../secret.png",
        "./0123abcd/shore.png",
        "0123abcd/gone.png",
    ],
)
def test_a_link_opens_nothing_else(named, picture, tmp_path):
    (tmp_path.parent / "secret.png").write_bytes(b"secret")
    assert links.linked_picture({"picture": named}) is None


def _segmentation(logits) -> Segmentation:
    return Segmentation("x", np.array(logits, np.float32), 0.5)


def settle(found) -> LabelMap:
    settler = Settler(found[0].mask_logits.shape)
    for segmentation in found:
        settler.add(segmentation)
    return settler.settled()


def test_overlaps_go_to_the_higher_logit():
    found = [_segmentation([[3, 1, -1]]), _segmentation([[2, 4, -2]])]
    settled = settle(found)
    assert settled.labels().tolist() == [[0, 1, UNLABELLED]]
    assert settled.contested.at().mask.tolist() == [[True, True, False]]
    assert settled.lost == pytest.approx((1 / 3, 1 / 3))
    assert settled.covered == pytest.approx(2 / 3)
    assert [kept.at().mask.tolist() for kept in settled.masks] == [[[True, False, False]], [[False, True, False]]]


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-5, 5, width=32), min_size=6, max_size=6), min_size=1, max_size=5))
def test_exclusive_masks_share_out_the_union(logits):
    found = [_segmentation([row]) for row in logits]
    masks = np.stack([kept.at().mask for kept in settle(found).masks])
    assert (masks.sum(0) == np.any([s.mask for s in found], axis=0)).all()


def test_a_kept_mask_is_exact_at_every_position_of_the_slider():
    logits = np.random.default_rng(0).normal(0, 2, (40, 50)).astype(np.float32)
    probabilities = 1 / (1 + np.exp(-logits))
    found = Segmentation("x", logits, 0.5, 0.25, ("A warning.",))
    kept = KeptMask.of(found)
    for threshold in THRESHOLDS:
        again = kept.at(threshold)
        assert np.array_equal(again.mask, probabilities > threshold)
        assert (again.prompt, again.score, again.presence, again.warnings) == ("x", 0.5, 0.25, ("A warning.",))
    assert np.array_equal(KeptMask.of(found, (0.33,)).at(0.33).mask, probabilities > 0.33)


def test_a_kept_mask_is_bounded_in_bytes():
    noise = np.random.default_rng(0).normal(0, 2, (400, 500)).astype(np.float32)
    most = 50_000
    kept = KeptMask.of(Segmentation("x", noise, 0.5), most_bytes=most)
    assert len(kept.levels) <= most and "kept at 0.5" in kept.warnings[0]
    assert np.array_equal(kept.at().mask, noise > 0)


def test_label_map_as_png():
    labels = np.array([[0, 7, UNLABELLED]], np.uint8)
    with Image.open(io.BytesIO(labels_png(labels))) as picture:
        assert np.asarray(picture).tolist() == labels.tolist()


def test_clicks_and_boxes_add_up():
    clicks = with_drag(None, True, (10, 10, 10.2, 10.1), (100, 100))
    clicks = with_drag(clicks, False, (50, 60, 50, 60), (100, 100))
    clicks = with_drag(clicks, True, (40, 30, 20, 10), (100, 100))
    assert clicks.points.labels.tolist() == [1, 0]
    assert clicks.points.coords[1].tolist() == [50, 60]
    assert clicks.box == (20, 10, 40, 30)
    assert with_drag(SpatialPrompt(), True, (0, 0, 50, 0), (100, 100)).box is None  # a line is no box


def test_clicks_travel_in_a_link():
    points = SpatialPrompt(PointPrompt(np.array([[3.24, 5]], np.float32), np.array([0])))
    box = SpatialPrompt(box=(1, 2, 3, 4.5))
    text = clicks_to_text([None, points, box])
    nothing, back, again = clicks_from_text(text, 3)
    assert (
        nothing is None
        and back.points.coords.tolist() == [[pytest.approx(3.2), 5]]
        and back.points.labels.tolist() == [0]
    )
    assert back.box is None and again.points is None and again.box == (1, 2, 3, 4.5)
    assert len(clicks_from_text(clicks_to_text([None, points]), 1)) == 2  # a thing that was clicked without words


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "3", "[[1,2]]", "[[[[1,2]],[],null]]", "[[[],[],[1,2]]]", '[[["x"],[1],null]]']
)
def test_clicks_that_cannot_be_read(text):
    with pytest.raises(InputError, match="cannot be read"):
        clicks_from_text(text, 1)


@pytest.mark.parametrize(
    ("way", "models", "phrases", "levels", "labels"),
    [
        ("checkpoints", ["a", "b"], ["x"], [], ["a", "b"]),
        ("phrases", [], ["x", "y", "z"], [], ["x", "y", "z"]),
        ("precisions", [], ["x"], ["fp16", "fp32"], ["fp16", "fp32"]),
    ],
)
def test_candidates(way, models, phrases, levels, labels):
    assert [c.label for c in comparison.candidates(way, models, phrases, levels, "m")] == labels


@pytest.mark.parametrize(
    ("way", "models"), [("checkpoints", ["a"]), ("checkpoints", list("abcde")), ("phrases", []), ("colours", [])]
)
def test_nothing_to_compare(way, models):
    with pytest.raises(InputError):
        comparison.candidates(way, models, ["x"], [], "m")


@pytest.mark.parametrize(("logit", "score"), [(5.0, "0.71"), (-10.0, "–")])
def test_an_answer_of_nothing_has_no_score(logit, score):
    found = Segmentation("the kite", np.full((8, 8), logit, np.float32), score=0.71, presence=0.2)
    side = comparison.Side(comparison.Candidate("a", "a", "the kite", "auto"), KeptMask.of(found), 0.1, 0.1, 10)
    card = comparison.grid_html(np.zeros((8, 8, 3), np.uint8), [side, side], [("One.",), ()])
    assert card.count(f"<dt>Score</dt><dd>{score}</dd>") == 2 and card.count("One.") == 1
    assert ("0.71" in HTML.lines([Row("the kite", found.mask, (0, 0, 0), found.score)])) == (logit > 0)


@pytest.mark.parametrize(
    ("logit", "score", "threshold", "told"),
    [
        (-10.0, 0.9, 0.7, "Probably not in this picture."),
        (-10.0, 0.9, 0.1, "Nothing here: no part of the picture passes the threshold."),
        (-10.0, 0.9, None, "Nothing here: no part of the picture passes the threshold."),
        (5.0, 0.2, 0.1, "Low confidence: the model itself expects a bad fit."),
        (5.0, 0.9, 0.1, None),
    ],
)
def test_what_an_answer_says_of_itself(logit, score, threshold, told):
    found = Segmentation("the kite", np.full((8, 8), logit, np.float32), score=score, presence=0.2)
    info = replace(find("evf-sam2-tiny"), refinement=Refinement(reject_below=threshold))
    assert notes(found, info) == ((told,) if told else ())


def test_a_difference_map_colours_what_differs():
    picture = np.full((20, 20, 3), 128, np.uint8)
    a, b = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    a[:, :12], b[:, 8:] = True, True
    drawn = comparison.difference_map(picture, (a, b), ((213, 94, 0), (0, 114, 178))).astype(int)
    only_a, both, only_b = drawn[10, 3], drawn[10, 10], drawn[10, 17]
    assert only_a[0] > only_a[2] and only_b[2] > only_b[0] and np.ptp(both) == 0


def test_a_line_breaks_where_the_object_is_hidden():
    html = timeline.scores_html({7: "a <b>"}, [0, 1, 2, 3], {7: [0.5, None, 0.5, 1.0]})
    assert html.count("<polyline") == 2
    assert "visible on 3 of 4 frames, mean score 0.67" in html
    assert "a &lt;b&gt;" in html


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("never learned 'hat', \"person's\".", "never learned “hat”, “person's”."),
        ('for example "the red car".', "for example “the red car”."),
        ("the man's dog isn't here", "the man's dog isn't here"),
        ("'' is empty", "“” is empty"),
    ],
)
def test_the_page_has_one_kind_of_quotation_marks(sentence, told):
    assert with_quotes(sentence) == told


def test_a_row_has_one_note():
    html = HTML.lines([Row("the kite", np.zeros((8, 8), bool), (0, 0, 0), notes=("One.", "Two."))])
    assert html.count('class="note"') == 1 and ">One. Two.<" in html


@pytest.mark.parametrize("typed", ["sky", "[semantic] sky", "[Semantic]sky", " [semantic] [semantic] sky"])
def test_the_prefix_is_added_once(typed):
    assert semantic_prompt(typed) == "[semantic] sky"


@pytest.mark.parametrize(
    ("thing", "part", "phrase"),
    [("dog", "head", "dog head"), ("person", "left arm", "left arm"), ("", "hair", "hair")],
)
def test_part_phrases(thing, part, phrase):
    assert OPEN.part_prompt(thing, part) == phrase


def test_published_checkpoints_offer_the_open_label_sets():
    from evfsam.ui.vocabulary import vocabulary_of

    assert vocabulary_of(find("evf-sam2-multitask")) is OPEN
