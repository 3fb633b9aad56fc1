"""The attentions of ReferSAM. Parameter names are those of the public code."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

Sizes = list[tuple[int, int]]  # (height, width) of each level


class Attention(nn.Module):
    """Multi-head attention between tokens of two widths."""

    def __init__(self, query_width: int, key_width: int, inner_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(query_width, inner_width)
        self.k_proj = nn.Linear(key_width, inner_width)
        self.v_proj = nn.Linear(key_width, inner_width)
        self.out_proj = nn.Linear(inner_width, query_width)

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, real: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Queries (B, Q, query_width), keys and values (B, N, key_width) -> (B, Q, query_width).

        Args:
            real: bool (B, N), False for keys that are padding; None if none is.
        """
        q, k, v = self._split(self.q_proj(queries)), self._split(self.k_proj(keys)), self._split(self.v_proj(values))
        mask = None if real is None else real[:, None, None]
        return self.out_proj(_join(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class MultiScaleAttention(Attention):
    """Attention to each level of a pyramid by itself; every query weighs the levels per head."""

    def __init__(self, query_width: int, key_width: int, inner_width: int, heads: int, levels: int = 3):
        super().__init__(query_width, key_width, inner_width, heads)
        self.level_weights = nn.Linear(query_width, heads * levels)

    def forward(  # type: ignore[override]  # sizes instead of a mask
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, sizes: Sizes
    ) -> torch.Tensor:
        """As :meth:`Attention.forward`; the keys of all levels follow each other."""
        weights = self.level_weights(queries).unflatten(2, (self.heads, len(sizes))).softmax(-1).transpose(1, 2)
        counts = [height * width for height, width in sizes]
        q = self._split(self.q_proj(queries))
        levels = zip(
            self._split(self.k_proj(keys)).split(counts, 2),
            self._split(self.v_proj(values)).split(counts, 2),
            weights.split(1, -1),
            strict=True,
        )
        return self.out_proj(_join(sum(F.scaled_dot_product_attention(q, k, v) * weight for k, v, weight in levels)))


class DeformableAttention(nn.Module):
    """Each query reads a few points around its own place, on every level (Deformable DETR, arXiv 2010.04159).

    The public code calls a compiled operation; ``grid_sample`` gives the same values on every device.
    """

    def __init__(self, width: int, heads: int, levels: int, points: int, value_ratio: float):
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(width, heads * levels * points * 2)
        self.attention_weights = nn.Linear(width, heads * levels * points)
        self.value_proj = nn.Linear(width, int(width * value_ratio))
        self.output_proj = nn.Linear(int(width * value_ratio), width)

    @torch.no_grad()
    def initialise(self) -> None:
        """Each head looks in a direction of its own, its points ever farther away, all with equal weight."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1).view(1, 1, -1, 1)
        offsets = (directions.view(self.heads, 1, 1, 2) * steps).expand(-1, self.levels, -1, -1)
        nn.init.zeros_(self.sampling_offsets.weight)
        self.sampling_offsets.bias.copy_(offsets.flatten())
        for layer in (self.attention_weights, self.value_proj, self.output_proj):
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.xavier_uniform_(self.value_proj.weight)
        nn.init.xavier_uniform_(self.output_proj.weight)

    def forward(self, queries: torch.Tensor, places: torch.Tensor, values: torch.Tensor, sizes: Sizes) -> torch.Tensor:
        """Queries (B, Q, width) -> (B, Q, width).

        Args:
            places: float (Q, 2), x and y of each query, 0..1 over the image.
            values: (B, N, width), the tokens of all levels one after the other.
        """
        # Places are finer than half precision tells apart.
        with torch.autocast(queries.device.type, enabled=False):
            queries, values = queries.float(), values.float()
            batch, heads, points = len(queries), self.heads, self.points
            offsets = self.sampling_offsets(queries).unflatten(2, (heads, self.levels, points, 2))
            weights = self.attention_weights(queries).unflatten(2, (heads, -1)).softmax(-1)
            weights = weights.transpose(1, 2).flatten(0, 1).unflatten(2, (self.levels, points))
            projected = self.value_proj(values).unflatten(2, (heads, -1))
            read = values.new_zeros(())
            for level, part in enumerate(projected.split([height * width for height, width in sizes], 1)):
                height, width = sizes[level]
                grid = part.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (height, width))
                at = places[:, None, None] + offsets[:, :, :, level] / offsets.new_tensor([width, height])
                at = at.transpose(1, 2).flatten(0, 1) * 2 - 1
                found = F.grid_sample(grid, at, mode="bilinear", padding_mode="zeros", align_corners=False)
                read = read + (found * weights[:, None, :, level]).sum(-1)
            return self.output_proj(read.unflatten(0, (batch, heads)).flatten(1, 2).transpose(1, 2))


class FeedForward(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.gelu(self.fc1(tokens)))


def _join(heads: torch.Tensor) -> torch.Tensor:
    """(B, heads, Q, C) -> (B, Q, heads * C)."""
    return heads.transpose(1, 2).flatten(2)


def sine_positions(sizes: Sizes, width: int, device: torch.device) -> torch.Tensor:
    """Sine and cosine of each token's row and column (DETR, arXiv 2005.12872), float32 (N, width)."""
    half = width // 2
    frequencies = 10_000 ** (2 * (torch.arange(half, device=device) // 2) / half)

    def waves(count: int) -> torch.Tensor:
        angles = torch.arange(1, count + 1, device=device)[:, None] / (count + 1e-6) * 2 * math.pi / frequencies
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], -1).flatten(1)

    levels = []
    for height, columns in sizes:
        rows = waves(height)[:, None].expand(-1, columns, -1)
        levels.append(torch.cat([rows, waves(columns)[None].expand(height, -1, -1)], -1).flatten(0, 1))
    return torch.cat(levels)


def centres(sizes: Sizes, device: torch.device) -> torch.Tensor:
    """The centre of each token, float32 (N, 2), x and y in 0..1 over the image."""
    levels = []
    for height, width in sizes:
        y, x = (torch.arange(side, device=device, dtype=torch.float32) for side in (height, width))
        y, x = torch.meshgrid((y + 0.5) / height, (x + 0.5) / width, indexing="ij")
        levels.append(torch.stack([x, y], -1).flatten(0, 1))
    return torch.cat(levels)
