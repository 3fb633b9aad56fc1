"""A few steps of the stage that learns from photographs, continuing a run on rendered scenes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evfsam.checkpoints.load import build_and_fill, load_checkpoint
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.data.ccp import read_pack, read_photo
from evfsam.errors import CheckpointError, InputError
from evfsam.predictor import Predictor
from evfsam.runtime import choose_runtime
from evfsam.training.photo_cache import open_photo_cache
from evfsam.training.phrases import PhraseReader
from evfsam.training.recipes import RECIPES
from evfsam.training.run import answers_of, run
from evfsam.training.scene_cache import joined, open_cache
from evfsam.training.stages import GroundingHeads, PhotoStage
from tests.data.photographs import make_pack
from tests.training.test_training import STAGE, small, trained  # noqa: F401 - a fixture

NAME = "evf-sam2-tiny-photo"


@pytest.fixture(scope="module")
def pack_folder(tmp_path_factory):
    return make_pack(tmp_path_factory.mktemp("photographs"))


def photo_recipe():
    recipe, model = RECIPES[NAME], small("evf-sam2-tiny").model
    return replace(recipe, model=model, scenes=4, photographs=4, calibration_scenes=2, photo=STAGE)


@pytest.fixture(scope="module")
def continued(trained, pack_folder, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("photo-run")
    run(photo_recipe(), folder, device="cpu", workers=1, photographs=pack_folder, base=trained / "checkpoint")
    return folder


def test_it_continues_from_the_run_on_scenes_and_the_checkpoint_answers(trained, continued, pack_folder):  # noqa: F811
    before, after = load_file(trained / "memory.safetensors"), load_file(continued / "photo.safetensors")
    before = {name: value.half().float() for name, value in before.items() if name.startswith("model.")}
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert before.keys() <= after.keys() and any("image_encoder" in name for name in changed)
    assert max((after[name] - before[name]).abs().max() for name in changed) < 10 * STAGE.learning_rate
    checkpoint = load_checkpoint(continued / "checkpoint")
    assert {"hair", "coat", "car"} <= set(checkpoint.info.vocabulary)
    assert "video" not in checkpoint.info.capabilities
    assert checkpoint.info.self_prompts and 0 < checkpoint.info.iou_thresholds < 1
    image, _ = read_photo(read_pack(pack_folder).photos["val"][0])
    (found,) = Predictor(checkpoint, choose_runtime("cpu")).segment(image, ["the person in the red coat"])
    assert found.mask.shape == image.shape[:2] and not found.warnings


def test_what_the_base_answers_about_scenes_is_kept_and_of_photographs_nothing(trained, pack_folder, tmp_path):  # noqa: F811
    recipe, base = photo_recipe(), trained / "checkpoint"
    scenes = open_cache(tmp_path / "scenes", 0, 4, 128, 1, recipe.aspects, stretched=True)
    cache = joined(scenes, open_photo_cache(tmp_path / "photographs", pack_folder, 4, 128, workers=1))
    reader = PhraseReader(recipe.model, cache, load_tokenizer(base))
    torch.manual_seed(0)
    model = build_and_fill(base).train()
    stage = PhotoStage(
        model, recipe, GroundingHeads(recipe.model.encoder), reader, answers_of(build_and_fill(base).eval())
    )
    batch = next(b for b in map(stage.batch, range(100)) if 0 < (b.words.scenes < 4).sum() < len(b.words.scenes))
    assert stage(batch)["kept"].abs() < 1e-5

    with torch.no_grad():
        model.text_hidden_fcs[0][2].bias.add_(1)
    changed = stage(batch)
    changed["kept"].backward()
    assert changed["kept"] > 0.01 and model.text_hidden_fcs[0][2].bias.grad.abs().max() > 0
    untaught = PhotoStage(model, recipe, stage.heads, reader, None)(batch)
    assert "kept" not in untaught
    torch.testing.assert_close(changed["loss"], untaught["loss"] + changed["kept"])

    only_photographs = batch._replace(words=batch.words._replace(scenes=torch.full_like(batch.words.scenes, 4)))
    assert stage(only_photographs)["kept"] == 0


def test_a_finished_stage_is_not_trained_again(trained, continued, pack_folder):  # noqa: F811
    before = load_file(continued / "photo.safetensors")
    run(photo_recipe(), continued, ("photo",), "cpu", workers=1, photographs=pack_folder, base=trained / "checkpoint")
    after = load_file(continued / "photo.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert json.loads((continued / "photo" / "step.json").read_text()) == {"step": STAGE.steps}


def test_both_worlds_are_in_the_cache(trained, continued, pack_folder):  # noqa: F811
    scenes = open_cache(continued / "scenes", 0, 4, 128, 1, photo_recipe().aspects, stretched=True)
    photographs = open_photo_cache(continued / "photographs", pack_folder, 4, 128, workers=1)
    both = joined(scenes, photographs)
    assert len(both) == 8
    for i in range(4):
        assert (both.image(i) == scenes.image(i)).all()
        assert (both.image(4 + i) == photographs.image(i)).all()
        assert both.expressions[4 + i] == photographs.expressions[i] and photographs.expressions[i]
    present = np.unique(photographs.part_maps[0])
    assert all(np.isin(e.part_ids, present).any() for e in photographs.expressions[0] if e.kind != "absent")


@pytest.mark.parametrize("missing", ["photographs", "pack", "base"])
def test_what_is_missing_is_said_before_anything_is_rendered(trained, pack_folder, tmp_path, missing):  # noqa: F811
    photographs = {"photographs": None, "pack": tmp_path}.get(missing, pack_folder)
    base = tmp_path / "nowhere" if missing == "base" else trained / "checkpoint"
    told = {"photographs": "learns from photographs", "pack": "no pack of photographs", "base": "nowhere"}
    with pytest.raises((InputError, CheckpointError), match=told[missing]):
        run(photo_recipe(), tmp_path / "run", device="cpu", workers=1, photographs=photographs, base=base)
    assert not (tmp_path / "run").exists()
