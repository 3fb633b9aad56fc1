"""The attention to memories that a CPU uses is the sam2 package's."""

from __future__ import annotations

import pytest
import torch
from sam2.modeling.sam.transformer import RoPEAttention

from evfsam.modeling.segmenters import memory_attention
from evfsam.modeling.segmenters.memory_attention import MemoryCrossAttention


@pytest.fixture
def both():
    torch.manual_seed(0)
    options = {"embedding_dim": 32, "num_heads": 1, "downsample_rate": 1, "rope_k_repeat": True, "kv_in_dim": 8}
    ours = MemoryCrossAttention(**options, feat_sizes=(6, 6)).eval()
    package = RoPEAttention(**options, feat_sizes=(6, 6)).eval()
    package.load_state_dict(ours.state_dict())
    return ours, package


@pytest.mark.parametrize("rows", [7, 36, 512])
@pytest.mark.parametrize(("objects", "frames", "pointers", "side"), [(1, 1, 0, 6), (3, 7, 4, 6), (2, 2, 4, 5)])
def test_it_equals_the_package(both, objects, frames, pointers, side, rows, monkeypatch):
    monkeypatch.setattr(memory_attention, "ROWS", rows)
    monkeypatch.setattr(memory_attention, "PLACES", rows)
    places = side * side
    queries = torch.randn(objects, places, 32)
    memories = torch.randn(objects, places * frames + pointers, 8)
    keys = memories + torch.randn(memories.shape)
    with torch.no_grad():
        found, expected = (attention(queries, keys, memories, pointers) for attention in both)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_with_gradients_it_learns_as_the_package(both):
    queries, memories = torch.randn(2, 36, 32), torch.randn(2, 76, 8)
    for attention in both:
        attention(queries, memories, memories, 4).square().sum().backward()
    for ours, package in zip(both[0].parameters(), both[1].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, package.grad)
