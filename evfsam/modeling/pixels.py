"""The first convolution of an image encoder."""

from __future__ import annotations

import torch
from torch import nn


class PixelConv2d(nn.Conv2d):
    """A convolution over pixels that stays float32 under autocast.

    An image has 256 levels per channel, and bfloat16 cannot tell all of them apart. Three channels cost little.
    """

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            return super().forward(pixels)
