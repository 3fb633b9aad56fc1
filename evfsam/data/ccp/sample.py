"""A sample: a picture, whose pixel is what of whom, and phrases with their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from evfsam.data.ccp.pack import Photo, read_photo
from evfsam.data.scenes import Expression

# Part ids: person p's label l is p * LABELS_A_PERSON + l; label 0 is the ground.
LABELS_A_PERSON = 60
HELD = 59  # a part of a person that has no label
MOST_PEOPLE = 4


@dataclass(frozen=True)
class PhotoSample:
    """One picture made of photographs.

    Attributes:
        image: uint8 (H, W, 3).
        part_map: uint8 (H, W): whose label each pixel has; 0 is the ground.
        expressions: phrases with the part ids they mean.
        people: the part ids of each person.
    """

    image: np.ndarray
    part_map: np.ndarray
    expressions: tuple[Expression, ...]
    people: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Cutout:
    """A photograph's part that is put somewhere: picture, uint8 (h, w, 3), and label map, uint8 (h, w)."""

    image: np.ndarray
    label_map: np.ndarray

    def resized(self, size_hw: tuple[int, int]) -> Cutout:
        height, width = size_hw
        shrinks = height * width < self.label_map.size
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return Cutout(
            cv2.resize(self.image, (width, height), interpolation=interpolation),
            cv2.resize(self.label_map, (width, height), interpolation=cv2.INTER_NEAREST),
        )

    def window(self, y: int, x: int, height: int, width: int) -> Cutout:
        view = np.s_[y : y + height, x : x + width]
        return Cutout(self.image[view], self.label_map[view])


def read_cutout(photo: Photo, rng: np.random.Generator, vary: bool) -> Cutout:
    """A whole photograph; mirrored half of the time and in other light if it may ``vary``."""
    image, label_map = read_photo(photo)
    if vary:
        if rng.random() < 0.5:
            image, label_map = image[:, ::-1], label_map[:, ::-1]
        image = other_light(image, rng)
    return Cutout(np.ascontiguousarray(image), np.ascontiguousarray(label_map))


def other_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation and the light's colour, each a little."""
    values = image.astype(np.float32)
    grey = values.mean(-1, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.7, 1.3)
    values = (values - 128) * rng.uniform(0.8, 1.2) + 128 * rng.uniform(0.8, 1.2)
    return np.clip(values * rng.uniform(0.95, 1.05, 3), 0, 255).astype(np.uint8)


def ids_of(person: int, labels: Sequence[int]) -> tuple[int, ...]:
    return tuple(person * LABELS_A_PERSON + label for label in labels)
