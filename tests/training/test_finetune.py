"""Fine-tuning on one's own data, and two processes that learn the same as one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from evfsam.__main__ import main
from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.registry import describe_folder
from evfsam.data.sample import Prompt, Sample
from evfsam.data.scenes import SEEDS
from evfsam.data.scenes.dataset import SceneDataset
from evfsam.errors import InputError
from evfsam.training.augment import mirrored, mirrored_text
from evfsam.training.export import presence_threshold
from evfsam.training.parts import part_of
from evfsam.training.recipes import RECIPES
from evfsam.training.run import run
from tests.random_tracker import save_random_tracker

OPTIONS = ["train", "--recipe", "finetune", "--data", "scenes:train", "--scenes", "4", "--device", "cpu"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_random_tracker(tmp_path_factory.mktemp("base") / "random-tracker")


@pytest.fixture(scope="module")
def one_process(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    options = ["--steps", "3", "--images", "1", "--accumulate", "2", "--out", str(folder)]
    assert main([*OPTIONS, "--model", str(base), *options]) == 0
    return folder


def test_a_checkpoint_is_made_of_the_one_it_continues(base, one_process):
    before, after = load_checkpoint(base).model.state_dict(), load_file(one_process / "finetune.safetensors")
    changed = {part_of(f"model.{name}") for name in before if not torch.equal(before[name], after[f"model.{name}"])}
    assert changed == {"encoder", "projector", "decoder"}
    info = describe_folder(one_process / "checkpoint")
    assert "video" in info.capabilities and "fine-tuned on scenes:train" in info.description
    assert info.refinement == describe_folder(base).refinement


def test_two_processes_learn_the_same_as_one_that_accumulates(base, one_process, tmp_path):
    options = ["--steps", "3", "--images", "1", "--accumulate", "2", "--out", str(tmp_path), "--stages", "finetune"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "evfsam"]
    subprocess.run([*launch, *OPTIONS, "--model", str(base), *options], check=True, timeout=300)
    one, two = (json.loads((f / "metrics.jsonl").read_text().splitlines()[0]) for f in (one_process, tmp_path))
    assert (one["processes"], two["processes"]) == (1, 2) and one["prompts"] == two["prompts"]
    for name in ("loss", "bce", "dice", "iou"):
        assert one[name] == pytest.approx(two[name], abs=2e-4)
    states = [load_file(folder / "finetune.safetensors") for folder in (one_process, tmp_path)]
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--data", "refcocos:train"], "no data set 'refcocos'"),
        (["--data", "scenes:night"], "no split 'night'"),
        (["--data", "ccp:train"], "--root"),
        (["--data", "scenes:train=none"], "the weight in --data"),
        (["--model", "nowhere"], "nowhere"),
        (["--images", "3", "--accumulate", "0"], "--accumulate is 0"),
        (["--trains", "everything"], "invalid choice: 'everything'"),
    ],
    ids=str,
)
def test_what_cannot_be_fine_tuned_is_refused_in_a_sentence(base, tmp_path, capsys, options, told):
    assert main([*OPTIONS, "--model", str(base), "--out", str(tmp_path / "run"), *options]) == 2
    error = capsys.readouterr().err
    assert told in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--data", "scenes:validation"], "data"), (["--seed", "5"], "seed"), (["--trains", "decoder"], "parts")],
    ids=str,
)
def test_a_folder_of_another_run_is_left_alone(one_process, base, options, told, capsys):
    before = (one_process / "recipe.json").read_bytes()
    assert main([*OPTIONS, "--model", str(base), "--out", str(one_process), *options]) == 2
    error = capsys.readouterr().err
    assert told in error and "--out" in error and (one_process / "recipe.json").read_bytes() == before


def test_it_asks_for_data_and_for_a_checkpoint(tmp_path, capsys):
    assert main(["train", "--recipe", "finetune", "--out", str(tmp_path)]) == 2
    assert "name data sets by --data" in capsys.readouterr().err
    recipe = replace(RECIPES["finetune"], sources=RECIPES["evf-sam2-tiny"].sources)
    with pytest.raises(InputError, match="name it by --model"):
        run(recipe, tmp_path, device="cpu")


MIRRORED = {
    "the left dog": "the right dog",
    "Left dog, right of the LEFT cat": "Right dog, left of the RIGHT cat",
    "leftmost cup": "rightmost cup",
    "left-hand door": "right-hand door",
    "upper left": "upper right",
    "[semantic] right arm": "[semantic] left arm",
    "leftovers on a plate": "leftovers on a plate",
    "a bright light": "a bright light",
    "the cat in the middle": "the cat in the middle",
}


@pytest.mark.parametrize("text", MIRRORED)
def test_sides_are_exchanged_in_words(text):
    assert mirrored_text(text) == MIRRORED[text] and mirrored_text(mirrored_text(text)) == text


def sample(*texts: str) -> Sample:
    mask = np.zeros((4, 6), bool)
    mask[1, 0] = True
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    return Sample("x", image, tuple(Prompt(text, mask, ignore=mask) for text in texts), {"part_map": mask})


def test_image_masks_and_words_are_mirrored_together():
    before = sample("left dog", "the cat")
    after = mirrored(before)
    assert [prompt.text for prompt in after.prompts] == ["right dog", "the cat"]
    assert (after.image[:, ::-1] == before.image).all() and after.prompts[0].mask[1, 5]
    assert after.prompts[0].ignore[1, 5] and after.facts["part_map"][1, 5] and before.prompts[0].mask[1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "player number 7",
        "the sign",
        "the bus that says school",
        "clock at three",
        "dog right behind him",
        "le chat à gauche",
        "perro a la izquierda",
        "左边的猫",
        "eastern wall, east side",
    ],
)
def test_what_a_mirror_makes_wrong_is_not_mirrored(text):
    before = sample("the left dog", text)
    assert mirrored(before) is before


def test_rejection_is_chosen_only_where_prompts_may_be_absent(base):
    scene = SceneDataset(SEEDS["train"][:1], (64, 64))[0]
    there = replace(scene, prompts=tuple(prompt for prompt in scene.prompts if prompt.mask.any())[:4])
    absent = replace(scene, prompts=(*there.prompts, Prompt("the cat", np.zeros((64, 64), bool))))
    assert presence_threshold(base, [there]) is None
    # The random model is sure of everything: no threshold may reject it.
    assert 0.9 < presence_threshold(base, [absent]) < 1


def test_metrics_are_written_for_tensorboard_too(base, tmp_path):
    pytest.importorskip("tensorboard")
    options = ["--steps", "1", "--images", "1", "--stages", "finetune", "--tensorboard", "--out", str(tmp_path)]
    assert main([*OPTIONS, "--model", str(base), *options]) == 0
    assert list((tmp_path / "tensorboard").rglob("events.out.tfevents.*"))
