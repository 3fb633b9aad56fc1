"""Scenes of the rendered world as samples: a picture, phrases by kind, and the true mask of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evfsam.data.scenes import Expression, Rendering, Scene, expressions, make_scene, render
from evfsam.errors import InputError

REFUSED = "Evaluation needs a count from 1, a seed from 0 and pictures of 16 pixels or more."


@dataclass(frozen=True)
class Turn:
    """A scene's seed and that of the scene before it, whose picture is its other one."""

    seed: int
    before: int


@dataclass(frozen=True)
class SceneSample:
    """One scene, ready to be asked about.

    Attributes:
        seed: of the scene.
        image: uint8 (H, W, 3).
        phrases: with their kinds.
        targets: bool (H, W) a phrase, empty where it names nothing that is there.
        before: seed of the scene whose picture is the other one.
    """

    seed: int
    image: np.ndarray
    phrases: tuple[Expression, ...]
    targets: tuple[np.ndarray, ...]
    before: int

    @property
    def other_image(self) -> np.ndarray:
        """Another scene's picture, (H, W, 3), for the exchange test."""
        return _drawn(self.before, self.image.shape[:2])[1].image


def turns(seeds: Sequence[int]) -> list[Turn]:
    """Each scene with the one before it; the first one with the scene after the last.

    Raises InputError if there are no seeds or one cannot be used.
    """
    if not seeds or min(seeds) < 0:
        raise InputError(REFUSED)
    return [Turn(seed, before) for seed, before in zip(seeds, [seeds[-1] + 1, *seeds[:-1]], strict=True)]


def scene_samples(seeds: Sequence[int], size_hw: tuple[int, int]) -> Iterator[SceneSample]:
    """Render scenes one after the other; each one's other picture is that of the scene before it.

    Raises InputError if there are no seeds, or if a seed or the size cannot be used.
    """
    for turn in turns(seeds):
        yield scene_sample(turn, size_hw)


def scene_sample(turn: Turn, size_hw: tuple[int, int]) -> SceneSample:
    """Render a scene, (H, W) pixels. Raises InputError if the size cannot be used."""
    if min(size_hw) < 16:
        raise InputError(REFUSED)
    scene, drawn = _drawn(turn.seed, tuple(size_hw))
    phrases = tuple(expressions(scene))
    targets = tuple(np.isin(drawn.part_map, phrase.part_ids) for phrase in phrases)
    return SceneSample(turn.seed, drawn.image, phrases, targets, turn.before)


@lru_cache(maxsize=3)  # this scene, the one before it, and the next
def _drawn(seed: int, size_hw: tuple[int, int]) -> tuple[Scene, Rendering]:
    scene = make_scene(seed, size_hw[1] / size_hw[0])
    return scene, render(scene, size_hw)
