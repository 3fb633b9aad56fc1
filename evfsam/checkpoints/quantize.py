"""8-bit and 4-bit weights for the language side, by the optional bitsandbytes package.

The segmenter is left as it is, as the authors do (official ``inference.py``: ``llm_int8_skip_modules``).
"""

from __future__ import annotations

import torch
from torch import nn

from evfsam.errors import CheckpointError
from evfsam.modeling.evf_sam import EvfSam


def quantize(model: EvfSam, bits: int) -> EvfSam:
    """Replace the linear layers of encoder and projector, in place; they shrink when they move to the GPU.

    Args:
        model: on the CPU, in float16.
        bits: 8 (LLM.int8) or 4 (NF4 with its constants quantized too).

    Raises CheckpointError if bitsandbytes is not installed.
    """
    try:
        import bitsandbytes
    except ImportError:
        raise CheckpointError(
            f"{bits}-bit weights need the bitsandbytes package: install it with `pip install bitsandbytes`, "
            "or choose another precision."
        ) from None
    make = {8: _int8, 4: _nf4}[bits]
    for part in (model.mm_extractor, model.text_hidden_fcs):
        for parent in list(part.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, make(bitsandbytes.nn, child))
    return model


def _int8(layers, linear: nn.Linear) -> nn.Module:
    new = layers.Linear8bitLt(
        linear.in_features, linear.out_features, has_fp16_weights=False, threshold=6.0, device="meta"
    )
    new.weight = layers.Int8Params(linear.weight.data, requires_grad=False, has_fp16_weights=False)
    new.bias = linear.bias
    return new


def _nf4(layers, linear: nn.Linear) -> nn.Module:
    new = layers.Linear4bit(
        linear.in_features, linear.out_features, compute_dtype=torch.float16, quant_type="nf4", device="meta"
    )
    new.weight = layers.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True)
    new.bias = linear.bias
    return new
