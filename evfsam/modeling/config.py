"""Frozen descriptions of a model, from which :func:`evfsam.modeling.build.build_model` makes its modules.

``EvfConfig.from_dict`` reads the published ``config.json`` (which names sizes: "large", "huge") as well as the
one our own checkpoints carry (which spells the sizes out).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal

from evfsam.types import PixelSpec


@dataclass(frozen=True)
class Beit3Config:
    """BEIT-3 (arXiv 2208.10442). ``heads`` divides ``width``; ``image_size`` is a multiple of ``patch_size``."""

    width: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int = 64010
    image_size: int = 224
    patch_size: int = 16
    text_positions: int = 1024  # two of them unused: positions start at 2, as in fairseq


@dataclass(frozen=True)
class SamConfig:
    """SAM (arXiv 2304.02643): plain ViT with windows, prompt encoder, mask decoder."""

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


@dataclass(frozen=True)
class Sam2Config:
    """SAM-2 (arXiv 2408.00714), version 2.0: Hiera, FPN, mask decoder and, if ``memory``, the memory modules.

    The defaults are ``sam2_hiera_l.yaml`` of the sam2 package. ``extra_masks``: whether the decoder's three masks
    for ambiguous prompts were trained; if not, nothing falls back to them.
    """

    kind: ClassVar[str] = "sam2"
    image_size: int = 1024
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


@dataclass(frozen=True)
class EfficientSamConfig:
    """EfficientSAM (arXiv 2312.00863): plain ViT without windows and a one-layer-thinner decoder head."""

    kind: ClassVar[str] = "efficient_sam"
    image_size: int = 1024
    patch_size: int = 16
    width: int = 192
    depth: int = 12
    heads: int = 3
    embedding_width: int = 256
    decoder_feed_forward: int = 2048


SegmenterConfig = SamConfig | Sam2Config | EfficientSamConfig
SEGMENTER_CONFIGS: dict[str, type] = {c.kind: c for c in (SamConfig, Sam2Config, EfficientSamConfig)}

# The sizes that the published config.json calls by name.
BEIT3_SIZES = {
    "base": Beit3Config(width=768, layers=12, heads=12, feed_forward=3072),
    "large": Beit3Config(width=1024, layers=24, heads=16, feed_forward=4096),
}
SEGMENTER_SIZES: dict[tuple[str, str], SegmenterConfig] = {
    ("sam", "huge"): SamConfig(),
    ("sam2", "large"): Sam2Config(),
    ("sam2", "tiny"): Sam2Config(
        width=96, stages=(1, 2, 7, 2), heads=1, global_attention_blocks=(5, 7, 9), windows=(8, 4, 14, 7)
    ),
    ("efficient_sam", "tiny"): EfficientSamConfig(),
    ("efficient_sam", "small"): EfficientSamConfig(width=384, heads=6),
}


@dataclass(frozen=True)
class EvfConfig:
    """A whole EVF-SAM.

    ``multimask``: whether the decoder proposes three masks of which the best by predicted IoU is taken
    (the published SAM-2 variants) or one (the others).
    """

    encoder: Beit3Config
    segmenter: SegmenterConfig
    multimask: bool

    @property
    def hidden_size(self) -> int:
        return self.encoder.width

    @property
    def out_dim(self) -> int:
        return self.segmenter.embedding_width

    @property
    def pixels(self) -> PixelSpec:
        return PixelSpec(
            image_size=self.segmenter.image_size,
            keep_aspect_ratio=self.segmenter.kind == "sam",
            encoder_image_size=self.encoder.image_size,
        )

    @classmethod
    def official(
        cls, kind: Literal["sam", "sam2", "efficient_sam"], sam_scale: str, mm_extractor_scale: str
    ) -> EvfConfig:
        """A published size. Raises ValueError for a combination of names that has none."""
        try:
            segmenter, encoder = SEGMENTER_SIZES[kind, sam_scale], BEIT3_SIZES[mm_extractor_scale]
        except KeyError:
            raise ValueError(
                f"no published size {kind!r} / {sam_scale!r} / {mm_extractor_scale!r}; "
                f"segmenters: {sorted(SEGMENTER_SIZES)}, encoders: {sorted(BEIT3_SIZES)}"
            ) from None
        return cls(encoder, segmenter, multimask=kind == "sam2")

    @classmethod
    def from_dict(cls, config: dict[str, Any], kind: str | None = None) -> EvfConfig:
        """Read a ``config.json``.

        Args:
            config: the parsed file.
            kind: the segmenter's kind, for a published file, which does not say it ("large" is SAM-2 alone,
                but "tiny" is SAM-2's and EfficientSAM's).

        Raises ValueError if the file describes no model we know.
        """
        if config.get("model_type") != "evf":
            raise ValueError(f"model_type is {config.get('model_type')!r}, not 'evf'")
        if "segmenter" not in config:
            scale = config.get("sam_scale")
            default_kind = {"huge": "sam", "large": "sam2", "tiny": "sam2", "small": "efficient_sam"}.get(scale)
            kind = kind or config.get("segmenter_kind", default_kind)
            return cls.official(kind, scale, config.get("mm_extractor_scale"))
        segmenter = dict(config["segmenter"])
        segmenter_class = SEGMENTER_CONFIGS.get(segmenter.pop("kind", None))
        if segmenter_class is None:
            raise ValueError(f"segmenter kind is not one of {sorted(SEGMENTER_CONFIGS)}")
        return cls(
            _build(Beit3Config, config["mm_extractor"]),
            _build(segmenter_class, segmenter),
            bool(config["multimask"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """The inverse of :meth:`from_dict`, ready for ``config.json``; the published field names stay."""
        for kind, scale in SEGMENTER_SIZES:
            for mm_scale in BEIT3_SIZES:
                if self == EvfConfig.official(kind, scale, mm_scale):
                    names = {"mm_extractor_scale": mm_scale, "sam_scale": scale, "segmenter_kind": kind}
                    return {"model_type": "evf", **names, "hidden_size": self.hidden_size, "out_dim": self.out_dim}
        return {
            "model_type": "evf",
            "hidden_size": self.hidden_size,
            "out_dim": self.out_dim,
            "multimask": self.multimask,
            "mm_extractor": asdict(self.encoder),
            "segmenter": {"kind": self.segmenter.kind, **asdict(self.segmenter)},
        }


def _build(config_class: type, values: dict[str, Any]):
    """The dataclass from JSON values: lists become tuples; an unknown or missing field is an error."""
    unknown = set(values) - {f.name for f in fields(config_class)}
    if unknown:
        raise ValueError(f"{config_class.__name__} has no field {', '.join(sorted(unknown))}")
    return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
