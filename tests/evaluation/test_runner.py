"""A real model on real samples: images, clips and photographs, with one process or several."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from evfsam.data.registry import open_dataset
from evfsam.data.scenes.dataset import ClipDataset, SceneDataset
from evfsam.errors import InputError
from evfsam.evaluation.contact_sheet import CELL, COLUMNS, GAP, LINE, answer_again, contact_sheet, worst_records
from evfsam.evaluation.metrics import Counts
from evfsam.evaluation.probes import PROBES, constant_mask
from evfsam.evaluation.records import Record
from evfsam.evaluation.runner import evaluate
from evfsam.media.images import open_image
from evfsam.predictor import Predictor
from evfsam.processing.inputs import prepare
from evfsam.refine.refinement import Refinement
from tests.data.photographs import make_pack
from tests.random_tracker import save_random_tracker

SCENES = SceneDataset(range(900_000, 900_003), (48, 64))
CLIPS = ClipDataset(range(900_000, 900_003), (32, 48), frames=4)


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return Predictor.from_pretrained(random_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    return Predictor.from_pretrained(save_random_tracker(tmp_path_factory.mktemp("tracker") / "tracker"), device="cpu")


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("ccp"))


def without_time(report):
    return {key: value for key, value in report.to_json().items() if key != "seconds"}


@pytest.mark.usefixtures("one_thread")
def test_several_processes_give_the_numbers_of_one(predictor, tmp_path):
    probes = [*map(PROBES.get, ("no_rejection", "swapped_image", "oracle_prompt", "noise", "misspelling", "clicks_1"))]
    probes.append(constant_mask(SceneDataset(range(800_000, 800_003), (32, 32))))
    predictor = predictor.with_refinement(Refinement(reject_below=0.5, point_refinement=True))  # not the checkpoint's
    one = evaluate(predictor, SCENES, probes, records_file=tmp_path / "1.jsonl")
    two = evaluate(predictor, SCENES, probes, workers=2, records_file=tmp_path / "2.jsonl")
    assert without_time(one) == without_time(two) and list(one.records) == list(two.records)
    assert (tmp_path / "1.jsonl").read_text() == (tmp_path / "2.jsonl").read_text()
    scores = one.scores()
    assert list(scores) == ["model", *(probe.name for probe in probes)]
    assert {"referring", "referring/place", "semantic/stuff", "part", "absent"} <= set(scores["model"])
    assert "absent" not in scores["oracle_prompt"] and set(scores["clicks_1"]) <= set(scores["model"])
    assert scores["constant_mask"]["absent"].giou == 1


def test_clips_are_tracked(tracker):
    probes = [PROBES[name] for name in ("memory_only", "tracked_box", "frame_by_frame")]
    report = evaluate(tracker, CLIPS, probes)
    scores = report.scores()
    assert list(scores) == ["model", "memory_only", "tracked_box", "frame_by_frame"]
    (kind,) = {kind for row in scores.values() for kind in row if "/" not in kind}
    assert kind == "referring" and scores["model"][kind].frames == 4 * scores["model"][kind].prompts > 0
    assert "J&F" in report.to_table()
    sheet = contact_sheet(list(answer_again(tracker, CLIPS, worst_records(report.records, 1), False)))
    assert sheet.size == (COLUMNS * (CELL + GAP) + GAP, CELL + 2 * LINE + 2 * GAP)


def test_photographs_are_scored_by_prompt(predictor, pack):
    report = evaluate(predictor, open_dataset("ccp", pack), [constant_mask(open_dataset("ccp:train", pack))])
    scores = report.scores()
    assert scores["model"]["semantic/coat"].prompts == 2
    # The drawn people all stand alike, so that a constant mask is nearly perfect.
    assert scores["constant_mask"]["semantic/person"].giou > 0.9
    composed = evaluate(predictor, open_dataset("ccp:composed", pack), limit=4).scores()
    assert "referring/place" in composed["model"]


def test_the_model_sees_the_pixels_of_the_app(predictor, pack, monkeypatch):
    """The file of a sample, opened as the page opens it, makes the same model inputs."""
    dataset = open_dataset("ccp", pack)
    seen = []
    encode_image = type(predictor.model).encode_image

    def watched(self, pixels):
        seen.append(pixels)
        return encode_image(self, pixels)

    monkeypatch.setattr(type(predictor.model), "encode_image", watched)
    evaluate(Predictor(predictor.checkpoint, predictor.runtime), dataset, limit=1)
    image = open_image(dataset.photos[0].image)
    assert torch.equal(seen[0], prepare(image, predictor.model.config.pixels).segmenter_pixels)


@pytest.mark.parametrize(("data", "probe"), [(SCENES, "memory_only"), (CLIPS, "oracle_box"), (CLIPS, "noise")])
def test_probes_of_other_data_are_refused(predictor, data, probe):
    with pytest.raises(InputError, match=f"{probe} is for"):
        evaluate(predictor, data, [PROBES[probe]])


def record(index: int, kind: str = "place", iou: float = 0.0, wrong: int = 10) -> Record:
    inside = round(iou * 100)
    return Record(index, "", 0, "the car", kind, "model", Counts(inside, max(100, inside + wrong), 50, 50))


def test_the_worst_come_first_one_per_sample_and_no_kind_takes_the_sheet():
    records = [record(1, wrong=101), record(2, wrong=300), record(2, "size", wrong=200), record(3, iou=0.9)]
    assert [r.index for r in worst_records([*records, record(4, "size", 0.5)], 9)] == [2, 1, 4, 3]
    many = [record(index) for index in range(40)] + [record(99, "colour", 0.8), record(98, "size", 0.8)]
    chosen = worst_records(many, 9)
    assert len(chosen) == 8 and {r.kind for r in chosen[6:]} == {"colour", "size"}  # 2 * 9 / 3, and the others


def test_the_sheet_shows_what_the_records_tell(predictor):
    report = evaluate(predictor, SCENES)
    records = worst_records(report.records, 3)
    cases = list(answer_again(predictor, SCENES, records, lower_case=False))
    for case, found in zip(cases, records, strict=True):
        assert case.text == found.prompt
        assert np.count_nonzero(case.answer & case.target) == found.counts.intersection
    assert isinstance(contact_sheet(cases), Image.Image) and contact_sheet([]).height > 0
