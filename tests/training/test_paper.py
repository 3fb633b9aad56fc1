"""The paper's training: what learns, the foundation models' files, official sizes, and a tiny twin that takes steps."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.data.scenes import SEEDS
from evfsam.data.scenes.dataset import SceneDataset
from evfsam.errors import CheckpointError, InputError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import Beit3Config, EvfConfig
from evfsam.training.foundation import Foundation, load_foundation
from evfsam.training.losses import full_size_losses, mask_losses
from evfsam.training.parts import parameter_groups, part_of
from evfsam.training.phrase_stage import PhraseStage
from evfsam.training.recipes import RECIPES
from evfsam.training.run import run
from evfsam.training.sampler import Mixture, Sampler, generator
from evfsam.types import Geometry, MaskLogits
from tests.random_tracker import WITH_MEMORY
from tests.training.conftest import BUNDLED
from tests.training.small import SEGMENTERS

ENCODER = Beit3Config(width=32, layers=2, heads=2, feed_forward=64, vocabulary=300, image_size=64, text_positions=66)
# Narrow, but of the official kinds: SAM with padding, SAM-2 with memory and the decoder's three masks.
TWINS = {
    "paper-sam": EvfConfig(ENCODER, replace(SEGMENTERS["sam"], image_size=64), multimask=False),
    "paper-sam2": EvfConfig(ENCODER, replace(WITH_MEMORY.segmenter, extra_masks=True), multimask=True),
}


@pytest.fixture
def foundation(tmp_path):
    """Recipe -> files as their authors publish them, with the tensors of a narrow model."""

    def make(name: str, image_size: int = 64) -> Foundation:
        torch.manual_seed(3)
        config = TWINS[name]
        model = build_model(replace(config, encoder=replace(ENCODER, image_size=image_size)))
        segmenter, encoder = model.visual_model.state_dict(), model.mm_extractor.state_dict()
        encoder = {key: tensor.clone().normal_() for key, tensor in encoder.items()}
        heads = {"mlm_head.weight": torch.zeros(3), "logit_scale": torch.zeros(())}
        files = Foundation(tmp_path / "sam.pth", tmp_path / "beit3.pth", tmp_path / "beit3.spm")
        torch.save({"model": segmenter} if name == "paper-sam2" else segmenter, files.segmenter)
        torch.save({"model": encoder | heads}, files.encoder)
        shutil.copyfile(f"{BUNDLED}/sentencepiece.bpe.model", files.tokenizer)
        return files

    return make


def twin(name: str, **changes):
    """The paper's recipe on a narrow model, on rendered scenes."""
    recipe = replace(RECIPES[name], model=TWINS[name], sources=RECIPES["evf-sam2-tiny"].sources[:1])
    recipe = recipe.shortened(steps=2, samples=2)
    return recipe.each_stage(images=2, batch=4, shares=None, **changes)


# Table 4 of the paper, and the frozen segmenter of its SAM-2 variants.
LEARNS = {
    "paper-sam": {"encoder", "projector", "prompt_encoder", "decoder"},
    "paper-sam2": {"encoder", "projector"},
}


@pytest.mark.parametrize("name", LEARNS)
def test_the_paper_s_parts_learn_from_the_foundation_models_and_no_others(foundation, tmp_path, name):
    files = foundation(name)
    run(twin(name), tmp_path / "run", device="cpu", workers=1, foundation=files)
    after = load_file(tmp_path / "run" / "evf.safetensors")
    start = build_model(TWINS[name])
    load_foundation(start, files)
    before = {f"model.{key}": tensor for key, tensor in start.state_dict().items() if "text_hidden_fcs" not in key}
    changed = {(part_of(key), key) for key, tensor in before.items() if not torch.equal(tensor, after[key])}
    assert {part for part, _ in changed} == LEARNS[name] - {"projector"}
    of_prompts = [key for part, key in changed if part == "prompt_encoder"]
    assert all("no_mask_embed" in key for key in of_prompts)
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert "iou" in row and row["loss"] == pytest.approx(row["bce"] + row["dice"], abs=2e-4)
    assert load_checkpoint(tmp_path / "run" / "checkpoint").model.config == TWINS[name]


def test_the_paper_s_numbers():
    for name in LEARNS:
        (stage,) = RECIPES[name].stages
        assert (stage.steps, stage.learning_rate, stage.batch, stage.prompts) == (15000, 1e-4, 128, 3)
        assert dict(stage.mask_losses) == {"bce": 1.0, "dice": 1.0} and set(stage.trains) == LEARNS[name]
        assert [stage.accumulation(processes) for processes in (1, 2, 4, 8)] == [8, 4, 2, 1]
        with pytest.raises(InputError, match="divides 128"):
            stage.accumulation(3)


@pytest.mark.parametrize(("name", "kind"), [("paper-sam", "sam"), ("paper-sam2", "sam2")])
def test_the_official_sizes_are_built_and_grouped_on_the_meta_device(name, kind):
    recipe = RECIPES[name]
    assert recipe.model == EvfConfig.official(kind, "huge" if kind == "sam" else "large", "large")
    model = build_model(recipe.model, weights=False)
    module = PhraseStage(model, recipe.stages[0], None, 0)
    learning = sum(p.numel() for group in parameter_groups(module, recipe.stages[0]) for p in group["params"])
    total = sum(p.numel() for p in model.parameters())
    by_part = {}
    for key, p in module.named_parameters():
        by_part[part_of(key)] = by_part.get(part_of(key), 0) + p.numel()
    assert learning == sum(by_part[part] for part in LEARNS[name])
    assert total == {"sam": 1_315_105_072, "sam2": 898_444_594}[kind]  # the published files'


