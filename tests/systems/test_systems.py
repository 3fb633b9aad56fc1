"""Every system answers as a Predictor does, with tiny random models of the real classes, from files to masks."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from evfsam.__main__ import main
from evfsam.errors import CheckpointError, InputError
from evfsam.systems import boxes, sam3
from evfsam.systems.florence2 import read_polygons
from evfsam.systems.load import load_model
from evfsam.systems.registry import find_system, list_systems
from evfsam.types import Segmentation

NAMES = [row.name for row in list_systems()]
IMAGE = np.random.RandomState(0).randint(0, 255, (60, 90, 3), np.uint8)


@pytest.fixture(autouse=True)
def whatever_they_find(monkeypatch):
    """Random weights are sure of nothing."""
    monkeypatch.setattr(boxes.GroundedSam, "threshold", 0.0)
    monkeypatch.setattr(boxes.Owlv2Sam2, "threshold", 0.0)
    monkeypatch.setattr(sam3, "THRESHOLD", 0.0)


@pytest.fixture(scope="module")
def load(systems_folder):
    loaded = {}

    def get(name):
        if name not in loaded:
            loaded[name] = load_model(f"{name}@{systems_folder}", "cpu")
        return loaded[name]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_one_mask_per_prompt(load, name):
    system = load(name)
    found = system.segment(IMAGE, ["the cat left", "[semantic] dog"])
    assert [type(one) for one in found] == [Segmentation] * 2
    for one in found:
        assert one.mask_logits.shape == (60, 90) and one.mask_logits.dtype == np.float32
        assert 0 <= one.score <= 1 and np.isfinite(one.mask_logits).all()
        assert one.mask.any() != bool(one.warnings)
    encoded = system.encode(IMAGE)
    for one, again in zip(found, system.segment(encoded, ["the cat left", "[semantic] dog"]), strict=True):
        assert (one.mask_logits == again.mask_logits).all()


@pytest.mark.parametrize("name", ["grounded-sam", "owlv2-sam2", "sam3"])
def test_things_come_one_by_one_and_a_category_is_all_of_them(load, name):
    things = load(name).things(IMAGE, "dog")
    assert 1 < len(things) <= 30
    assert [thing.score for thing in things] == sorted((thing.score for thing in things), reverse=True)
    one, every = load(name).segment(IMAGE, ["dog", "[semantic] dog"])
    assert (one.mask == things[0].mask).all()
    assert (every.mask == np.logical_or.reduce([thing.mask for thing in things])).all()


def test_the_text_matters(load):
    first, second = load("clipseg").segment(IMAGE, ["the cat left", "a dog"])
    assert (first.mask_logits != second.mask_logits).any()


def test_a_language_model_s_polygons_become_masks(load):
    square = "".join(f"<loc_{i}>" for i in (0, 0, 499, 0, 499, 999, 0, 999))
    (mask,) = read_polygons(load("florence-2").processor, f"</s><s>{square}</s>", (60, 90))
    assert mask[:, :44].all() and not mask[:, 46:].any()
    assert read_polygons(load("florence-2").processor, "</s><s>cat</s>", (60, 90)) == []


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (lambda system: system.segment(IMAGE, ["a cat"], boxes=[(0, 0, 5, 5)]), "texts alone"),
        (lambda system: system.segment(IMAGE, [""]), "empty"),
        (lambda system: system.segment(np.zeros((5, 5, 7)), ["a cat"]), "7"),
    ],
)
def test_what_it_cannot_answer(load, question, told):
    with pytest.raises(InputError, match=told):
        question(load("clipseg"))


def test_a_long_text_is_cut_and_not_refused(load):
    for name in NAMES:
        assert len(load(name).segment(IMAGE, ["the cat " * 60])) == 1


def damage(folder, what):
    if what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "no processor":
        for name in ("processor_config.json", "tokenizer_config.json", "tokenizer.json"):
            (folder / name).unlink(missing_ok=True)
    elif what == "cut weights":
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    elif what == "a pickle":
        (folder / "model.safetensors").unlink()
        torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    elif what == "another model":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "reduce_dim": 8}))
    elif what == "no config":
        (folder / "config.json").unlink()


@pytest.mark.parametrize(
    "what", ["no weights", "no processor", "cut weights", "a pickle", "another model", "no config"]
)
def test_damaged_files_are_one_sentence(systems_folder, tmp_path, what):
    shutil.copytree(systems_folder / "clipseg-rd64-refined", tmp_path / "clipseg-rd64-refined")
    damage(tmp_path / "clipseg-rd64-refined", what)
    with pytest.raises(CheckpointError) as told:
        load_model(f"clipseg@{tmp_path}", "cpu")
    assert "\n" not in str(told.value) and "clipseg" in str(told.value)


def test_names():
    assert find_system("evf-sam2-tiny") is None
    with pytest.raises(CheckpointError, match="no folder"):
        find_system("clipseg@/nowhere")


def test_without_a_network_the_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        load_model("clipseg", "cpu")


def test_from_the_command_line(systems_folder, tmp_path):
    picture, model = "assets/examples/cat.jpg", f"clipseg@{systems_folder}"
    assert main(["segment", picture, "the cat", "--model", model, "--device", "cpu", "-o", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["model"] == "clipseg" and result["pictures"][0]["results"][0]["prompt"] == "the cat"


@pytest.mark.parametrize("data", ["scenes", "clips"])
def test_scored_by_the_same_metrics(systems_folder, tmp_path, data):
    scores = tmp_path / "scores.json"
    common = ["evaluate", "--data", data, "--count", "2", "--size", "64", "--device", "cpu", "--json", str(scores)]
    assert main([*common, "--model", f"clipseg@{systems_folder}"]) == 0
    assert "clipseg" in scores.read_text()


@pytest.mark.slow  # two processes import all of it again
def test_several_processes_score_it_as_one_does(systems_folder, tmp_path):
    common = ["evaluate", "--data", "scenes", "--count", "2", "--size", "64", "--device", "cpu"]
    common += ["--model", f"clipseg@{systems_folder}"]
    rows = []
    for workers in ("1", "2"):
        assert main([*common, "--workers", workers, "--json", str(tmp_path / "scores.json")]) == 0
        rows.append(json.loads((tmp_path / "scores.json").read_text())["scores"])
    assert rows[0] == rows[1]


def test_probes_that_take_the_model_apart_are_refused(systems_folder, capsys):
    common = ["evaluate", "--data", "scenes", "--count", "1", "--size", "64", "--device", "cpu"]
    common += ["--model", f"clipseg@{systems_folder}"]
    assert main([*common, "--probes", "swapped_image"]) == 2
    assert "EVF-SAM's checkpoints" in capsys.readouterr().err
    assert main([*common, "--probes", "blur"]) == 0
