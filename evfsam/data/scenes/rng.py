"""The only random number generator of the rendered world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


class Rng:
    """Random numbers that are the same on every machine for the same seed and stream.

    Only ``Generator(PCG64).random()`` is used, because numpy may change how its other distributions consume bits.
    Layout, texture, wording and motion each have a stream: a new wording changes no image.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        self._generator = np.random.Generator(np.random.PCG64([seed, stream]))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high], both included."""
        return low + int(self._generator.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability, 0..1."""
        return float(self._generator.random()) < probability

    def sign(self) -> int:
        """1 or -1."""
        return 1 if self.chance(0.5) else -1

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[self.integer(0, len(options) - 1)]

    def weighted(self, options: dict[T, float]) -> T:
        """One key, with a probability in proportion to its value."""
        mark = self.uniform(0.0, sum(options.values()))
        for option, weight in options.items():
            mark -= weight
            if mark < 0:
                return option
        return next(reversed(options))

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """The options in random order."""
        rest = list(options)
        return [rest.pop(self.integer(0, len(rest) - 1)) for _ in range(len(rest))]

    def noise(self, rows: int, columns: int) -> np.ndarray:
        """(rows, columns) float32 in [-1, 1)."""
        return (self._generator.random((rows, columns)) * 2.0 - 1.0).astype(np.float32)
