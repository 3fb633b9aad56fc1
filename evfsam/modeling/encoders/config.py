"""Configs of the encoders that turn a text, and an image with it, into a prompt for the segmenter.

BEIT-3 is EVF-SAM's. The others are those that the paper compares with it (arXiv 2406.20076, tables 1, 3 and 6).
``fusion`` says how text and image meet:

- "text": the encoder reads the text alone.
- "late": it reads text and image apart; the [CLS] tokens of both are concatenated.
- "half": text and image attend to each other in the first half of the layers (BEIT-3 only).
- "early": they attend to each other in all layers (BEIT-3, ViLT).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from evfsam.modeling.fields import Checked, Relations, divides, is_one_of


@dataclass(frozen=True)
class Beit3Config(Checked):
    """BEIT-3 (arXiv 2208.10442). ``heads`` divides ``width``; ``image_size`` is a multiple of ``patch_size``.

    Attributes:
        stem: the source of image tokens: "patches" of pixels, or the maps of the segmenter's "trunk". Encoder and
            segmenter share the weights of the trunk; ``patch_size`` is 32 then.
        fusion: see the module.
        prompt: what becomes the prompt (table 5): the [CLS] token of the image or of the text, the mean of the image
            tokens, or both [CLS] tokens concatenated.
    """

    kind: ClassVar[str] = "beit3"
    width: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int = 64010
    image_size: int = 224
    patch_size: int = 16
    text_positions: int = 1024  # two of them unused: positions start at 2, as in fairseq
    stem: Literal["patches", "trunk"] = "patches"
    fusion: Literal["text", "late", "half", "early"] = "early"
    prompt: Literal["image_cls", "text_cls", "image_mean", "both_cls"] = "image_cls"

    @property
    def prompt_width(self) -> int:
        """Width of what the projector reads."""
        return self.width * (2 if self.prompt == "both_cls" else 1)

    @property
    def longest_text(self) -> int:
        """Tokens that fit."""
        return self.text_positions - 2

    @property
    def joint_layers(self) -> int:
        """How many layers, from the first, let image and text attend to each other."""
        return {"early": self.layers, "half": self.layers // 2}.get(self.fusion, 0)

    def _relations(self) -> Relations:
        yield divides("heads", self.heads, "width", self.width)
        yield divides("patch_size", self.patch_size, "image_size", self.image_size)
        yield self.stem == "patches" or self.patch_size == 32, "patch_size", 'the stride of the stem "trunk", 32'
        yield self.fusion != "half" or self.layers > 1, "layers", '2 or more for the fusion "half"'
        if self.fusion == "text":
            yield is_one_of("prompt", self.prompt, ("text_cls",))
        elif self.fusion == "late":  # any other token would know one of the two alone
            yield is_one_of("prompt", self.prompt, ("both_cls",))


@dataclass(frozen=True)
class ClipConfig(Checked):
    """CLIP (arXiv 2103.00020): a text transformer, and for the fusion "late" a vision transformer beside it.

    Attributes:
        width, layers, heads, feed_forward: of the text transformer.
        image_width, image_layers, image_heads, image_feed_forward: of the vision transformer.
        projection: width of the space in which CLIP compares texts and images.
        activation: "quick_gelu" in OpenAI's weights, "gelu" in OpenCLIP's.
    """

    kind: ClassVar[str] = "clip"
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    vocabulary: int = 49408
    text_positions: int = 77
    image_size: int = 224
    patch_size: int = 14
    image_width: int = 1024
    image_layers: int = 24
    image_heads: int = 16
    image_feed_forward: int = 4096
    projection: int = 768
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    fusion: Literal["text", "late"] = "late"

    @property
    def prompt_width(self) -> int:
        """Width of what the projector reads."""
        return self.projection * (2 if self.fusion == "late" else 1)

    @property
    def longest_text(self) -> int:
        """Tokens that fit."""
        return self.text_positions

    def _relations(self) -> Relations:
        yield divides("heads", self.heads, "width", self.width)
        yield divides("image_heads", self.image_heads, "image_width", self.image_width)
        yield divides("patch_size", self.patch_size, "image_size", self.image_size)
        yield is_one_of("fusion", self.fusion, ("text", "late"))


@dataclass(frozen=True)
class ViltConfig(Checked):
    """ViLT (arXiv 2102.03334): one transformer over words and patches. The defaults are ``vilt-b32-mlm``."""

    kind: ClassVar[str] = "vilt"
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    vocabulary: int = 30522
    text_positions: int = 40
    image_size: int = 384
    patch_size: int = 32
    fusion: Literal["text", "late", "early"] = "early"

    @property
    def prompt_width(self) -> int:
        """Width of what the projector reads."""
        return self.width * (2 if self.fusion == "late" else 1)

    @property
    def longest_text(self) -> int:
        """Tokens that fit."""
        return self.text_positions

    def _relations(self) -> Relations:
        yield divides("heads", self.heads, "width", self.width)
        yield divides("patch_size", self.patch_size, "image_size", self.image_size)
        yield is_one_of("fusion", self.fusion, ("text", "late", "early"))


EncoderConfig = Beit3Config | ClipConfig | ViltConfig
ENCODER_CONFIGS: dict[str, type] = {c.kind: c for c in (Beit3Config, ClipConfig, ViltConfig)}

# The sizes that the published config.json calls by name.
BEIT3_SIZES = {
    "base": Beit3Config(width=768, layers=12, heads=12, feed_forward=3072),
    "large": Beit3Config(width=1024, layers=24, heads=16, feed_forward=4096),
}
_LARGE, _CLIP = BEIT3_SIZES["large"], ClipConfig()
_OPENCLIP = replace(_CLIP, activation="gelu")
_OPENCLIP_HUGE = replace(
    _OPENCLIP,
    width=1024,
    layers=24,
    heads=16,
    feed_forward=4096,
    image_width=1280,
    image_layers=32,
    image_feed_forward=5120,
    projection=1024,
)
# The rows of tables 3 and 6.
PAPER_ENCODERS: dict[str, EncoderConfig] = {
    "beit3-large": _LARGE,
    "beit3-base": BEIT3_SIZES["base"],
    "beit3-large-half": replace(_LARGE, fusion="half"),
    "beit3-large-late": replace(_LARGE, fusion="late", prompt="both_cls"),
    "beit3-large-text": replace(_LARGE, fusion="text", prompt="text_cls"),
    "vilt-early": ViltConfig(),
    "vilt-late": ViltConfig(fusion="late"),
    "vilt-text": ViltConfig(fusion="text"),
    "clip-large-late": _CLIP,
    "clip-large-text": replace(_CLIP, fusion="text"),
    "openclip-large-late": _OPENCLIP,
    "openclip-large-text": replace(_OPENCLIP, fusion="text"),
    "openclip-huge-late": _OPENCLIP_HUGE,
    "openclip-huge-text": replace(_OPENCLIP_HUGE, fusion="text"),
}
