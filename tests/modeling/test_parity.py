"""Our modules, filled by the parity recipe, give the reference implementation's numbers (within 1e-4)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything.modeling.image_encoder import Block
from torch import nn
from torch.nn import functional as F

from evfsam.modeling.build import build_model
from evfsam.modeling.config import Beit3Config, EvfConfig, Sam2Config, SamConfig
from evfsam.modeling.encoders.beit3 import Beit3Encoder
from evfsam.modeling.evf_sam import PROMPTS_AT_ONCE
from evfsam.modeling.linear import feed_forward
from evfsam.modeling.trunks import sam_vit
from evfsam.processing.masks import restore
from evfsam.types import Geometry
from tests.parity.recipe import case, fill, manifest, randn, reference_name

SMALL_BEIT3 = Beit3Config(width=64, layers=3, heads=4, feed_forward=256, vocabulary=128)
SMALL_SAM = SamConfig(image_size=128, width=64, depth=4, heads=4, global_attention_blocks=(1, 3), window=3)
HIERA_T_128 = Sam2Config(
    image_size=128, width=96, stages=(1, 2, 7, 2), heads=1, global_attention_blocks=(5, 7, 9), windows=(8, 4, 14, 7)
)
IDS = torch.tensor([[0, 17, 45, 99, 2]])
TOLERANCE = 1e-4


def check(measured: torch.Tensor, expected: np.ndarray) -> None:
    measured = measured.detach().numpy().reshape(expected.shape)
    difference = float(np.abs(measured - expected).max())
    print(f"greatest difference {difference:.1e} of values up to {np.abs(expected).max():.1f}")
    assert difference < TOLERANCE


@pytest.fixture(scope="module")
def beit3():
    encoder = Beit3Encoder(SMALL_BEIT3).eval()
    fill(encoder, "mm_extractor.")
    return encoder


def build_filled(segmenter) -> torch.nn.Module:
    model = build_model(EvfConfig(SMALL_BEIT3, segmenter, multimask=segmenter.kind == "sam2"))
    fill(model)
    return model


@torch.no_grad()
def test_beit3(beit3):
    expected = case("beit3_small")
    pixels, ids = randn(1, (2, 3, 224, 224)), torch.tensor([[0, 17, 45, 99, 2], [0, 8, 2, 1, 1]])
    fused = beit3(pixels, ids, padding_mask=ids.eq(1))
    check(fused[:, 0], expected["fused_padded"])
    check(fused[:, ::20], expected["fused_padded_tokens"])
    check(fused[:, 197:], expected["fused_text"])
    check(beit3(pixels[:1], ids[:1])[:, 0], expected["single"])
    check(beit3(None, ids, padding_mask=ids.eq(1)), expected["text_only"])
    check(beit3(pixels, None)[:, ::20], expected["image_only"])


@torch.no_grad()
def test_evf_sam():
    expected = case("evf_sam_small")
    model = build_filled(SMALL_SAM)
    features = model.encode_image(randn(2, (1, 3, 128, 128)))
    check(features.image_embeddings[:, ::16], expected["image_embedding"])
    prompt = model.encode_prompt(randn(3, (1, 3, 224, 224)), IDS)
    check(prompt, expected["prompt_embedding"])
    geometry = Geometry(original_size_hw=(200, 150), resized_size_hw=(128, 96), input_size_hw=(128, 128))
    for multimask, key in ((False, "mask_logits"), (True, "mask_logits_multimask")):
        masks = restore(model.decode(features, prompt, multimask=multimask).low_res_masks, geometry)
        check(masks[:, ::4, ::4], expected[key])


@torch.no_grad()
def test_evf_sam2():
    expected = case("evf_sam2_small")
    model = build_filled(HIERA_T_128)
    features = model.encode_image(randn(4, (1, 3, 128, 128)))
    encoder_pixels = randn(5, (1, 3, 224, 224))
    geometry = Geometry(original_size_hw=(200, 150), resized_size_hw=(128, 128), input_size_hw=(128, 128))
    prompt = model.encode_prompt(encoder_pixels, IDS)
    for multimask, key in ((True, "mask_logits"), (False, "mask_logits_singlemask")):
        masks = restore(model.decode(features, prompt, multimask=multimask).low_res_masks, geometry)
        check(masks[:, ::4, ::4], expected[key])
    two = torch.cat([IDS, torch.tensor([[0, 8, 33, 71, 2]])])
    masks = restore(model.decode(features, model.encode_prompt(encoder_pixels, two)).low_res_masks, geometry)
    check(masks[:, ::4, ::4], expected["two_prompts"])


@pytest.mark.parametrize("name", ["evf-sam", "evf-sam2"])
def test_names_and_shapes_are_the_published_ones(name):
    expected = manifest(name)
    model = build_model(EvfConfig.from_dict(expected["config"]), weights=False)
    ours = {reference_name(key): list(value.shape) for key, value in model.state_dict().items()}
    assert ours == expected["tensors"]
    assert sum(p.numel() for p in model.parameters()) == expected["parameters_total"]


@torch.inference_mode()
@pytest.mark.parametrize(
    ("grid", "window", "batch"), [((8, 8), 3, 1), ((8, 8), 4, 2), ((5, 7), 3, 2), ((8, 8), 0, 2), ((5, 7), 0, 1)]
)
def test_a_block_of_sam_equals_the_package(grid, window, batch, monkeypatch):
    """With and without padding, wide and high; a few windows or rows of queries at a time."""
    monkeypatch.setattr(sam_vit, "_BIAS_VALUES", 2000)
    torch.manual_seed(0)
    block = Block(32, 4, use_rel_pos=True, window_size=window, input_size=grid).eval()
    torch.nn.init.normal_(block.attn.rel_pos_h)
    torch.nn.init.normal_(block.attn.rel_pos_w)
    tokens = torch.randn(batch, *grid, 32)
    ours = sam_vit.vit_block(block, tokens.flatten(1, 2), grid)
    torch.testing.assert_close(ours, block(tokens).flatten(1, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(3, 16), (2, 700, 16), (2, 20, 40, 16)], ids=str)
def test_fused_linear_layers_equal_separate_ones(shape, dtype):
    """Without gradients oneDNN fuses them, with gradients torch does not."""
    torch.manual_seed(0)
    first, second, norm = nn.Linear(16, 64).to(dtype), nn.Linear(64, 16).to(dtype), nn.LayerNorm(64).to(dtype)
    x, residual = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
    expected = residual + second(norm(F.gelu(first(x))))
    with torch.inference_mode():
        found = feed_forward(first, second, x, norm, residual)
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(feed_forward(first, second, x, norm, residual), expected)


@torch.inference_mode()
def test_many_prompts_equal_few():
    """Prompts run in batches; their number and the padding of others change nothing."""
    model = build_filled(HIERA_T_128)
    features, pixels = model.encode_image(randn(4, (1, 3, 128, 128))), randn(5, (1, 3, 224, 224))
    ids = torch.tensor([[0, 17 + i, 45, 2, 1] if i % 3 else [0, 17 + i, 45, 9, 2] for i in range(PROMPTS_AT_ONCE + 3)])
    many = model.decode(features, model.encode_prompt(pixels, ids, ids.eq(1)))
    assert len(many.low_res_masks) == len(ids)
    for row in (0, 1, PROMPTS_AT_ONCE, PROMPTS_AT_ONCE + 2):
        own = ids[row : row + 1, : (ids[row] != 1).sum()]
        one = model.decode(features, model.encode_prompt(pixels, own))
        torch.testing.assert_close(one.low_res_masks[0], many.low_res_masks[row], atol=1e-4, rtol=1e-4)
