"""Where a picture enters a transformer."""

from __future__ import annotations

import torch
from torch import nn


class PixelConv2d(nn.Conv2d):
    """A convolution over pixels that runs in float32 under autocast too.

    A picture has 256 levels a channel, of which bfloat16 tells a part only; and three channels cost little.
    """

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            return super().forward(pixels)
