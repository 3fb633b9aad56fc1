"""Frozen dataclasses that describe a model. :func:`evfsam.modeling.build.build_model` makes its modules from them.

``EvfConfig.from_dict`` reads the published ``config.json``, which names sizes ("large", "huge"), and that of this
project, which gives every number. Each value is checked by :mod:`evfsam.modeling.fields`, and the values of one part
against each other, so every config that exists can be built.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from evfsam.modeling.encoders.config import BEIT3_SIZES, ENCODER_CONFIGS, Beit3Config, EncoderConfig
from evfsam.modeling.fields import Checked, Relations, build, divides
from evfsam.modeling.rules import Flag, OneOf, Whole, check
from evfsam.types import PixelSpec
from evfsam.values import shown

# Rotary tables are computed, so no file bounds their size. The published SAM-2 has 2**22 values.
_MOST_ROTARY_VALUES = 2**23


@dataclass(frozen=True)
class SamConfig(Checked):
    """SAM (arXiv 2304.02643): ViT with windows, prompt encoder, mask decoder."""

    kind: ClassVar[str] = "sam"
    image_size: int = 1024
    patch_size: int = 16
    width: int = 1280
    depth: int = 32
    heads: int = 16
    global_attention_blocks: tuple[int, ...] = (7, 15, 23, 31)
    window: int = 14
    embedding_width: int = 256
    decoder_feed_forward: int = 2048

    def _relations(self) -> Relations:
        yield divides("heads", self.heads, "width", self.width)
        yield divides("patch_size", self.patch_size, "image_size", self.image_size)
        yield _are_blocks(self.global_attention_blocks, self.depth)
        yield _feeds_the_decoder(self.embedding_width)


@dataclass(frozen=True)
class Sam2Config(Checked):
    """SAM-2 (arXiv 2408.00714), version 2.0: image encoder, FPN, mask decoder and, if ``memory``, memory modules.

    The defaults are ``sam2_hiera_l.yaml`` of the sam2 package.

    Attributes:
        trunk: the network in the image encoder. "efficientnet_lite0" has one size and ignores the six fields after
            this one.
        extra_masks: whether the decoder's three masks for ambiguous prompts were trained; else they are never used.
    """

    kind: ClassVar[str] = "sam2"
    image_size: int = 1024
    trunk: Literal["hiera", "efficientnet_lite0"] = "hiera"
    width: int = 144
    stages: tuple[int, ...] = (2, 6, 36, 4)
    heads: int = 2
    global_attention_blocks: tuple[int, ...] = (23, 33, 43)
    window_position_size: tuple[int, int] = (7, 7)
    windows: tuple[int, ...] = (8, 4, 16, 8)
    embedding_width: int = 256
    decoder_feed_forward: int = 2048
    extra_masks: bool = True
    memory: bool = True
    memory_width: int = 64
    memory_layers: int = 4
    memory_feed_forward: int = 2048
    memory_frames: int = 7

    def _relations(self) -> Relations:
        yield divides("heads", self.heads, "width", self.width)
        yield self.image_size % 32 == 0, "image_size", "a multiple of 32"
        yield _are_blocks(self.global_attention_blocks, sum(self.stages))
        # Between two stages a window is halved; the first one also tiles the positions, a quarter of the image.
        yield all(size % 2 == 0 for size in self.windows[:3]), "windows", "even numbers for the first three stages"
        yield self.image_size // 4 % self.windows[0] == 0, "windows", "a first one that divides a quarter of image_size"
        yield _feeds_the_decoder(self.embedding_width)
        if self.memory:
            rotary_values = (self.image_size // 16) ** 2 * self.embedding_width * self.memory_layers
            yield self.memory_width % 4 == 0, "memory_width", "a multiple of 4"
            yield divides("memory_width", self.memory_width, "embedding_width", self.embedding_width)
            yield rotary_values <= _MOST_ROTARY_VALUES, "memory_layers", "a smaller number, or a smaller image_size"


@dataclass(frozen=True)
class EfficientSamConfig(Checked):
    """EfficientSAM (arXiv 2312.00863): ViT without windows; the decoder's heads have one layer less than SAM's."""

    kind: ClassVar[str] = "efficient_sam"
    image_size: int = 1024
    patch_size: int = 16
    width: int = 192
    depth: int = 12
    heads: int = 3
    embedding_width: int = 256
    decoder_feed_forward: int = 2048

    def _relations(self) -> Relations:
        yield divides("heads", self.heads, "width", self.width)
        yield divides("patch_size", self.patch_size, "image_size", self.image_size)
        yield _feeds_the_decoder(self.embedding_width)


def _are_blocks(blocks: tuple[int, ...], count: int) -> tuple[bool, str, str]:
    return all(block < count for block in blocks), "global_attention_blocks", f"numbers below {count}, one per block"


def _feeds_the_decoder(width: int) -> tuple[bool, str, str]:
    """The decoder's eight heads work at half the width."""
    return width % 16 == 0, "embedding_width", "a multiple of 16"


SegmenterConfig = SamConfig | Sam2Config | EfficientSamConfig
SEGMENTER_CONFIGS: dict[str, type] = {c.kind: c for c in (SamConfig, Sam2Config, EfficientSamConfig)}

