"""ReferSAM: the names of the public code, its two ways into SAM, and what depends on the text."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evfsam.checkpoints.refersam import build_refersam, load_refersam, save_refersam
from evfsam.errors import CheckpointError
from evfsam.modeling.refersam.attention import DeformableAttention, centres
from evfsam.modeling.refersam.config import ReferSamConfig
from tests.parity.recipe import case, fill, randn
from tests.systems.tiny import TINY_REFERSAM, TOKENIZER

KEYS = Path(__file__).with_name("refersam_keys.txt")
# Modules of a list share a line, which begins with their number.
REPEATED = re.compile(
    r"(blocks|layers?|interactions|extra_extractors|extra_vl_extractors|output_hypernetworks_mlps|adapter_proj"
    r"|point_embeddings)\.\d+\."
)
CLIP = replace(TINY_REFERSAM, text=replace(TINY_REFERSAM.text, kind="clip"))
IDS = torch.tensor([[0, 10, 20, 30, 2], [0, 40, 2, 1, 1], [0, 50, 60, 2, 1]])


@pytest.fixture(scope="module", params=[TINY_REFERSAM, CLIP], ids=["bert", "clip"])
def model(request):
    torch.manual_seed(0)
    model = build_refersam(request.param)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def ask(model, pixels, ids):
    looked = model.encode_image(pixels)
    return model.decode(looked.select(torch.zeros(len(ids), dtype=torch.int64)), ids, ids.ne(1))


def test_names_and_shapes_at_full_size_are_those_of_the_public_code():
    """The list was printed by the public code (lsa1997/ReferSAM at bc2316c) with SAM's ViT-B and BERT base."""
    with torch.device("meta"):
        state = build_refersam(ReferSamConfig()).state_dict()
    rows = Counter((REPEATED.sub(r"\1.N.", name), *map(str, one.shape)) for name, one in state.items())
    assert sorted(f"{count} {' '.join(row)}" for row, count in rows.items()) == KEYS.read_text().splitlines()


def test_many_prompts_answer_as_one_by_one(model, pixels):
    with torch.no_grad():
        together = ask(model, pixels, IDS)
        for row, ids in enumerate(IDS):
            alone = ask(model, pixels, ids[ids.ne(1)][None])  # without padding
            for batch, one in zip(together, alone, strict=True):
                torch.testing.assert_close(batch[row : row + 1], one, rtol=1e-3, atol=1e-4)
    assert (together.low_res_masks[0] - together.low_res_masks[1]).abs().max() > 1e-2


def test_image_features_depend_on_the_text(model, pixels):
    with torch.no_grad():
        looked, real = model.encode_image(pixels), IDS.ne(1)
        looked = looked.select(torch.zeros(3, dtype=torch.int64))
        words = model.text_encoder(IDS, attention_mask=real.long())[0]
        embeddings, mask_features, prompts = model.vl_adapter(looked, words, real)
    assert embeddings.shape == (3, 32, 4, 4) and mask_features.shape == (3, 32, 16, 16) and prompts.shape == (3, 5, 32)
    assert (embeddings[0] - embeddings[1]).abs().max() > 1e-2


@pytest.mark.parametrize("config", [TINY_REFERSAM, CLIP], ids=["bert", "clip"])
def test_masks_are_those_of_the_public_code(config):
    model = build_refersam(config)
    fill(model)
    with torch.no_grad():
        masks = ask(model, randn(11, (1, 3, 64, 64)), IDS).full_size()
    torch.testing.assert_close(
        masks[:, ::4, ::4], torch.from_numpy(case("refersam_small")[config.text.kind]), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("part", ["low_res_masks", "coarse_masks"])
def test_both_masks_teach_the_interactor_and_the_text(model, pixels, part):
    model.zero_grad()
    getattr(ask(model, pixels, IDS), part).square().mean().backward()
    learned = {name for name, one in model.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0}
    adapter = "vl_adapter.interactions."
    for name in ("0.injector.gamma", "0.vl_extractor.gamma_l2v", "1.extra_vl_extractors.0.gamma_v2l"):
        assert adapter + name in learned
    assert any(name.startswith("text_encoder.") for name in learned)
    assert "vl_adapter.vis_model.patch_embed.proj.weight" in learned and "mask_embedding.0.weight" in learned
    assert ("sam_mask_decoder.mask_tokens.weight" in learned) == (part == "low_res_masks")


def test_deformable_attention_without_offsets_reads_its_own_place():
    attention = DeformableAttention(16, heads=2, levels=1, points=4, value_ratio=0.5)
    attention.initialise()
    torch.nn.init.zeros_(attention.sampling_offsets.bias)
    sizes, values = [(3, 5)], torch.randn(2, 15, 16)
    read = attention(torch.randn(2, 15, 16), centres(sizes, values.device), values, sizes)
    torch.testing.assert_close(read, attention.output_proj(attention.value_proj(values)))


def test_saved_and_loaded_it_answers_the_same(model, pixels, tmp_path):
    loaded = load_refersam(save_refersam(tmp_path / "saved", model, TOKENIZER, torch.float32))
    assert loaded.config == model.config and not loaded.training
    with torch.no_grad():
        for before, after in zip(ask(model, pixels, IDS), ask(loaded, pixels, IDS), strict=True):
            assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"groups": [[0, 0]]}, "groups: write pairs that together are the blocks 0 to 1"),
        ({"heads": 5}, "heads: write a divisor of inner_width"),
        ({"points": 0}, "points: 0; write a whole number from 1 to 64"),
        ({"text": {"kind": "t5"}}, "text.kind: 't5'; write one of bert, clip"),
        ({"text": {"trust_remote_code": True}}, "text: .*; write an object with only kind"),
        ({"segmenter": {"image_size": 80}}, "segmenter.image_size: write a multiple of 32"),
        ({"model_type": "evf"}, "model_type: 'evf'; write refersam"),
    ],
)
def test_a_config_is_checked(change, told):
    with pytest.raises(ValueError, match=told):
        ReferSamConfig.from_dict({**TINY_REFERSAM.to_dict(), **change})


def test_weights_of_another_size_are_refused(model, tmp_path):
    folder = save_refersam(tmp_path / "saved", model, TOKENIZER)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"context_tokens": 16', '"context_tokens": 8'))
    with pytest.raises(CheckpointError, match="lang_prompts.weight"):
        load_refersam(folder)
