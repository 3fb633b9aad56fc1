"""Builds the modules that a config describes; the only place that branches on the kind of segmenter."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from evfsam.modeling.config import EvfConfig, SegmenterConfig
from evfsam.modeling.encoders.beit3 import Beit3Encoder
from evfsam.modeling.evf_sam import EvfSam


class _WithoutWeights(TorchFunctionMode):
    """Makes parameters on the meta device: they have names and shapes, but take no memory and no random numbers.

    Unlike ``torch.device("meta")`` it leaves the tables real that a module computes for itself (rotary angles, pixel
    means, a list of drop-path rates), because no checkpoint holds them.
    """

    FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in self.FACTORIES:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def build_model(config: EvfConfig, weights: bool = True) -> EvfSam:
    """A model in evaluation mode, on the CPU, float32.

    Args:
        weights: True for the packages' own random initialisation; False to leave every parameter on the meta
            device, to be filled by ``load_state_dict(..., assign=True)``.
    """
    with nullcontext() if weights else _WithoutWeights():
        return EvfSam(config, Beit3Encoder(config.encoder), build_segmenter(config.segmenter)).eval()


def build_segmenter(config: SegmenterConfig) -> nn.Module:
    """The segmenter alone. Raises ValueError for a kind that has no segmenter."""
    # Imported here because each of the packages takes a second or more.
    if config.kind == "sam":
        from evfsam.modeling.segmenters.sam import SamSegmenter

        return SamSegmenter(config)
    if config.kind == "sam2":
        from evfsam.modeling.segmenters.sam2 import Sam2Segmenter

        return Sam2Segmenter(config)
    if config.kind == "efficient_sam":
        from evfsam.modeling.segmenters.efficient_sam import EfficientSamSegmenter

        return EfficientSamSegmenter(config)
    raise ValueError(f"no segmenter of kind {config.kind!r}")
