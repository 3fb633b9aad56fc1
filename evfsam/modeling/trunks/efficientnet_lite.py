"""EfficientNet-Lite0: a small convolutional trunk that comes with ImageNet features.

MobileNet's inverted residuals (Tan and Le, arXiv 1905.11946), without squeeze-and-excitation and with ReLU6. Every
batch normalisation is folded into the convolution before it, so the trunk has convolutions only.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from evfsam.modeling.pixels import PixelConv2d

STEM_WIDTH = 32
# One row per stage: blocks, kernel, stride, expansion, width.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LEVELS = (1, 2, 4, 6)  # the stages whose maps are handed on, at strides 4, 8, 16 and 32
WIDTHS = tuple(STAGES[stage][-1] for stage in LEVELS)


class InvertedResidual(nn.Module):
    """Expand (1 x 1), filter each channel (k x k), project (1 x 1)."""

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        hidden = width_in * expansion
        self.expand = nn.Conv2d(width_in, hidden, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, stride, groups=hidden)
        self.project = nn.Conv2d(hidden, width_out, 1)
        self.adds = stride == 1 and width_in == width_out

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        hidden = features if self.expand is None else F.relu6(self.expand(features))
        hidden = F.relu6(self.depthwise(pad_same(hidden, self.depthwise)))
        projected = self.project(hidden)
        return features + projected if self.adds else projected


class EfficientNetLite0(nn.Module):
    """A trunk for sam2's ``ImageEncoder``, in the place of Hiera.

    Attributes:
        channel_list: widths of the levels, the coarsest first, as ``FpnNeck`` expects them.
    """

    def __init__(self):
        super().__init__()
        self.channel_list = list(reversed(WIDTHS))
        self.stem = PixelConv2d(3, STEM_WIDTH, 3, 2)
        self.stages = nn.ModuleList()
        width = STEM_WIDTH
        for blocks, kernel, stride, expansion, width_out in STAGES:
            stage = []
            for block in range(blocks):
                stage.append(InvertedResidual(width, width_out, kernel, stride if block == 0 else 1, expansion))
                width = width_out
            self.stages.append(nn.Sequential(*stage))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W), normalised as for SAM-2 -> maps at strides 4, 8, 16, 32 with 24, 40, 112, 320 channels."""
        features = F.relu6(self.stem(pad_same(pixels, self.stem)))
        levels = []
        for number, stage in enumerate(self.stages):
            features = stage(features)
            if number in LEVELS:
                levels.append(features)
        return levels


def pad_same(features: torch.Tensor, convolution: nn.Conv2d) -> torch.Tensor:
    """Zeros around a map, as TensorFlow's "SAME" adds them: the odd one goes to the right and to the bottom."""
    padding = []
    for size in reversed(features.shape[-2:]):
        kernel, stride = convolution.kernel_size[0], convolution.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(features, padding)
