"""8-bit and 4-bit weights: a sentence where they cannot be had, the language side alone where they can."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from evfsam.checkpoints.quantize import quantize
from evfsam.errors import CheckpointError, InputError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from evfsam.runtime import choose_runtime
from tests.checkpoints.small import BEIT3, SAM2

# bitsandbytes works in blocks, which a width of 32 does not fill.
WIDE = replace(BEIT3, width=128, feed_forward=256, heads=4, vocabulary=64)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(EvfConfig(WIDE, replace(SAM2, memory=False), multimask=False))


@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_other_devices_name_what_they_offer(precision):
    with pytest.raises(InputError, match="not offered on cpu; choose fp32, bf16 or auto"):
        choose_runtime("cpu", precision)


def test_without_the_package_a_sentence_says_how_to_get_it(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(CheckpointError, match="pip install bitsandbytes"):
        quantize(model, 8)


@pytest.mark.parametrize(("bits", "tolerance"), [(8, 0.05), (4, 0.3)])
def test_the_language_side_is_quantized_and_the_segmenter_is_not(model, bits, tolerance):
    pytest.importorskip("bitsandbytes")
    pixels, ids = torch.rand(1, 3, 32, 32), torch.tensor([[0, 5, 6, 2]])
    with torch.inference_mode():
        exact = model.encode_prompt(pixels, ids)
    before = [id(module) for module in model.visual_model.modules()]
    model = quantize(model.half(), bits).to("cpu")  # moving is what quantizes
    assert [id(module) for module in model.visual_model.modules()] == before
    language = [*model.mm_extractor.modules(), *model.text_hidden_fcs.modules()]
    assert not any(type(module) is nn.Linear for module in language)
    with torch.inference_mode(), torch.autocast("cpu", torch.float16):
        rounded = model.encode_prompt(pixels.half(), ids).float()
    assert (rounded - exact).abs().max() < tolerance * exact.abs().max()
