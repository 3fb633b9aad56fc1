"""SAM's image encoder over the modules of the segment-anything package: the same numbers with less work.

- The package pads the image to whole windows and multiplies the padding as well. All padding has the same keys and
  values, so one token of zeros stands for it.
- Attention runs through torch's fused kernel. It gets the relative positions of a few windows or rows at a time, so no
  map of all tokens against all tokens exists.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention, Block, get_rel_pos
from torch.nn import functional as F

from evfsam.modeling.linear import feed_forward, linear

_BIAS_VALUES = 2**22  # relative positions in memory at once on a CPU, 16 MB; about what a cache holds
_BIAS_VALUES_GPU = 2**28


class SamViT(ImageEncoderViT):
    """The package's encoder with its own parameters; pixels (B, 3, image_size, image_size) -> (B, C, h, w)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(x)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        batch, height, width, _ = x.shape
        tokens = x.flatten(1, 2)
        for block in self.blocks:
            tokens = vit_block(block, tokens, (height, width))
        return self.neck(tokens.transpose(1, 2).unflatten(2, (height, width)))


def vit_block(block: Block, tokens: torch.Tensor, size_hw: tuple[int, int]) -> torch.Tensor:
    """One block of the ViT: tokens (B, h * w, width) -> the same."""
    attend = _attend_in_windows if block.window_size else _attend_to_all
    attended = attend(block.attn, block.norm1(tokens), size_hw, block.window_size)
    tokens = linear(block.attn.proj, attended, add=tokens)
    return feed_forward(block.mlp.lin1, block.mlp.lin2, block.norm2(tokens), add=tokens)


def _attend_in_windows(
    attention: Attention, tokens: torch.Tensor, size_hw: tuple[int, int], window: int
) -> torch.Tensor:
    """Attention of each token to those of its window, (B, h * w, width), before the last projection."""
    batch, count, _ = tokens.shape
    places, slots = _windows(size_hw, window, tokens.device)
    qkv = linear(attention.qkv, F.pad(tokens, (0, 0, 0, 1)))  # the last token is the padding
    qkv = qkv.index_select(1, places).view(-1, window * window, qkv.shape[-1])
    fewest = _rows_at_once(tokens, attention.num_heads * window**4)
    parts = [_attend(attention, part, part, (window, window), (window, window)) for part in qkv.split(fewest)]
    attended = torch.cat(parts) if len(parts) > 1 else parts[0]
    return attended.view(batch, -1, attended.shape[-1]).index_select(1, slots)


def _attend_to_all(attention: Attention, tokens: torch.Tensor, size_hw: tuple[int, int], _: int) -> torch.Tensor:
    """Attention of each token to all of its image, (B, h * w, width), before the last projection."""
    height, width = size_hw
    qkv = linear(attention.qkv, tokens)
    rows = _rows_at_once(tokens, len(tokens) * attention.num_heads * width * width * height)
    parts = []
    for top in range(0, height, rows):
        queries = qkv[:, top * width : (top + rows) * width]
        parts.append(_attend(attention, queries, qkv, (min(rows, height - top), width), size_hw, top))
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _attend(
    attention: Attention,
    queries: torch.Tensor,
    keys: torch.Tensor,
    query_hw: tuple[int, int],
    key_hw: tuple[int, int],
    top: int = 0,
) -> torch.Tensor:
    """Attention with decomposed relative positions (SAM, add_decomposed_rel_pos).

    Args:
        queries: (N, rows * columns, 3 * width), of which the first third is used; their first row is row ``top`` of the
            keys.
        keys: (N, key rows * key columns, 3 * width), of which the other two are used.
    """
    heads = attention.num_heads
    q = queries.unflatten(2, (3, heads, -1))[:, :, 0].transpose(1, 2)
    k, v = keys.unflatten(2, (3, heads, -1))[:, :, 1:].permute(2, 0, 3, 1, 4).unbind(0)
    bias = None
    if attention.use_rel_pos:
        (rows, columns), (key_rows, key_columns) = query_hw, key_hw
        vertical = get_rel_pos(key_rows, key_rows, attention.rel_pos_h)[top : top + rows]
        horizontal = get_rel_pos(key_columns, key_columns, attention.rel_pos_w)
        grid = q.unflatten(2, query_hw)
        by_row = torch.einsum("nahwc,hkc->nahwk", grid, vertical.to(q.dtype)).contiguous().unsqueeze(-1)
        by_column = torch.einsum("nahwc,wkc->nahwk", grid, horizontal.to(q.dtype)).contiguous().unsqueeze(-2)
        bias = (by_row + by_column).view(len(q), heads, rows * columns, key_rows * key_columns)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


def _windows(size_hw: tuple[int, int], window: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """For each slot of each window the token in it, and for each token its slot; h * w is the token of padding."""
    height, width = size_hw
    down, across = -(-height // window), -(-width // window)
    grid = torch.arange(height * width, device=device).view(height, width)
    grid = F.pad(grid, (0, across * window - width, 0, down * window - height), value=height * width)
    places = grid.view(down, window, across, window).transpose(1, 2).flatten()
    order = places.argsort(stable=True)
    return places, order[: height * width]


def _rows_at_once(tokens: torch.Tensor, values_per_row: int) -> int:
    """How many windows or rows of queries to take at once, so that their relative positions fit."""
    return max(1, (_BIAS_VALUES if tokens.is_cpu else _BIAS_VALUES_GPU) // values_per_row)
