"""Builds the modules that a config describes. Only this file branches on the kinds of encoder and segmenter."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch.overrides import TorchFunctionMode

from evfsam.modeling.config import EfficientSamConfig, EvfConfig, Sam2Config, SamConfig, SegmenterConfig
from evfsam.modeling.encoders.base import PromptEncoder
from evfsam.modeling.encoders.beit3 import Beit3Encoder
from evfsam.modeling.encoders.config import ClipConfig, EncoderConfig, ViltConfig
from evfsam.modeling.evf_sam import EvfSam

if TYPE_CHECKING:
    from evfsam.modeling.evf_sam import Segmenter


class _WithoutWeights(TorchFunctionMode):
    """Makes parameters on the meta device: they have names and shapes, but take no memory and no random numbers.

    ``torch.device("meta")`` would also catch tables that a module computes (rotary angles, pixel means, drop-path
    rates). No checkpoint holds these, so here they stay real.

    What initialises such a parameter is left out: torch imports its compiler, for a second, to find that the shape
    stays.
    """

    FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}
    SCALES = {torch.Tensor.mul, torch.Tensor.__rmul__}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        changed = args[0] if args else kwargs.get("tensor")
        in_place = func.__name__.endswith("_") and not func.__name__.endswith("__")
        if isinstance(changed, torch.Tensor) and changed.is_meta and (in_place or func in self.SCALES):
            return changed
        whole_numbers = kwargs.get("dtype") in (torch.int64, torch.int32)  # a table of indices, computed as well
        if func in self.FACTORIES and not whole_numbers:
            func, kwargs["device"] = torch.empty, "meta"
        return func(*args, **kwargs)


def build_model(config: EvfConfig, weights: bool = True) -> EvfSam:
    """A model in evaluation mode, on the CPU, float32.

    Args:
        weights: True for random initialisation. False leaves every parameter on the meta device; fill them by
            ``load_state_dict(..., assign=True)``.
    """
    with nullcontext() if weights else _WithoutWeights():
        return EvfSam(config, build_encoder(config.encoder), build_segmenter(config.segmenter)).eval()


def build_encoder(config: EncoderConfig) -> PromptEncoder:
    """The encoder alone."""
    # transformers is imported for its models alone, because it takes seconds.
    if isinstance(config, ClipConfig):
        from evfsam.modeling.encoders.clip import ClipEncoder

        return ClipEncoder(config)
    if isinstance(config, ViltConfig):
        from evfsam.modeling.encoders.vilt import ViltEncoder

        return ViltEncoder(config)
    return Beit3Encoder(config)


def build_segmenter(config: SegmenterConfig) -> Segmenter:
    """The segmenter alone. Raises ValueError for an unknown kind."""
    # Imported here because each of the packages takes a second or more.
    if isinstance(config, SamConfig):
        from evfsam.modeling.segmenters.sam import SamSegmenter

        return SamSegmenter(config)
    if isinstance(config, Sam2Config):
        from evfsam.modeling.segmenters.sam2 import Sam2Segmenter

        return Sam2Segmenter(config)
    if isinstance(config, EfficientSamConfig):
        from evfsam.modeling.segmenters.efficient_sam import EfficientSamSegmenter

        return EfficientSamSegmenter(config)
    raise ValueError(f"no segmenter of kind {config.kind!r}")
