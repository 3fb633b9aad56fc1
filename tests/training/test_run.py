"""A few steps of every stage, on real scenes, to a checkpoint that loads and answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evfsam.checkpoints.load import load_checkpoint
from evfsam.data.ccp import read_pack, read_photo
from evfsam.data.registry import DATASETS
from evfsam.data.scenes import make_scene, render
from evfsam.errors import CheckpointError, InputError
from evfsam.modeling.build import build_model
from evfsam.predictor import Predictor
from evfsam.runtime import choose_runtime
from evfsam.training.config import SAVE
from evfsam.training.parts import PARTS, part_of
from evfsam.training.recipes import RECIPES
from evfsam.training.run import new_model, run
from tests.data.coco import write_coco
from tests.data.photographs import make_pack
from tests.training.small import STEPS, small


@pytest.fixture(scope="module")
def pack_folder(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("photographs"))


@pytest.fixture
def coco_folder(tmp_path):
    return write_coco(tmp_path / "coco")


@pytest.fixture(scope="module")
def continued(trained, pack_folder, tmp_path_factory):
    """Recipe -> folder of its run, which continues the checkpoint of ``trained``."""
    folders = {}

    def make(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            how = {"root": pack_folder, "base": trained / "checkpoint"}
            run(small(name), folders[name], device="cpu", workers=1, **how)
        return folders[name]

    return make


@pytest.fixture
def folder_of(trained, continued):
    return lambda name: trained if name == "evf-sam2-tiny" else continued(name)


NAMES = ["evf-sam2-tiny", "evf-sam-tiny", "evf-sam2-tiny-photo", "evf-effi-sam-tiny"]


@pytest.mark.parametrize(
    "name", [*NAMES[:-1], pytest.param(NAMES[-1], marks=pytest.mark.slow)]
)  # the last one has stages of the same kinds as evf-sam-tiny
def test_every_stage_reports_and_the_checkpoint_answers(folder_of, name):
    folder = folder_of(name)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    assert [row["stage"] for row in rows] == [stage.name for stage in small(name).stages]
    assert all(row["step"] == STEPS and np.isfinite(row["loss"]) for row in rows)
    predictor = Predictor(load_checkpoint(folder / "checkpoint"), choose_runtime("cpu"))
    image = render(make_scene(3), (90, 120)).image
    (found,) = predictor.segment(image, ["the red car"])
    assert found.mask_logits.shape == (90, 120) and np.isfinite(found.mask_logits).all()
    last = small(name).stages[-1]
    assert ("video" in predictor.checkpoint.info.capabilities) == (last.kind == "memory")


def test_a_recipe_for_coco_photographs_knows_their_words_alone(tmp_path, coco_folder):
    recipe = small("evf-sam2-tiny-coco")
    recipe = replace(recipe, stages=tuple(replace(stage, images=1, prompts=2) for stage in recipe.stages))
    run(recipe, tmp_path, device="cpu", workers=1, root=coco_folder)
    info = load_checkpoint(tmp_path / "checkpoint").info
    assert {"dog", "dogs", "left"} <= set(info.vocabulary) and "balloon" not in info.vocabulary
    assert "parts" not in info.capabilities and "video" in info.capabilities


STAGES = [(name, stage.name) for name in ("evf-sam2-tiny", "evf-sam-tiny") for stage in small(name).stages]


@pytest.mark.parametrize(("name", "stage_name"), STAGES)
def test_a_stage_changes_the_parts_that_it_trains_and_no_other(folder_of, trained, name, stage_name):
    folder, recipe = folder_of(name), small(name)
    stage = recipe.stage(stage_name)
    after = load_file(folder / f"{stage_name}.safetensors")
    before = {}
    for number, earlier in enumerate(stage.starts_from):
        state = load_file(folder / f"{earlier}.safetensors")
        before |= {k: v for k, v in state.items() if not number or part_of(k) in recipe.stage(earlier).trains}
    if not before and not recipe.continues:
        before = {f"model.{k}": v for k, v in new_model(recipe.model_of(stage), recipe.seed).state_dict().items()}
    changed = {
        part_of(key)
        for key, value in after.items()
        if key in before and before[key].shape == value.shape and not torch.equal(before[key], value)
    }
    # The memory is put into its initial state by its own stage; new layers and positions come with another size.
    assert changed <= set(stage.trains)
    if before:
        assert changed >= set(stage.trains) - ({"heads"} if not any("heads." in key for key in before) else set())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_parts_that_there_are_from_stages_before(name):
    recipe, done = RECIPES[name], set()
    for stage in recipe.stages:
        assert set(stage.trains) <= set(PARTS) and set(stage.rates) <= set(PARTS)
        assert set(stage.starts_from) <= done
        done.add(stage.name)
        assert all(source.made_here or source.name.split(":")[0] in DATASETS for source in recipe.sources)
        assert set(stage.mask_losses) <= {"bce", "dice", "iou_head", "presence"}


def test_the_bundled_recipes_fit_into_16_mib():
    for name in ("evf-sam2-tiny-256", *NAMES):
        recipe = RECIPES[name]
        bytes_fp16 = 2 * sum(p.numel() for p in build_model(recipe.model, weights=False).parameters())
        assert bytes_fp16 <= 15.5 * 2**20, f"{name}: {bytes_fp16 / 2**20:.1f} MiB"


def test_sizes_grow_with_the_stages(trained):
    recipe = small()
    sizes = [(recipe.model_of(s).segmenter.image_size, recipe.model_of(s).encoder.image_size) for s in recipe.stages]
    assert sizes == [(64, 64)] * 4 + [(128, 96)] * 3 or sizes == [(64, 64)] * 4 + [(64, 96)] + [(128, 96)] * 2
    pixels = load_checkpoint(trained / "checkpoint").info.pixels
    assert (pixels.image_size, pixels.encoder_image_size) == (128, 96)


def test_the_checkpoint_of_photographs_knows_their_words_and_answers(continued, pack_folder):
    checkpoint = load_checkpoint(continued("evf-sam2-tiny-photo") / "checkpoint")
    assert {"hair", "coat", "car"} <= set(checkpoint.info.vocabulary)
    image, _ = read_photo(read_pack(pack_folder).photos["val"][0])
    (found,) = Predictor(checkpoint, choose_runtime("cpu")).segment(image, ["the person in the red coat"])
    assert found.mask.shape == image.shape[:2] and not found.warnings


def test_a_finished_stage_is_not_trained_again(trained):
    before = load_file(trained / "memory.safetensors")
    run(small(), trained, ("memory",), "cpu", workers=1)
    after = load_file(trained / "memory.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"root": None}, InputError, "learns from photographs"),
        ({"root": "empty"}, InputError, "no pack of photographs"),
        ({"base": "nowhere"}, CheckpointError, "nowhere"),
        ({"stages": ("sharpest",)}, InputError, "no stage 'sharpest'; choose from photographs, save"),
    ],
    ids=str,
)
def test_what_is_missing_is_said_before_anything_is_rendered(trained, pack_folder, tmp_path, changes, error, told):
    how = {"root": pack_folder, "base": trained / "checkpoint"} | changes
    if how["root"] == "empty":
        how["root"] = tmp_path
    recipe = small("evf-sam2-tiny-photo")
    with pytest.raises(error, match=told):
        run(recipe, tmp_path / "run", device="cpu", workers=1, **how)
    assert not (tmp_path / "run" / "data").exists()


@pytest.mark.parametrize(
    ("stages", "told"),
    [(("memory",), "starts from all-384, which was not run"), ((SAVE,), "No stage of evf-sam2-tiny was run")],
)
def test_a_stage_without_its_start_and_a_checkpoint_without_a_stage_are_refused(tmp_path, stages, told):
    with pytest.raises(InputError, match=told):
        run(replace(small(), sources=small().sources[:1]), tmp_path, stages, "cpu", workers=1)
