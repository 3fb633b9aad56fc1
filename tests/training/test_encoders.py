"""Each encoder of the paper on its whole path: build, save, load, train a step, save, predict."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, ViltForMaskedLM
from transformers import ViltConfig as TransformersViltConfig

from evfsam import Predictor
from evfsam.checkpoints.load import load_checkpoint
from evfsam.errors import CheckpointError, InputError
from evfsam.modeling.build import build_model
from evfsam.training.config import Source
from evfsam.training.foundation import Foundation, load_foundation
from evfsam.training.recipes import RECIPES
from evfsam.training.run import run
from tests.modeling.encoders import TINY_ENCODERS
from tests.random_model import CONFIG, save_random_model
from tests.training.small import small

PICTURE = "assets/examples/street.jpg"
SCENES = (Source("scenes", 2),)


FAST = ("beit3-half", "vilt-early", "clip-late")
NAMES = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in TINY_ENCODERS]


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_path(name, tmp_path):
    config = replace(CONFIG, encoder=TINY_ENCODERS[name])
    save_random_model(tmp_path / "start", config=config)
    recipe = replace(RECIPES["finetune"], sources=SCENES).shortened(steps=1, samples=2).each_stage(learning_rate=0.1)
    run(recipe, tmp_path / "run", device="cpu", workers=1, base=tmp_path / "start")
    before, after = (load_checkpoint(path).model for path in (tmp_path / "start", tmp_path / "run" / "checkpoint"))
    assert after.config == config
    own = after.mm_extractor.state_dict()
    assert any(not torch.equal(tensor, own[key]) for key, tensor in before.mm_extractor.state_dict().items())
    predictor = Predictor.from_pretrained(tmp_path / "run" / "checkpoint")
    for result in predictor.segment(PICTURE, ["the red car", "[semantic] sky"]):
        assert result.mask.shape == predictor.encode(PICTURE).geometry.original_size_hw
    if name.startswith("beit3") and not name.endswith("text"):
        assert predictor.cls_attention(PICTURE, "the red car").shape == (2, 2)
    else:
        with pytest.raises(InputError, match="choose"):
            predictor.cls_attention(PICTURE, "the red car")


def published_clip(folder: Path) -> None:
    letters = [*string.ascii_lowercase, *string.digits, "[", "]"]
    words = ["<|startoftext|>", *letters, *(f"{letter}</w>" for letter in letters), "re", "red</w>", "<|endoftext|>"]
    config = TINY_ENCODERS["clip-late"]
    sides = {
        "text_config": {"hidden_size": config.width, "intermediate_size": config.feed_forward, "vocab_size": 512},
        "vision_config": {
            "hidden_size": config.image_width,
            "intermediate_size": 64,
            "image_size": 32,
            "patch_size": 16,
        },
    }
    sides["text_config"] |= {"bos_token_id": 0, "eos_token_id": len(words) - 1, "pad_token_id": 0}
    for side in sides.values():
        side |= {"num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": config.projection}
    CLIPModel(CLIPConfig(**sides, projection_dim=config.projection)).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nr e\nre d</w>\n")


def published_vilt(folder: Path) -> None:
    config = TINY_ENCODERS["vilt-early"]
    sizes = {"hidden_size": config.width, "intermediate_size": config.feed_forward, "vocab_size": config.vocabulary}
    sizes |= {"image_size": 32, "patch_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    ViltForMaskedLM(TransformersViltConfig(**sizes)).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[", "]", "semantic", "the", "red", "car", "sky"]
    (folder / "vocab.txt").write_text("\n".join(words))


PUBLISHED = {"clip": published_clip, "vilt": published_vilt}


@pytest.fixture(scope="module")
def foundation(tmp_path_factory):
    """Kind -> SAM-2's file, and the folder of a published encoder as transformers writes it."""

    def make(kind: str) -> Foundation:
        folder = tmp_path_factory.mktemp(kind)
        torch.manual_seed(1)
        PUBLISHED[kind](folder)
        torch.save({"model": build_model(CONFIG).visual_model.state_dict()}, folder / "sam2.pt")
        return Foundation(folder / "sam2.pt", folder, folder)

    return make


def paper_recipe(name: str):
    recipe = replace(RECIPES["paper-sam2"], sources=SCENES, model=replace(CONFIG, encoder=TINY_ENCODERS[name]))
    return recipe.shortened(steps=1, samples=2).each_stage(images=2, batch=2)


@pytest.mark.parametrize("name", [param for param in NAMES if param.values[0].split("-")[0] in PUBLISHED])
def test_published_weights_are_trained_and_saved_with_their_tokenizer(name, foundation, tmp_path):
    files = foundation(name.split("-")[0])
    run(paper_recipe(name), tmp_path, device="cpu", workers=1, foundation=files)
    predictor = Predictor.from_pretrained(tmp_path / "checkpoint")
    tokenizers = {"clip": "CLIPTokenizer", "vilt": "BertTokenizer"}
    assert type(predictor.checkpoint.tokenizer).__name__ == tokenizers[name.split("-")[0]]
    (result,) = predictor.segment(PICTURE, ["the red car"])
    assert result.mask.ndim == 2 and predictor.model.config.encoder == TINY_ENCODERS[name]


@pytest.mark.parametrize(
    ("name", "spoil", "told"),
    [
        ("clip-late", lambda folder: (folder / "config.json").unlink(), "is no folder with a config.json"),
        ("clip-late", lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot be read as CLIP"),
        ("vilt-early", published_clip, "holds no ViltModel|cannot be read as ViltModel"),
        ("vilt-early", lambda folder: None, "does not fit the recipe's encoder"),
    ],
)
def test_a_folder_that_does_not_fit_is_named_in_a_sentence(name, spoil, told, foundation):
    files = foundation(name.split("-")[0])
    spoil(files.encoder)
    encoder = TINY_ENCODERS[name]
    if spoil.__name__ == "<lambda>" and name == "vilt-early":
        encoder = replace(encoder, layers=1)
    with pytest.raises(CheckpointError, match=told) as error:
        load_foundation(build_model(replace(CONFIG, encoder=encoder)), files)
    assert "\n" not in str(error.value)


def test_grounding_is_refused_where_there_are_no_image_tokens(tmp_path):
    recipe = small()
    recipe = replace(recipe, model=replace(recipe.model, encoder=TINY_ENCODERS["beit3-text"]))
    recipe = recipe.each_stage(encoder_size=None, encoder_layers=None)
    with pytest.raises(InputError, match="grounding"):
        run(recipe, tmp_path, ("grounding",), device="cpu", workers=1)
