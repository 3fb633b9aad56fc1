"""Tiny encoders of every kind and fusion that the paper compares."""

from __future__ import annotations

from evfsam.modeling.encoders.config import Beit3Config, ClipConfig, EncoderConfig, ViltConfig

_BEIT3 = {"width": 32, "layers": 3, "heads": 2, "feed_forward": 64, "vocabulary": 512, "image_size": 32}
_VILT = _BEIT3 | {"layers": 2, "patch_size": 16}
_CLIP = _VILT | {"image_width": 48, "image_layers": 2, "image_heads": 2, "image_feed_forward": 64, "projection": 24}

TINY_ENCODERS: dict[str, EncoderConfig] = {
    "beit3-early": Beit3Config(**_BEIT3),
    "beit3-early-text-cls": Beit3Config(**_BEIT3, prompt="text_cls"),
    "beit3-early-image-mean": Beit3Config(**_BEIT3, prompt="image_mean"),
    "beit3-early-both": Beit3Config(**_BEIT3, prompt="both_cls"),
    "beit3-half": Beit3Config(**_BEIT3, fusion="half"),
    "beit3-late": Beit3Config(**_BEIT3, fusion="late", prompt="both_cls"),
    "beit3-text": Beit3Config(**_BEIT3, fusion="text", prompt="text_cls"),
    "vilt-early": ViltConfig(**_VILT),
    "vilt-late": ViltConfig(**_VILT, fusion="late"),
    "vilt-text": ViltConfig(**_VILT, fusion="text"),
    "clip-late": ClipConfig(**_CLIP),
    "clip-text": ClipConfig(**_CLIP, activation="gelu", fusion="text"),
}
