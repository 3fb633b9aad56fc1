"""Colour words and the shades they stand for."""

from __future__ import annotations

from dataclasses import dataclass

from evfsam.data.scenes.rng import Rng

Rgb = tuple[float, float, float]

SHADES: dict[str, Rgb] = {
    "red": (206, 44, 46),
    "orange": (241, 134, 36),
    "yellow": (250, 212, 58),
    "green": (44, 148, 78),
    "blue": (44, 98, 206),
    "purple": (124, 66, 178),
    "pink": (246, 136, 184),
    "white": (242, 241, 238),
    "black": (46, 46, 54),
    "brown": (128, 80, 48),
}
HUES = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SKIN: tuple[Rgb, ...] = ((250, 214, 184), (233, 184, 148), (198, 140, 102), (146, 96, 66), (104, 68, 48))


@dataclass(frozen=True)
class Paint:
    """A colour word and one shade of it. The word is empty if no expression may name the colour."""

    word: str
    rgb: Rgb

    def lighter(self, amount: float) -> Rgb:
        return mix(self.rgb, (255.0, 255.0, 255.0), amount)

    def darker(self, amount: float) -> Rgb:
        return mix(self.rgb, (24.0, 22.0, 40.0), amount)


def mix(a: Rgb, b: Rgb, amount: float) -> Rgb:
    """Between ``a``, at amount 0, and ``b``, at amount 1."""
    return tuple(x + (y - x) * amount for x, y in zip(a, b, strict=True))


def paint(word: str, rng: Rng) -> Paint:
    """A shade of a colour word, jittered so little that the word still fits."""
    return Paint(word, jitter(SHADES[word], rng))


def plain(rgb: Rgb, rng: Rng) -> Paint:
    """A jittered shade that no expression names."""
    return Paint("", jitter(rgb, rng))


def jitter(rgb: Rgb, rng: Rng) -> Rgb:
    light = rng.uniform(-0.10, 0.10)
    spread = 7 if max(rgb) - min(rgb) > 30 else 3  # greys keep to grey
    towards = (255.0, 255.0, 255.0) if light > 0 else (0.0, 0.0, 0.0)
    shifted = mix(rgb, towards, abs(light))
    return tuple(min(255.0, max(0.0, channel + rng.uniform(-spread, spread))) for channel in shifted)
