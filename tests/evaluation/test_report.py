"""Records add up to one table and one JSON document; a file of records lets a run go on."""

from __future__ import annotations

import json

import pytest

from evfsam.errors import InputError
from evfsam.evaluation import runner
from evfsam.evaluation.metrics import Counts
from evfsam.evaluation.records import Record, open_records, read_records, write_records
from evfsam.evaluation.report import SCHEMA
from evfsam.evaluation.runner import evaluate
from evfsam.evaluation.video_metrics import FrameCounts
from tests.evaluation.fakes import HandMade, answers, predictor

DATA = HandMade(
    [
        [("Left", "referring/place", "##.."), ("red", "referring/colour", "####")],
        [],
        [("left", "referring/place", "..##"), ("gone", "absent", "....")],
    ]
)
OWN = {"Left": "##..", "red": "#...", "left": "####", "gone": "....", "LEFT": "...."}


@pytest.fixture
def asked(monkeypatch):
    """The model's answers are those of OWN; the texts that it was asked are noted."""
    texts = []
    probe = answers(OWN)

    def make(predictor):
        answer = probe.make(predictor)

        def noted(sample, other):
            texts.extend(prompt.text for prompt in sample.prompts)
            return answer(sample, other)

        return noted

    monkeypatch.setattr(runner, "MODEL", probe.__class__("model", make, "", ""))
    return texts


@pytest.mark.usefixtures("asked")
def test_kinds_add_up_and_probes_are_compared_on_the_prompts_that_both_answered():
    other = answers({"Left": "#...", "red": None, "left": None, "gone": "#..."}, "other", "model")
    report = evaluate(predictor(), DATA, [other])
    document = report.to_json()
    assert document["schema"] == SCHEMA and document["model"] == "nobody" and document["samples"] == 3
    model, probe = document["scores"]["model"], document["scores"]["other"]
    assert list(model) == ["referring", "referring/place", "referring/colour", "absent", "all"]
    assert model["referring/place"]["giou"] == 0.75 and model["referring/colour"]["giou"] == 0.25
    assert model["referring"]["giou"] == pytest.approx((1 + 0.5 + 0.25) / 3, abs=1e-5)
    assert model["referring"]["ciou"] == pytest.approx((2 + 2 + 1) / (2 + 4 + 4), abs=1e-5)
    assert (model["referring"]["p50"], model["referring"]["p90"]) == pytest.approx((2 / 3, 1 / 3), abs=1e-5)
    everything = model["all"]  # as gRefCOCO counts: an absent prompt with an empty answer has an IoU of 1
    assert everything["giou"] == pytest.approx((1 + 0.5 + 0.25 + 1) / 4, abs=1e-5) and everything["n_acc"] == 1
    assert (everything["miou"], everything["ciou"]) == (model["referring"]["giou"], model["referring"]["ciou"])
    assert model["absent"]["n_acc"] == 1 and model["absent"]["t_acc"] is None and "change" not in model["referring"]
    assert probe["referring"]["prompts"] == 1 and probe["referring"]["change"] == -0.5
    assert probe["absent"]["change"] == -1
    assert json.loads(json.dumps(document)) == document


@pytest.mark.usefixtures("asked")
def test_the_table_shows_every_kind_and_leaves_empty_columns_out():
    report = evaluate(predictor(), DATA, [answers(OWN, "other", "model")])
    lines = report.to_table().splitlines()
    titles = "answers prompts of prompts gIoU cIoU mIoU oIoU P@.5 P@.7 P@.9 N-acc T-acc change"
    assert lines[0].split() == titles.split()
    assert [line[:24].split()[-1] for line in lines[1:6]] == ["referring", "place", "colour", "absent", "all"]
    assert "0.583" in lines[1] and "+0.000" in lines[6]
    brief = report.to_table(details=False).splitlines()
    assert brief[:6] == lines[:6] and len(brief) == 9
    alone = evaluate(predictor(), HandMade([[("Left", "referring", "##..")]])).to_table()
    assert "N-acc" not in alone and "change" not in alone and "oIoU" not in alone


def test_an_evaluation_without_prompts_says_so():
    assert "no sample has a prompt" in evaluate(predictor(), HandMade([[]])).to_table()


def test_reference_quirks_ask_in_lower_case_and_drop_overlaps(asked):
    data = HandMade([[(" Left ", "referring", "##..", "#...")]])
    OWN["left"], before = "##..", OWN["left"]
    try:
        report = evaluate(predictor(), data, reference_quirks=True)
    finally:
        OWN["left"] = before
    assert asked == ["left"] and report.facts["reference_quirks"]
    assert report.records[0].counts == Counts(intersection=1, union=2, predicted=2, target=1)


@pytest.mark.parametrize(
    "counts", [Counts(1, 2, 2, 1), FrameCounts([0.5, 1 / 3], [1.0, 0.1], [1, 0], [3, 0])], ids=["image", "clip"]
)
def test_records_come_back_from_their_file(tmp_path, counts):
    path, run = tmp_path / "records.jsonl", {"model": "nobody"}
    records = [Record(i, f"sample {i}", 0, "the cat’s ear", "part", "model", counts) for i in range(3)]
    _, file = open_records(path, run, resume=False)
    with file:
        write_records(file, run, records)
    row = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert row["model"] == "nobody" and row["prompt"] == "the cat’s ear" and row["iou"] == counts.iou
    assert read_records(path, run) == records[:2]  # the last sample may be unfinished


@pytest.mark.parametrize("cut", [0, 1, 60, -1, -40])
def test_a_run_that_was_stopped_anywhere_goes_on_to_the_same_scores(asked, tmp_path, cut):
    path = tmp_path / "deep" / "records.jsonl"
    whole = evaluate(predictor(), DATA, records_file=path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:cut], encoding="utf-8")
    told = []
    again = evaluate(predictor(), DATA, records_file=path, resume=True, on_sample=told.append)
    assert list(again.records) == list(whole.records) and path.read_text(encoding="utf-8") == text
    assert told[-1] == 3


def test_what_is_done_is_not_asked_again(asked, tmp_path):
    path = tmp_path / "records.jsonl"
    evaluate(predictor(), DATA, records_file=path)
    asked.clear()
    evaluate(predictor(), DATA, records_file=path, resume=True)
    assert asked == ["left", "gone"]  # the last sample alone


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"model": "another", "data": "made by hand", "probes": [], "reference_quirks": false, ', "another run"),
        ("not JSON", "Line 1"),
        ("{}", "Line 1"),
        ("[]", "Line 1"),
    ],
)
def test_records_of_another_run_are_refused(tmp_path, text, told):
    path = tmp_path / "records.jsonl"
    evaluate(predictor(), DATA, records_file=path)
    line = path.read_text(encoding="utf-8").splitlines()[0]
    head = '{"model": "nobody", "data": "made by hand", "probes": [], "reference_quirks": false, '
    assert line.startswith(head)
    path.write_text((text + line[len(head) :] if "another" in text else text) + "\n", encoding="utf-8")
    before = path.read_text(encoding="utf-8")
    with pytest.raises(InputError, match=told):
        evaluate(predictor(), DATA, records_file=path, resume=True)
    assert path.read_text(encoding="utf-8") == before


@pytest.mark.usefixtures("asked")
def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="choose another file"):
        evaluate(predictor(), DATA, records_file=tmp_path)


@pytest.mark.parametrize("limit", [0, -3])
def test_no_samples_are_refused(limit):
    with pytest.raises(InputError, match="at least 1"):
        evaluate(predictor(), DATA, limit=limit)
