"""Linear layers, with the sum or the GELU after them in one pass where oneDNN can do that.

On a CPU torch writes the bias, multiplies by MKL, and reads the product again for the next operation. oneDNN, which
torch contains and its compiler uses, does all of it while the product is in the cache. Sums differ only in their order.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

CHUNK = 512  # rows of a feed-forward at once on a CPU: its hidden values stay in the cache
_FUSED_DTYPES = (torch.float32, torch.bfloat16)


def linear(layer: nn.Module, x: torch.Tensor, gelu: bool = False, add: torch.Tensor | None = None) -> torch.Tensor:
    """``layer(x)``, then GELU if ``gelu``, then plus ``add``, which has the shape of the result.

    Args:
        layer: an ``nn.Linear``, or what stands in its place when weights are quantized.
        x: (..., in_features).
    """
    dtype = _fused_dtype(layer, x)
    if dtype is None:
        y = layer(x)
        y = F.gelu(y) if gelu else y
        return y if add is None else add + y
    if add is not None and add.dtype == dtype and not gelu:
        return torch.ops.mkldnn._linear_pointwise.binary(x.to(dtype), add, layer.weight, layer.bias, "add")
    then = "gelu" if gelu else "none"
    y = torch.ops.mkldnn._linear_pointwise(x.to(dtype), layer.weight, layer.bias, then, [], "none")
    return y if add is None else add + y


def feed_forward(
    first: nn.Module,
    second: nn.Module,
    x: torch.Tensor,
    norm: nn.Module | None = None,
    add: torch.Tensor | None = None,
) -> torch.Tensor:
    """``add + second(norm(gelu(first(x))))``.

    Args:
        x: (..., width).
        norm: between the layers, or None.
        add: the residual, (..., width), or None.
    """
    if _fused_dtype(first, x) is not None and x[..., 0].numel() > CHUNK:
        parts = [None] * x.numel() if add is None else add.reshape(-1, add.shape[-1]).split(CHUNK)
        rows = x.reshape(-1, x.shape[-1]).split(CHUNK)
        done = [_feed_forward(first, second, some, norm, part) for some, part in zip(rows, parts, strict=False)]
        return torch.cat(done).view(*x.shape[:-1], -1)
    return _feed_forward(first, second, x, norm, add)


def _feed_forward(first, second, x, norm, add):
    hidden = linear(first, x, gelu=True)
    return linear(second, hidden if norm is None else norm(hidden), add=add)


def _fused_dtype(layer: nn.Module, x: torch.Tensor) -> torch.dtype | None:
    """The dtype to multiply in if oneDNN can do it here: on a CPU, without gradients and without a compiler."""
    if type(layer) is not nn.Linear or not x.is_cpu or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    usable = dtype == layer.weight.dtype and dtype in _FUSED_DTYPES and torch.backends.mkldnn.is_available()
    return dtype if usable and (dtype != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported()) else None
