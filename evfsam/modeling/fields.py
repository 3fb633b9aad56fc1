"""The fields of a model's config: one rule per name, and relations between the values of one part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from evfsam.modeling.rules import Flag, ListOf, OneOf, Rule, Whole, check
from evfsam.values import shown

_WIDTH, _LAYERS, _HEADS, _FEED_FORWARD, _BLOCK = (
    Whole(8, 8192),
    Whole(1, 128),
    Whole(1, 256),
    Whole(8, 65536),
    Whole(0, 255),
)
FUSIONS = ("text", "late", "half", "early")
# One row per field of the dataclasses of configs. Fields of the same name follow the same rule.
RULES: dict[str, Rule] = {
    "width": _WIDTH,
    "layers": _LAYERS,
    "depth": _LAYERS,
    "heads": _HEADS,
    "feed_forward": _FEED_FORWARD,
    "vocabulary": Whole(8, 1_000_000),
    "image_size": Whole(16, 4096),
    "patch_size": Whole(4, 64),
    "text_positions": Whole(4, 65536),
    "stem": OneOf(("patches", "trunk")),
    "fusion": OneOf(FUSIONS),
    "prompt": OneOf(("image_cls", "text_cls", "image_mean", "both_cls")),
    "image_width": _WIDTH,
    "image_layers": _LAYERS,
    "image_heads": _HEADS,
    "image_feed_forward": _FEED_FORWARD,
    "projection": _WIDTH,
    "activation": OneOf(("quick_gelu", "gelu")),
    "trunk": OneOf(("hiera", "efficientnet_lite0")),
    "global_attention_blocks": ListOf(_BLOCK, 0, 256),
    "window": Whole(0, 256),
    "embedding_width": Whole(16, 1024),
    "decoder_feed_forward": _FEED_FORWARD,
    "stages": ListOf(Whole(1, 64), 4, 4),
    "window_position_size": ListOf(Whole(1, 256), 2, 2),
    "windows": ListOf(Whole(1, 256), 4, 4),
    "extra_masks": Flag(),
    "memory": Flag(),
    "memory_width": Whole(4, 1024),
    "memory_layers": Whole(1, 32),
    "memory_feed_forward": _FEED_FORWARD,
    "memory_frames": Whole(1, 64),
}

# Of each relation: whether it holds, the field that breaks it, and the rule in words.
Relations = Iterator[tuple[bool, str, str]]


class Checked:
    """A part of a config. Raises ValueError for wrong values when it is made."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            check(field.name, getattr(self, field.name), RULES[field.name])
        for holds, name, words in self._relations():
            if not holds:
                raise ValueError(f"{name}: {getattr(self, name)}; write {words}")

    def _relations(self) -> Relations:
        yield from ()


def divides(name: str, value: int, of: str, whole: int) -> tuple[bool, str, str]:
    """The relation that ``value`` divides ``whole``."""
    return whole % value == 0, name, f"a number that divides {of}, which is {whole}"


def is_one_of(name: str, value: str, names: tuple[str, ...]) -> tuple[bool, str, str]:
    """The relation that ``value`` is one of some names, where the rule allows more."""
    return value in names, name, str(OneOf(names))


def build(section: str, config_class: type, values: dict[str, Any]):
    """The part of a config from JSON values: lists become tuples; an unknown or missing field is an error."""
    known = {field.name: field.default is MISSING for field in fields(config_class)}
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{section}: {shown(unknown[0])}; write only {', '.join(known)}")
    if missing := [name for name, required in known.items() if required and name not in values]:
        raise ValueError(f"{section}.{missing[0]}: nothing; write {RULES[missing[0]]}")
    try:
        return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    except ValueError as error:
        raise ValueError(f"{section}.{error}") from None
