"""``import evfsam`` is light, and what it offers is there."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import evfsam
from evfsam.errors import CheckpointError, InputError


def test_import_brings_nothing_heavy():
    heavy = ["torch", "numpy", "transformers", "gradio", "PIL", "cv2"]
    code = f"import sys, evfsam; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("name", evfsam.__all__)
def test_exports(name):
    assert callable(getattr(evfsam, name)) and name in dir(evfsam)


def test_results_go_into_supervision():
    logits = np.full((2, 6, 8), -1, np.float32)
    logits[0, 1:4, 2:7] = 1
    results = [evfsam.Segmentation("a dog", logits[0], 0.5), evfsam.Segmentation("a cat", logits[1], 0.25)]
    detections = evfsam.to_detections(results)
    assert detections.xyxy.tolist() == [[2, 1, 7, 4]] and detections.mask.sum() == 15
    assert detections.confidence.tolist() == [0.5] and detections.class_id.tolist() == [0]
    assert detections.data["class_name"].tolist() == ["a dog"]
    assert len(evfsam.to_detections(results[1:])) == 0


def test_results_go_into_coco():
    logits = np.full((6, 8), -1, np.float32)
    logits[1:4, 2:7] = 1
    document = evfsam.results_to_coco([evfsam.Segmentation("a dog", logits, 0.5)], "dog.jpg")
    assert document["images"] == [{"id": 1, "file_name": "dog.jpg", "height": 6, "width": 8}]
    (annotation,) = document["annotations"]
    assert annotation["bbox"] == [2, 1, 5, 3] and annotation["area"] == 15 and annotation["score"] == 0.5
    with pytest.raises(InputError, match="no results"):
        evfsam.results_to_coco([])


@pytest.mark.parametrize("convert", [evfsam.to_detections, evfsam.results_to_coco])
@pytest.mark.parametrize("kind", ["one", "none", "masks", "text"])
def test_what_is_no_list_of_results_is_one_sentence(convert, kind):
    one = evfsam.Segmentation("a dog", np.zeros((6, 8), np.float32), 0.5)
    wrong = {"one": one, "none": None, "masks": [one.mask], "text": "a dog"}[kind]
    with pytest.raises(InputError, match=r"write \[result\]"):
        convert(wrong)


def test_what_is_printed_is_short():
    pixels = np.zeros((60, 80, 3), np.uint8)
    found = evfsam.Segmentation("a dog", np.zeros((60, 80), np.float32), 0.5, 0.25)
    tracked = evfsam.TrackedObject("a dog", found.mask_logits, 0.5, object_id=1)
    for printed in (found, evfsam.TrackedFrame(0, pixels, (tracked,)), *evfsam.list_models()):
        assert len(repr(printed)) < 400 and "array" not in repr(printed)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Segmenter'"):
        evfsam.Segmenter  # noqa: B018


def test_load_and_segment(random_checkpoint):
    predictor = evfsam.Predictor.from_pretrained(random_checkpoint, device="cpu")
    assert isinstance(predictor, evfsam.Predictor)
    (result,) = predictor.segment(np.zeros((30, 40, 3), np.uint8), ["the red car"])
    assert isinstance(result, evfsam.Segmentation) and result.mask.shape == (30, 40)


def test_published_models_are_listed():
    rows = {row.name: row for row in evfsam.list_models()}
    assert {"evf-sam", "evf-sam-multitask", "evf-sam2", "evf-sam2-multitask"} <= set(rows)
    assert "video" in rows["evf-sam2"].capabilities and "video" not in rows["evf-sam"].capabilities


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"name": "evf-sam3"}, CheckpointError, "Known ones"),
        ({"device": "toaster"}, InputError, "Unknown device"),
        ({"device": "cpu", "precision": "int3"}, InputError, "choose fp32"),
    ],
)
def test_refused(arguments, error, said):
    with pytest.raises(error, match=said):
        evfsam.Predictor.from_pretrained(**arguments)
