"""One photograph, whole or a window of it."""

from __future__ import annotations

import numpy as np

from evfsam.data.ccp.expressions import absent_things, semantic
from evfsam.data.ccp.pack import Pack, Photo
from evfsam.data.ccp.sample import HELD, Cutout, PhotoSample, ids_of, read_cutout
from evfsam.data.ccp.vocabulary import PERSON, SMALLEST_SHARE
from evfsam.data.scenes import NAME, Expression

WHOLE = 0.4  # share of samples that show the whole photograph


def single_sample(pack: Pack, photo: Photo, rng: np.random.Generator, size_hw: tuple[int, int]) -> PhotoSample:
    """A photograph for training: varied, whole or a window, stretched to ``size_hw``, with expressions."""
    cutout = read_cutout(photo, rng, vary=True)
    if rng.random() > WHOLE:
        cutout = _window(cutout, rng)
    cutout = cutout.resized(size_hw)
    part_map = cutout.label_map
    areas = np.bincount(part_map.ravel(), minlength=256) / part_map.size
    expressions = []
    for prompt, labels in photo.targets.items():
        if areas[list(labels)].sum() >= SMALLEST_SHARE:
            expressions.append(semantic(prompt, labels, rng, pack.aliases))
    person = ids_of(0, range(1, HELD))
    if PERSON in photo.targets and areas[list(person)].sum() >= SMALLEST_SHARE:
        expressions.append(Expression(rng.choice(["the person", "person"]).item(), NAME, person, 0))
    expressions += absent_things(rng)
    return PhotoSample(cutout.image, part_map, tuple(expressions), (person,))


def _window(cutout: Cutout, rng: np.random.Generator) -> Cutout:
    """A random window of at least 0.35 of the height, around a random pixel of the person."""
    height, width = cutout.label_map.shape
    window_h = int(height * rng.uniform(0.35, 1.0))
    window_w = int(min(width, window_h * rng.uniform(0.6, 1.5)))
    rows, columns = np.nonzero(cutout.label_map)
    y, x = height // 2, width // 2
    if len(rows):
        chosen = rng.integers(len(rows))
        y, x = int(rows[chosen]), int(columns[chosen])
    top = int(np.clip(y - rng.uniform(0.1, 0.9) * window_h, 0, height - window_h))
    left = int(np.clip(x - rng.uniform(0.1, 0.9) * window_w, 0, width - window_w))
    return cutout.window(top, left, window_h, window_w)