@pytest.mark.parametrize("name", LEARNS)
def test_an_image_position_table_of_another_size_is_interpolated(foundation, name):
    model = build_model(TWINS[name])
    load_foundation(model, foundation(name, image_size=96))
    positions = model.mm_extractor.beit3.encoder.embed_positions.A.weight
    assert positions.shape == (3 + 4 * 4, 32)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda files: files.segmenter.unlink(), "sam.pth is not there"),
        (lambda files: files.encoder.write_bytes(b"no pickle"), "beit3.pth"),
        (lambda files: torch.save({"model": {}}, files.segmenter), "does not fit the recipe's segmenter"),
        (lambda files: torch.save([1, 2], files.encoder), "not a table of tensors"),
        (lambda files: torch.save({"model": {"a": torch.nn.Linear(1, 1)}}, files.encoder), "refused"),
        (lambda files: torch.save({"beit3.x": torch.zeros(1)}, files.encoder), "does not fit the recipe's BEIT-3"),
    ],
)
def test_foundation_files_that_do_not_fit_are_named(foundation, spoil, told):
    files = foundation("paper-sam")
    spoil(files)
    with pytest.raises(CheckpointError, match=told):
        load_foundation(build_model(TWINS["paper-sam"]), files)


def test_a_recipe_of_foundation_models_asks_for_their_files(tmp_path):
    with pytest.raises(InputError, match="--segmenter-weights"):
        run(twin("paper-sam"), tmp_path, device="cpu")


def test_full_size_losses_are_the_official_ones():
    """Logits at the image's size, BCE and dice for each mask, mean over all masks of the batch."""
    torch.manual_seed(0)
    logits = torch.randn(3, 16, 16)
    geometry = [Geometry((40, 50), (64, 64), (64, 64)), Geometry((30, 20), (64, 64), (64, 64))]
    truth = [torch.rand(2, 40, 50) > 0.5, torch.rand(1, 30, 20) > 0.5]
    masks = [torch.stack([one, torch.zeros_like(one)]) for one in truth]
    decoded, rows = MaskLogits(logits, torch.zeros(3)), torch.tensor([0, 0, 1])
    found = full_size_losses(decoded, rows, masks, geometry, {"bce": 1.0, "dice": 1.0})
    bce, dice = [], []
    for row, target in zip(logits, [*truth[0], truth[1][0]], strict=True):
        large = F.interpolate(row[None, None], target.shape, mode="bilinear", align_corners=False)[0, 0]
        bce.append(F.binary_cross_entropy_with_logits(large, target.float()))
        p, t = large.sigmoid() / 1000, target.float()
        dice.append(1 - (2 * (p * t).sum() + 1e-6) / (p.sum() + t.sum() / 1000 + 1e-6))
    torch.testing.assert_close(found["bce"], torch.stack(bce).mean())
    torch.testing.assert_close(found["dice"], torch.stack(dice).mean())
    torch.testing.assert_close(found["loss"], found["bce"] + found["dice"])


def test_ignored_pixels_count_in_no_loss():
    target, ignored = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    target[:, :4] = 1
    ignored[:, :, 4:] = 1
    right = (2 * target - 1) * 20
    wrong_where_ignored = torch.where(ignored > 0, -right, right)
    losses = mask_losses(MaskLogits(wrong_where_ignored, torch.ones(1)), target, ignored=ignored)
    assert losses["bce"] < 1e-6 and losses["dice"] < 1e-6 and losses["iou"] == 1
    geometry = [Geometry((8, 8), (8, 8), (8, 8))]
    masks = [torch.stack([target > 0, ignored > 0])]
    decoded = MaskLogits(wrong_where_ignored, torch.ones(1))
    full = full_size_losses(decoded, torch.zeros(1, dtype=torch.int64), masks, geometry, {"bce": 1.0})
    assert full["bce"] < 1e-6 and full["iou"] == 1


def test_sources_are_drawn_from_by_their_weights(sampler_of):
    one, other = SceneDataset(SEEDS["train"][:2], (64, 64)), SceneDataset(SEEDS["train"][10:15], (64, 64))
    mixture = Mixture((one, other), (False, False), weights=(3.0, 1.0), counts=(None, 4))
    drawn = mixture.draw(4000, generator(0, "x", 0))
    assert len(mixture) == 6 and set(drawn) == set(range(6))
    assert (drawn < 2).mean() == pytest.approx(0.75, abs=0.03)
    assert mixture[2].name == other[0].name
    sampler = Sampler(mixture, TWINS["paper-sam2"], load_tokenizer(BUNDLED))
    (stage,) = twin("paper-sam2").stages
    batch, _ = sampler.phrases(stage, generator(0, "x", 1))
    assert [masks.shape[1] for masks in batch.masks] == [3, 3] and len(batch.token_ids) == 6
