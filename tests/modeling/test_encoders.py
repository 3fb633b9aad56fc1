"""The encoders that the paper compares: what each reads, and how text and image meet in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import CLIPModel

from evfsam.modeling.build import build_encoder
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.encoders.beit3 import Beit3
from evfsam.modeling.encoders.config import PAPER_ENCODERS, ClipConfig, ViltConfig
from evfsam.modeling.encoders.vilt import ViltEncoder
from tests.modeling.encoders import TINY_ENCODERS
from tests.random_model import CONFIG

IDS = torch.tensor([[0, 17, 45, 99, 2], [0, 8, 2, 1, 1]])
PADDING = IDS.eq(1)


@pytest.fixture(scope="module")
def encoder_of():
    """Name -> the tiny encoder, with weights that let every token and position count."""

    def make(name: str):
        torch.manual_seed(0)
        encoder = build_encoder(TINY_ENCODERS[name]).eval()
        for parameter in encoder.parameters():
            nn.init.normal_(parameter, std=0.3)
        return encoder

    return make


def differs(a: torch.Tensor, b: torch.Tensor) -> bool:
    return not torch.allclose(a, b, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("name", TINY_ENCODERS)
def test_an_encoder_reads_what_its_fusion_says(encoder_of, name):
    config, encoder, pixels = TINY_ENCODERS[name], encoder_of(name), torch.randn(2, 3, 32, 32)
    prompt = encoder.prompt(pixels, IDS, PADDING)
    assert prompt.shape == (2, 1, config.prompt_width)
    assert differs(prompt, encoder.prompt(pixels, IDS.flip(1).contiguous(), PADDING.flip(1) & False))
    assert differs(prompt, encoder.prompt(-pixels, IDS, PADDING)) == (config.fusion != "text")
    if config.fusion == "late":  # each half knows one of the two
        of_image, of_text = (
            encoder.prompt(-pixels, IDS, PADDING),
            encoder.prompt(pixels, IDS.roll(1, 0), PADDING & False),
        )
        halves = [slice(0, config.prompt_width // 2), slice(config.prompt_width // 2, None)]
        changed = [
            (differs(prompt[..., h], of_image[..., h]), differs(prompt[..., h], of_text[..., h])) for h in halves
        ]
        assert sorted(changed) == [(False, True), (True, False)]


@torch.inference_mode()
@pytest.mark.parametrize("name", TINY_ENCODERS)
def test_neighbours_padding_and_a_shared_image_change_nothing(encoder_of, name):
    encoder, pixels = encoder_of(name), torch.randn(2, 3, 32, 32)
    pair = encoder.prompt(pixels, IDS, PADDING)
    torch.testing.assert_close(pair[1:], encoder.prompt(pixels[1:], IDS[1:, :3]), atol=1e-5, rtol=1e-5)
    shared = encoder.prompt(pixels[:1], IDS, PADDING)
    torch.testing.assert_close(shared[:1], pair[:1], atol=1e-5, rtol=1e-5)
    rows = torch.tensor([1, 1, 0])
    tokens = encoder(pixels, IDS[[0, 1, 0]], PADDING[[0, 1, 0]], rows)
    torch.testing.assert_close(encoder.pool(tokens)[1:], pair[[1, 0]], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_image_and_text_meet_in_the_first_half_of_the_layers_alone(encoder_of):
    """Three layers: the first one is joint. After it a text no longer changes which image tokens attend to which."""
    encoder, calls = encoder_of("beit3-half"), []
    assert isinstance(encoder.beit3, Beit3)
    for layer in encoder.beit3.encoder.layers:
        layer.register_forward_pre_hook(lambda _, args: calls.append(sorted(args[0])))
    encoder(torch.randn(1, 3, 32, 32), IDS[:1])
    assert calls == [["A", "B"], ["A"], ["B"], ["A"], ["B"]]


@torch.inference_mode()
def test_vilt_gives_what_transformers_gives(encoder_of):
    """transformers shuffles the patches, which [CLS] does not feel."""
    encoder, pixels = encoder_of("vilt-early"), torch.randn(2, 3, 32, 32)
    assert isinstance(encoder, ViltEncoder)
    theirs = encoder.vilt(IDS, (~PADDING).long(), pixel_values=pixels).last_hidden_state[:, :1]
    torch.testing.assert_close(encoder.prompt(pixels, IDS, PADDING), theirs, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_clip_gives_what_transformers_gives(encoder_of):
    encoder, pixels = encoder_of("clip-late"), torch.rand(2, 3, 32, 32)
    config = CLIPModel.config_class(
        text_config=encoder.text.config.to_dict() | {"eos_token_id": 99},
        vision_config=encoder.image.config.to_dict(),
        projection_dim=24,
    )
    clip = CLIPModel(config).eval()
    state = encoder.text.state_dict() | encoder.image.state_dict()
    clip.load_state_dict(state | {"logit_scale": torch.zeros(())})
    ids, mean = IDS[:1, :4], torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    theirs = torch.cat(
        [clip.get_text_features(ids).pooler_output, clip.get_image_features((pixels[:1] - mean) / std).pooler_output],
        -1,
    )
    torch.testing.assert_close(encoder.prompt(pixels[:1] * 2 - 1, ids)[:, 0], theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", TINY_ENCODERS)
def test_a_config_comes_back_from_its_json(name):
    config = replace(CONFIG, encoder=TINY_ENCODERS[name])
    assert EvfConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("beit3-early", {"fusion": "middle"}, "one of text, late, half, early"),
        ("beit3-early", {"fusion": "late"}, "prompt: image_cls; write both_cls"),
        ("beit3-early", {"fusion": "text"}, "prompt: image_cls; write text_cls"),
        ("beit3-half", {"layers": 1}, "layers: 1; write 2 or more"),
        ("clip-late", {"fusion": "early"}, "fusion: early; write one of text, late"),
        ("clip-late", {"image_heads": 5}, "image_heads: 5; write a number that divides image_width"),
        ("vilt-early", {"fusion": "half"}, "fusion: half; write one of text, late, early"),
    ],
)
def test_what_cannot_be_built_is_refused(name, changes, told):
    with pytest.raises(ValueError, match=told):
        replace(TINY_ENCODERS[name], **changes)


def test_the_paper_s_rows():
    assert {type(config) for config in PAPER_ENCODERS.values()} >= {ClipConfig, ViltConfig}
    widths = {name: config.prompt_width for name, config in PAPER_ENCODERS.items()}
    assert widths["beit3-large"] == 1024 and widths["beit3-large-late"] == 2048
    assert widths["clip-large-text"] == 768 and widths["clip-large-late"] == 1536 and widths["vilt-early"] == 768
