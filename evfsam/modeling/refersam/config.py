"""A frozen dataclass that describes a ReferSAM; every value is checked, because a ``config.json`` may be untrusted."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal

from evfsam.modeling.config import SamConfig
from evfsam.modeling.rules import ListOf, Number, OneOf, Rule, Whole, check
from evfsam.types import PixelSpec
from evfsam.values import shown

_WIDTH = Whole(8, 8192)
# The values that a text encoder's class gets; the rest of them keep the defaults of transformers.
TEXT_RULES: dict[str, Rule] = {
    "kind": OneOf(("bert", "clip")),
    "vocab_size": Whole(8, 1_000_000),
    "hidden_size": _WIDTH,
    "num_hidden_layers": Whole(1, 128),
    "num_attention_heads": Whole(1, 256),
    "intermediate_size": Whole(8, 65536),
    "max_position_embeddings": Whole(4, 65536),
    "pad_token_id": Whole(0, 1_000_000),
}
RULES: dict[str, Rule] = {
    "stem_width": Whole(4, 1024),
    "inner_width": _WIDTH,
    "heads": Whole(1, 256),
    "points": Whole(1, 64),
    "value_ratio": Number(0.01, 4),
    "feed_forward_ratio": Number(0.1, 16),
    "groups": ListOf(ListOf(Whole(0, 255), 2, 2), 1, 32),
    "extra_layers": Whole(0, 16),
    "context_tokens": Whole(1, 256),
    "sparse_tokens": Whole(1, 256),
    "prompt_layers": Whole(1, 32),
    "prompt_heads": Whole(1, 256),
}


def _holds(true: bool, name: str, words: str) -> None:
    if not true:
        raise ValueError(f"{name}: write {words}")


@dataclass(frozen=True)
class TextConfig:
    """The text encoder, in the words of transformers: BERT, or CLIP's. The defaults are bert-base-uncased."""

    kind: Literal["bert", "clip"] = "bert"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        for name, rule in TEXT_RULES.items():
            check(name, getattr(self, name), rule)
        _holds(self.hidden_size % self.num_attention_heads == 0, "num_attention_heads", "a divisor of hidden_size")
        _holds(self.pad_token_id < self.vocab_size, "pad_token_id", "a number below vocab_size")


# CLIP ViT-L/14's text encoder, which is as wide as BERT's.
CLIP_TEXT = TextConfig("clip", 49408, 768, 12, 12, 3072, 77, 1)
_VIT_B = SamConfig(width=768, depth=12, heads=12, global_attention_blocks=(2, 5, 8, 11))


@dataclass(frozen=True)
class ReferSamConfig:
    """A whole ReferSAM. The defaults are the public code's with SAM's ViT-B.

    Attributes:
        segmenter: SAM. ``image_size`` is a multiple of 32, and ``patch_size`` is 16.
        text: the text encoder.
        stem_width: channels of the spatial prior at stride 4.
        inner_width, heads: of the attention between image and words; ``heads`` also of deformable attention.
        points: that a head of deformable attention reads on one level.
        value_ratio: width of its values over that of the ViT.
        feed_forward_ratio: of the interactor.
        groups: first and last block of SAM's ViT in each interaction; together they are all blocks.
        extra_layers: of the last interaction.
        context_tokens: learned tokens that follow the words.
        sparse_tokens: prompt tokens for SAM's decoder.
        prompt_layers, prompt_heads: of the prompter.
    """

    segmenter: SamConfig = _VIT_B
    text: TextConfig = TextConfig()
    stem_width: int = 64
    inner_width: int = 768
    heads: int = 12
    points: int = 4
    value_ratio: float = 0.5
    feed_forward_ratio: float = 2.0
    groups: tuple[tuple[int, int], ...] = ((0, 2), (3, 5), (6, 8), (9, 11))
    extra_layers: int = 2
    context_tokens: int = 16
    sparse_tokens: int = 4
    prompt_layers: int = 2
    prompt_heads: int = field(default=8)

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            check(name, getattr(self, name), rule)
        sam, value_width = self.segmenter, int(self.segmenter.width * self.value_ratio)
        blocks = [block for first, last in self.groups for block in range(first, last + 1)]
        _holds(sam.image_size % 32 == 0, "segmenter.image_size", "a multiple of 32")
        _holds(sam.patch_size == 16, "segmenter.patch_size", "16")
        _holds(sam.width % 4 == 0 and sam.embedding_width % 4 == 0, "segmenter.width", "a multiple of 4")
        _holds(blocks == list(range(sam.depth)), "groups", f"pairs that together are the blocks 0 to {sam.depth - 1}")
        _holds(self.inner_width % self.heads == 0, "heads", "a divisor of inner_width")
        _holds(value_width > 0 and value_width % self.heads == 0, "heads", "a divisor of width times value_ratio")
        _holds(sam.embedding_width % self.prompt_heads == 0, "prompt_heads", "a divisor of embedding_width")

    @property
    def pixels(self) -> PixelSpec:
        """How images are prepared for this model; its ViT is its only image encoder."""
        return PixelSpec(self.segmenter.image_size, keep_aspect_ratio=True)

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> ReferSamConfig:
        """Read a ``config.json``; other keys are ignored. Raises ValueError that names the key and what to write."""
        check("model_type", config.get("model_type"), OneOf(("refersam",)))
        own = {name: _tuples(config[name]) for name in RULES if name in config}
        return cls(_part("segmenter", SamConfig, config), _part("text", TextConfig, config), **own)

    def to_dict(self) -> dict[str, Any]:
        """The inverse of :meth:`from_dict`."""
        return {"model_type": "refersam", **asdict(self)}


def _part(key: str, config_class: type, config: dict[str, Any]):
    values = config.get(key)
    known = [one.name for one in fields(config_class) if one.default is not MISSING]
    if not isinstance(values, dict) or not set(values) <= set(known):
        raise ValueError(f"{key}: {shown(values)}; write an object with only {', '.join(known)}")
    try:
        return config_class(**{name: _tuples(value) for name, value in values.items()})
    except ValueError as error:
        raise ValueError(f"{key}.{error}") from None


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
