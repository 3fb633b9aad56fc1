"""How a frame attends to its memories in SAM-2, with less work on a CPU."""

from __future__ import annotations

import math

import torch
from sam2.modeling.position_encoding import apply_rotary_enc
from sam2.modeling.sam.transformer import RoPEAttention

# Of the frame and of its memories at a time: weights are made in pieces that stay in the cache.
ROWS, PLACES = 512, 1024


class MemoryCrossAttention(RoPEAttention):
    """The package's attention to memories. Parameter names are the package's; outputs agree to rounding.

    The package projects each place of the memories to a value as wide as the frame's features, and then averages the
    values. The weights of the average sum to one. So the narrow memories can be averaged first, and the average
    projected. A GPU, half precision and training use the package's way.
    """

    freqs_cis: torch.Tensor

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_k_exclude_rope: int = 0) -> torch.Tensor:
        """Queries (P, N, C), keys and values (P, M, memory width), all float -> (P, N, C).

        Args:
            num_k_exclude_rope: how many of the last keys have no place in the frame.
        """
        narrow = self.num_heads == 1 and self.kv_in_dim < self.internal_dim
        exact = v.device.type == "cpu" and v.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if not narrow or not exact or self.training or torch.is_grad_enabled():
            return super().forward(q, k, v, num_k_exclude_rope)
        queries, keys = self.q_proj(q).unsqueeze(1), self.k_proj(k).unsqueeze(1)
        if len(self.freqs_cis) != queries.shape[2]:
            side = math.isqrt(queries.shape[2])
            self.freqs_cis = self.compute_cis(end_x=side, end_y=side)
        placed = keys.shape[2] - num_k_exclude_rope
        queries, keys[:, :, :placed] = apply_rotary_enc(
            queries, keys[:, :, :placed], freqs_cis=self.freqs_cis.to(v.device), repeat_freqs_k=self.rope_k_repeat
        )
        averages = [_average(*row) for row in zip(queries[:, 0], keys[:, 0], v, strict=True)]
        return self.out_proj(self.v_proj(torch.stack(averages)))


def _average(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Queries (N, C), keys (M, C), values (M, c) -> the values' average for each query, (N, c), all float32."""
    queries = queries * queries.shape[1] ** -0.5
    average = queries.new_empty(len(queries), values.shape[1])
    room = queries.new_empty(min(len(queries), ROWS), len(keys))  # used again: new memory costs time
    for some, out in zip(queries.split(ROWS), average.split(ROWS), strict=True):
        weights = room[: len(some)]
        for places, piece in zip(keys.split(PLACES), weights.split(PLACES, 1), strict=True):
            torch.mm(some, places.T, out=piece)
        torch.mm(torch.softmax(weights, -1, out=weights), values, out=out)
    return average
