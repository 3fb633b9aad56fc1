"""A sample: an image, its map of persons and labels, and expressions with their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from evfsam.data.ccp.pack import Photo, read_photo
from evfsam.data.scenes import Expression

# Part ids: label l of person p is p * LABELS_PER_PERSON + l; label 0 is the background.
LABELS_PER_PERSON = 60
HELD = 59  # a part of a person that has no label
MOST_PEOPLE = 4


@dataclass(frozen=True)
class PhotoSample:
    """One image made of photographs.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        part_map: uint8 (H, W), the part id of each pixel; 0 is the background.
        expressions: texts with the part ids that they name.
        people: the part ids of each person.
    """

    image: np.ndarray
    part_map: np.ndarray
    expressions: tuple[Expression, ...]
    people: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Cutout:
    """A part of a photograph: image, uint8 (h, w, 3), RGB, and label map, uint8 (h, w)."""

    image: np.ndarray
    label_map: np.ndarray

    def resized(self, size_hw: tuple[int, int]) -> Cutout:
        """The same at another size, in pixels."""
        height, width = size_hw
        shrinks = height * width < self.label_map.size
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return Cutout(
            cv2.resize(self.image, (width, height), interpolation=interpolation),
            cv2.resize(self.label_map, (width, height), interpolation=cv2.INTER_NEAREST),
        )

    def window(self, y: int, x: int, height: int, width: int) -> Cutout:
        """The part from (y, x), the top left pixel; views, not copies."""
        view = np.s_[y : y + height, x : x + width]
        return Cutout(self.image[view], self.label_map[view])


def read_cutout(photo: Photo, rng: np.random.Generator, vary: bool) -> Cutout:
    """A whole photograph. ``vary``: change its light, and mirror it half of the time."""
    image, label_map = read_photo(photo)
    if vary:
        if rng.random() < 0.5:
            image, label_map = image[:, ::-1], label_map[:, ::-1]
        image = other_light(image, rng)
    return Cutout(np.ascontiguousarray(image), np.ascontiguousarray(label_map))


def other_light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy with small random changes of brightness, contrast, saturation and colour balance."""
    values = image.astype(np.float32)
    grey = values.mean(-1, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.7, 1.3)
    values = (values - 128) * rng.uniform(0.8, 1.2) + 128 * rng.uniform(0.8, 1.2)
    return np.clip(values * rng.uniform(0.95, 1.05, 3), 0, 255).astype(np.uint8)


def ids_of(person: int, labels: Sequence[int]) -> tuple[int, ...]:
    """The part ids of labels of one person."""
    return tuple(person * LABELS_PER_PERSON + label for label in labels)
