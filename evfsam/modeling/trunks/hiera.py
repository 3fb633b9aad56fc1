"""SAM-2's image trunk over the modules of the sam2 package, with linear layers in fewer passes."""

from __future__ import annotations

import torch
from sam2.modeling.backbones.hieradet import Hiera, MultiScaleAttention, MultiScaleBlock, do_pool
from sam2.modeling.backbones.utils import window_partition, window_unpartition
from torch.nn import functional as F

from evfsam.modeling.linear import feed_forward, linear


class FusedHiera(Hiera):
    """The package's trunk with its own parameters; pixels (B, 3, H, W) -> maps of all stages, as the package."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.patch_embed(x)
        x = x + self._get_pos_embed(x.shape[1:3])
        outputs = []
        for i, block in enumerate(self.blocks):
            x = _block(block, x)
            if i in self.stage_ends:
                outputs.append(x.permute(0, 3, 1, 2))
        return outputs


def _block(block: MultiScaleBlock, x: torch.Tensor) -> torch.Tensor:
    """``MultiScaleBlock.forward`` without drop-path, which no size uses: (B, h, w, C) -> the same, or halved."""
    shortcut, x = x, block.norm1(x)
    if block.dim != block.dim_out:
        shortcut = do_pool(linear(block.proj, x), block.pool)
    height, width = shortcut.shape[1:3]
    if block.window_size:
        x, padded = window_partition(x, block.window_size)
    x = _attention(block.attn, x)
    if block.window_size:
        window, shrink = block.window_size, 1
        if block.q_stride:
            shrink = block.q_stride[0]
            window //= shrink
        padded = (padded[0] // shrink, padded[1] // shrink)
        x = window_unpartition(x, window, padded, (height, width))
    x = linear(block.attn.proj, x, add=shortcut)
    first, second = block.mlp.layers
    return feed_forward(first, second, block.norm2(x), add=x)


def _attention(attention: MultiScaleAttention, x: torch.Tensor) -> torch.Tensor:
    """Windows (N, h, w, C) -> (N, h, w, C'), or half the height and width, before the last projection."""
    count, height, width, _ = x.shape
    q, k, v = linear(attention.qkv, x).view(count, height * width, 3, attention.num_heads, -1).unbind(2)
    if attention.q_pool:
        q = do_pool(q.reshape(count, height, width, -1), attention.q_pool)
        height, width = q.shape[1:3]
        q = q.reshape(count, height * width, attention.num_heads, -1)
    attended = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return attended.transpose(1, 2).reshape(count, height, width, -1)
