"""Folding batch normalisation and pixel statistics into a trunk changes nothing that it computes."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from evfsam.modeling.trunks.efficientnet_lite import EfficientNetLite0, pad_same
from evfsam.training.imagenet import NORM_EPS, fold_into
from evfsam.types import PixelSpec


def published_weights(trunk: EfficientNetLite0) -> dict[str, torch.Tensor]:
    """Random weights under the package's names."""
    blocks = [block for stage in trunk.stages for block in stage]
    layers = {("_conv_stem", "_bn0"): trunk.stem}
    for number, block in enumerate(blocks):
        for own, convolution, norm in (("expand", "_expand_conv", "_bn0"), ("depthwise", "_depthwise_conv", "_bn1")):
            if getattr(block, own) is not None:
                layers[f"_blocks.{number}.{convolution}", f"_blocks.{number}.{norm}"] = getattr(block, own)
        layers[f"_blocks.{number}._project_conv", f"_blocks.{number}._bn2"] = block.project
    weights = {}
    for (convolution, norm), layer in layers.items():
        width = layer.out_channels
        weights[f"{convolution}.weight"] = torch.randn_like(layer.weight) * 0.1
        for name in ("weight", "running_var"):
            weights[f"{norm}.{name}"] = torch.rand(width) + 0.5
        for name in ("bias", "running_mean"):
            weights[f"{norm}.{name}"] = torch.randn(width) * 0.1
    return weights


def test_the_stem_computes_what_it_computed_with_its_own_normalisation():
    torch.manual_seed(0)
    trunk = EfficientNetLite0().eval()
    weights = published_weights(trunk)
    fold_into(trunk, weights)
    values = torch.rand(1, 3, 32, 32) * 255
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (PixelSpec.mean, PixelSpec.std))
    expected = F.conv2d(pad_same((values - 127) / 128, trunk.stem), weights["_conv_stem.weight"], stride=2)
    norm = [weights[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    expected = F.batch_norm(expected, *norm, eps=NORM_EPS)
    found = trunk.stem(pad_same((values - mean) / std, trunk.stem))
    # The border is padded with zeros, which are another grey for the one than for the other.
    torch.testing.assert_close(found[..., :-1, :-1], expected[..., :-1, :-1], rtol=1e-3, atol=1e-3)


def test_every_convolution_is_filled():
    trunk = EfficientNetLite0()
    for parameter in trunk.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    with torch.no_grad():
        fold_into(trunk, published_weights(trunk))
    assert all(torch.isfinite(parameter).all() for parameter in trunk.parameters())
