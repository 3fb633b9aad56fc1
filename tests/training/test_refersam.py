"""ReferSAM's recipe in the one loop, from the bundled EVF-SAM to a folder that answers."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from evfsam.checkpoints.load import build_and_fill
from evfsam.errors import InputError
from evfsam.systems.load import load_model
from evfsam.training.parts import part_of
from evfsam.training.recipes import RECIPES
from evfsam.training.refersam_stage import new_refersam
from evfsam.training.run import run
from tests.systems.test_systems import IMAGE
from tests.systems.tiny import TINY_REFERSAM, TOKENIZER

RECIPE = RECIPES["refersam-tiny"].shortened(1, 2).each_stage(images=1, prompts=2, image_size=64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refersam")
    run(RECIPE, folder, device="cpu", workers=1)
    return folder


def test_every_stage_supervises_the_coarse_mask_and_the_folder_answers(trained):
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").open()]
    assert [row["stage"] for row in rows] == [stage.name for stage in RECIPE.stages]
    assert all(row["tokens"] > 0 and row["coarse"] > 0 for row in rows)
    assert rows[-1]["loss"] == pytest.approx(sum(rows[-1][name] for name in ("masks", "coarse", "tokens")), abs=1e-3)
    (found,) = load_model(f"refersam-tiny@{trained / 'checkpoint'}", "cpu").segment(IMAGE, ["the red car"])
    assert found.mask_logits.shape == IMAGE.shape[:2]
    assert (trained / "checkpoint" / "model.safetensors").stat().st_size <= 16 * 2**20


def test_it_starts_from_sam_and_every_stage_changes_its_parts(trained):
    state = new_refersam(RECIPE.model, source := build_and_fill(TOKENIZER)).state_dict()
    decoder = "mask_decoder.mask_tokens.weight"
    assert torch.equal(state[f"sam_{decoder}"], source.state_dict()[f"visual_model.{decoder}"])
    for stage in RECIPE.stages:
        before, state = state, {k[6:]: v for k, v in load_file(trained / f"{stage.name}.safetensors").items()}
        changed = {part_of(f"model.{name}") for name, value in state.items() if not torch.equal(before[name], value)}
        assert changed <= set(stage.trains) and (stage is RECIPE.stages[0] or changed == set(stage.trains))


def test_another_size_is_refused():
    with pytest.raises(InputError, match="leave --model out"):
        new_refersam(TINY_REFERSAM, build_and_fill(TOKENIZER))