# The sizes that the published config.json calls by name.
SEGMENTER_SIZES: dict[tuple[str, str], SegmenterConfig] = {
    ("sam", "huge"): SamConfig(),
    ("sam2", "large"): Sam2Config(),
    ("sam2", "tiny"): Sam2Config(
        width=96, stages=(1, 2, 7, 2), heads=1, global_attention_blocks=(5, 7, 9), windows=(8, 4, 14, 7)
    ),
    ("efficient_sam", "tiny"): EfficientSamConfig(),
    ("efficient_sam", "small"): EfficientSamConfig(width=384, heads=6),
}
# A published config.json names the scale alone.
_KIND_OF_SCALE = {"huge": "sam", "large": "sam2", "tiny": "sam2", "small": "efficient_sam"}


@dataclass(frozen=True)
class EvfConfig:
    """A whole EVF-SAM.

    ``multimask``: True takes the best of three masks by predicted IoU, as the published SAM-2 variants do. False
    takes the single mask, as the others do.
    """

    encoder: EncoderConfig
    segmenter: SegmenterConfig
    multimask: bool

    def __post_init__(self) -> None:
        check("multimask", self.multimask, Flag())
        if self.shares_trunk and getattr(self.segmenter, "trunk", None) != "efficientnet_lite0":
            raise ValueError('mm_extractor.stem: "trunk"; write "patches", or the trunk "efficientnet_lite0"')

    @property
    def shares_trunk(self) -> bool:
        """Whether the encoder's image tokens come from the segmenter's trunk."""
        return isinstance(self.encoder, Beit3Config) and self.encoder.stem == "trunk"

    @property
    def hidden_size(self) -> int:
        """Width of what the projector reads."""
        return self.encoder.prompt_width

    @property
    def out_dim(self) -> int:
        """Width of the prompt token, the segmenter's own."""
        return self.segmenter.embedding_width

    @property
    def pixels(self) -> PixelSpec:
        """How images are prepared for this model."""
        return PixelSpec(
            image_size=self.segmenter.image_size,
            keep_aspect_ratio=self.segmenter.kind == "sam",
            encoder_image_size=self.encoder.image_size,
        )

    @classmethod
    def official(cls, kind: str, sam_scale: str, mm_extractor_scale: str) -> EvfConfig:
        """A published size: ``kind`` is "sam", "sam2" or "efficient_sam".

        Raises ValueError for a combination of names that has none.
        """
        scales = tuple(scale for of_kind, scale in SEGMENTER_SIZES if of_kind == kind)
        check("segmenter_kind", kind, OneOf(tuple(SEGMENTER_CONFIGS)))
        check("sam_scale", sam_scale, OneOf(scales))
        check("mm_extractor_scale", mm_extractor_scale, OneOf(tuple(BEIT3_SIZES)))
        return cls(BEIT3_SIZES[mm_extractor_scale], SEGMENTER_SIZES[kind, sam_scale], multimask=kind == "sam2")

    @classmethod
    def from_dict(cls, config: dict[str, Any], kind: str | None = None) -> EvfConfig:
        """Read a ``config.json``.

        Args:
            config: the parsed file; it may be untrusted. Other keys are ignored.
            kind: the kind of segmenter, for a published file, which does not name it: "tiny" may be SAM-2 or
                EfficientSAM.

        Raises ValueError that names the key, its value and what to write instead.
        """
        check("model_type", config.get("model_type"), OneOf(("evf",)))
        if "segmenter" in config:
            sections = {key: _object(key, config.get(key)) for key in ("mm_extractor", "segmenter")}
            of_encoder = check(
                "mm_extractor.kind", sections["mm_extractor"].pop("kind", "beit3"), OneOf(tuple(ENCODER_CONFIGS))
            )
            kind = check("segmenter.kind", sections["segmenter"].pop("kind", None), OneOf(tuple(SEGMENTER_CONFIGS)))
            model = cls(
                build("mm_extractor", ENCODER_CONFIGS[of_encoder], sections["mm_extractor"]),
                build("segmenter", SEGMENTER_CONFIGS[kind], sections["segmenter"]),
                check("multimask", config.get("multimask"), Flag()),
            )
        else:
            scale = check("sam_scale", config.get("sam_scale"), OneOf(tuple(_KIND_OF_SCALE)))
            kind = kind or config.get("segmenter_kind", _KIND_OF_SCALE[scale])
            encoder = check("mm_extractor_scale", config.get("mm_extractor_scale"), OneOf(tuple(BEIT3_SIZES)))
            model = cls.official(kind, scale, encoder)
        for key in ("hidden_size", "out_dim"):  # the official code reads them
            size = getattr(model, key)
            check(key, config.get(key, size), Whole(size, size))
        return model

    def to_dict(self) -> dict[str, Any]:
        """The inverse of :meth:`from_dict`, for ``config.json``, with the published field names."""
        sizes = {"hidden_size": self.hidden_size, "out_dim": self.out_dim}
        for kind, scale in SEGMENTER_SIZES:
            for mm_scale in BEIT3_SIZES:
                if self == EvfConfig.official(kind, scale, mm_scale):
                    names = {"mm_extractor_scale": mm_scale, "sam_scale": scale, "segmenter_kind": kind}
                    return {"model_type": "evf", **names, **sizes}
        return {
            "model_type": "evf",
            **sizes,
            "multimask": self.multimask,
            "mm_extractor": {"kind": self.encoder.kind, **asdict(self.encoder)},
            "segmenter": {"kind": self.segmenter.kind, **asdict(self.segmenter)},
        }


def _object(key: str, value: Any) -> dict[str, Any]:
    """A copy of a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{key}: {shown(value)}; write an object with one entry per field")
    return dict(value)
