"""Scenes of the rendered world as samples: a picture, phrases by kind, and the true mask of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evfsam.data.scenes import Expression, expressions, make_scene, render
from evfsam.errors import InputError


@dataclass(frozen=True)
class SceneSample:
    """One scene, ready to be asked about.

    Attributes:
        seed: of the scene.
        picture_rgb: uint8 (H, W, 3).
        phrases: with their kinds.
        targets: bool (H, W) a phrase, empty where it names nothing that is there.
        other_picture_rgb: another scene's picture, (H, W, 3), for the exchange test.
    """

    seed: int
    picture_rgb: np.ndarray
    phrases: tuple[Expression, ...]
    targets: tuple[np.ndarray, ...]
    other_picture_rgb: np.ndarray


def scene_samples(seeds: Sequence[int], size_hw: tuple[int, int]) -> Iterator[SceneSample]:
    """Render scenes one after the other; each one's other picture is that of the scene before it.

    Raises InputError if there are no seeds, or if a seed or the size cannot be used.
    """
    if not seeds or min(seeds) < 0 or min(size_hw) < 16:
        raise InputError("Evaluation needs a count from 1, a seed from 0 and pictures of 16 pixels or more.")
    aspect = size_hw[1] / size_hw[0]
    before = render(make_scene(seeds[-1] + 1, aspect), size_hw).picture_rgb  # the first one's other picture
    for seed in seeds:
        scene = make_scene(seed, aspect)
        drawn = render(scene, size_hw)
        phrases = tuple(expressions(scene))
        targets = tuple(np.isin(drawn.part_map, phrase.part_ids) for phrase in phrases)
        yield SceneSample(seed, drawn.picture_rgb, phrases, targets, before)
        before = drawn.picture_rgb
