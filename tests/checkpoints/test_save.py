"""What is saved in the published layout loads again, to the bit, and under the published names."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

from evfsam.checkpoints.keymap import to_published
from evfsam.checkpoints.load import build_and_fill, load_checkpoint
from evfsam.checkpoints.registry import describe_folder
from evfsam.checkpoints.save import save_checkpoint
from evfsam.errors import CheckpointError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EfficientSamConfig, EvfConfig
from tests.checkpoints.small import BEIT3, SAM, SAM2, write_checkpoint
from tests.parity.recipe import manifest

EFFICIENT = EfficientSamConfig(image_size=64, width=16, depth=1, heads=2, embedding_width=32, decoder_feed_forward=32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("segmenter", [SAM2, SAM, EFFICIENT], ids=lambda segmenter: segmenter.kind)
def test_round_trip_to_the_bit(tmp_path, segmenter, dtype):
    model = write_checkpoint(tmp_path, segmenter, dtype)
    loaded = build_and_fill(tmp_path)
    assert loaded.config == model.config
    parameters = dict(model.named_parameters())
    for name, tensor in model.state_dict().items():
        expected = tensor.to(dtype).float() if name in parameters else tensor
        assert torch.equal(loaded.state_dict()[name], expected), name
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert {file.get_tensor(to_published(name)).dtype for name in parameters} == {dtype}


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_all_who_may_read_the_folder_may_read_the_checkpoint(tmp_path, mode):
    tmp_path.chmod(mode)
    write_checkpoint(tmp_path)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == mode & 0o666


def test_names_in_the_file_are_the_published_ones(tmp_path):
    write_checkpoint(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        ours = set(file.keys())
    memory = [name for name in manifest("evf-sam2")["tensors"] if ".memory_encoder." in name]
    assert set(memory) <= ours
    assert not any("gamma" in name for name in ours)


@pytest.mark.parametrize("name", ["evf-sam", "evf-sam2"])
def test_the_config_of_a_published_size_is_written_as_published(name):
    published = manifest(name)["config"]
    written = EvfConfig.from_dict(published).to_dict()
    assert {key: written[key] for key in published} == published


def test_what_training_tells_becomes_the_row(tmp_path):
    folder = tmp_path / "mine"
    facts = {
        "capabilities": ["referring", "semantic", "video"],
        "vocabulary": ["red", "car"],
        "licence": "MIT",
        "description": "scenes",
    }
    model = write_checkpoint(folder, **facts)
    row = describe_folder(folder)
    assert row.name == "mine" and row.kind == "sam2" and not row.on_hub
    assert {key: getattr(row, key) for key in facts} == {
        key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()
    }
    assert row.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert row.file_bytes == (folder / "model.safetensors").stat().st_size
    assert row.pixels == model.config.pixels
    loaded = load_checkpoint(folder).info
    assert (loaded.capabilities, loaded.vocabulary, loaded.source) == (row.capabilities, row.vocabulary, row.source)


def test_a_loaded_checkpoint_can_be_saved_over_itself(tmp_path):
    """Its weights are views of the very file that is replaced."""
    write_checkpoint(tmp_path)
    loaded = load_checkpoint(tmp_path)
    with torch.no_grad():
        loaded.model.text_hidden_fcs[0][2].bias.add_(1)
    expected = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    save_checkpoint(tmp_path, loaded.model, loaded.folder, dtype=torch.float32)
    again = load_checkpoint(tmp_path).model.state_dict()
    assert all(torch.equal(again[name], expected[name]) for name in expected)
    assert all(torch.equal(loaded.model.state_dict()[name], expected[name]) for name in expected)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_the_dtype_cannot_hold_are_refused_and_nothing_is_written(tmp_path, value):
    model = build_model(EvfConfig(BEIT3, SAM2, multimask=True))
    with torch.no_grad():
        model.text_hidden_fcs[0][2].bias[0] = value
    with pytest.raises(CheckpointError, match="text_hidden_fcs.0.2.bias"):
        save_checkpoint(tmp_path / "out", model, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_model_without_tokenizer_is_not_saved(tmp_path):
    model = build_model(EvfConfig(BEIT3, SAM2, multimask=True))
    with pytest.raises(CheckpointError, match=r"sentencepiece\.bpe\.model"):
        save_checkpoint(tmp_path / "out", model, tmp_path / "nothing here")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_the_config_is_plain_json(tmp_path):
    write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "evf" and config["architectures"] == ["EvfSam2Model"]
    assert (config["bos_token_id"], config["pad_token_id"], config["eos_token_id"]) == (0, 1, 2)
