"""Clips made of photographs: a window that moves over one, and cut-out things that move in front of it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import cv2
import numpy as np

from evfsam.data.coco.compose import LARGEST_SCALE, PASTED_SIDE, SMALLEST_CUTOUT, other_light
from evfsam.data.coco.photographs import Instance, Photograph

MOST_THINGS = 4  # of the photograph's own
PASTED = (0, 1, 1, 2, 3)  # things in front of it, each as likely
SPEEDS = (0.3, 1.0, 1.0, 2.0)
BENT = 0.02  # of the image's side: how far a frame is bent at most, for people and animals are not rigid
BEND_POINTS = 5


def moving_clip(
    photographs: Sequence[Photograph], seed: int, frames: int, size: int
) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """One clip; the same seed always gives the same.

    Args:
        photographs: of the training split, at least one with an annotated thing.
        frames: T, how many.
        size: S, side of the square frames in pixels.

    Returns images uint8 (T, S, S, 3); part maps uint8 (T, S, S), where 0 is everything but the things; and the part
    numbers of each thing, one each.
    """
    rng = random.Random(seed)
    showing = [photograph for photograph in photographs if photograph.instances]
    photograph = rng.choice(showing)
    image = photograph.image()
    own = rng.sample(photograph.instances, min(MOST_THINGS, len(photograph.instances)))
    numbers = np.zeros(image.shape[:2], np.uint8)
    for number, instance in enumerate(own, 1):
        numbers[instance.mask()] = number
    window = _window_path(rng.choice(own), image.shape[:2], rng, frames, size)
    pasted = [_cutout(showing, rng, frames, size) for _ in range(rng.choice(PASTED))]
    bends = [np.float32([[[rng.gauss(0, 0.5) for _ in "xy"] for _ in range(BEND_POINTS)] for _ in range(BEND_POINTS)])]
    bends += [np.float32(np.rot90(bends[0]))]
    amplitude, pace, light = rng.uniform(0, BENT) * size, rng.uniform(0.2, 0.8), rng.random()
    images, maps = np.empty((frames, size, size, 3), np.uint8), np.empty((frames, size, size), np.uint8)
    for t in range(frames):
        frame = cv2.warpAffine(image, window[t], (size, size), borderMode=cv2.BORDER_REPLICATE)
        part_map = cv2.warpAffine(numbers, window[t], (size, size), flags=cv2.INTER_NEAREST)
        for number, (cutout, alpha, path) in enumerate(pasted, len(own) + 1):
            cover = cv2.warpAffine(alpha, path[t], (size, size))
            colours = cv2.warpAffine(cutout, path[t], (size, size), borderMode=cv2.BORDER_REPLICATE)
            frame = (frame * (1 - cover[..., None]) + colours * cover[..., None]).astype(np.uint8)
            part_map[cover > 0.5] = number
        field = bends[0] * math.cos(pace * t) + bends[1] * math.sin(pace * t)
        frame, part_map = _bent(frame, part_map, amplitude * field)
        images[t], maps[t] = other_light(frame, random.Random(light)), part_map
    if rng.random() < 0.5:
        images, maps = images[:, :, ::-1], maps[:, :, ::-1]
    return images, maps, [[number] for number in range(1, len(own) + len(pasted) + 1)]


def _walk(rng: random.Random, frames: int, speed: float) -> np.ndarray:
    """float64 (T,): a way that starts at 0 and turns slowly."""
    velocity, place, way = rng.gauss(0, speed), 0.0, []
    for _ in range(frames):
        way.append(place)
        velocity += rng.gauss(0, 0.35 * speed)
        place += velocity
    return np.array(way)


def _affine(centre_xy: tuple[float, float], scale: float, angle: float, to_xy: tuple[float, float]) -> np.ndarray:
    """float32 (2, 3): turns and scales about a centre, which comes to lie at ``to_xy``."""
    matrix = np.float32([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * scale
    return np.column_stack([matrix, np.float32(to_xy) - matrix @ np.float32(centre_xy)])


def _window_path(focus: Instance, size_hw: tuple[int, int], rng: random.Random, frames: int, size: int):
    """Matrices that show a part of a photograph around one of its things, frame after frame."""
    x, y, width, height = focus.box_xywh()
    side = min(max(max(width, height) * rng.uniform(0.9, 2.5), 0.35 * min(size_hw)), 1.15 * max(size_hw))
    speed = rng.choice(SPEEDS)
    xs, ys = (side * (rng.uniform(-0.12, 0.12) + _walk(rng, frames, 0.025 * speed)) for _ in "xy")
    zoom, turn = np.exp(_walk(rng, frames, 0.03 * speed)), _walk(rng, frames, 0.015 * speed)
    middle = (size / 2, size / 2)
    centre = x + width / 2, y + height / 2
    return [
        _affine((centre[0] + xs[t], centre[1] + ys[t]), size / side * zoom[t], turn[t], middle) for t in range(frames)
    ]


def _cutout(photographs: Sequence[Photograph], rng: random.Random, frames: int, size: int):
    """A thing cut out of any photograph: uint8 (h, w, 3), float32 (h, w), and its matrices frame after frame."""
    photograph = rng.choice(photographs)
    large = [instance for instance in photograph.instances if instance.mask().sum() >= SMALLEST_CUTOUT]
    instance = rng.choice(large or photograph.instances)
    x, y, width, height = instance.box_xywh()
    inside = np.s_[y : y + height + 1, x : x + width + 1]  # never empty
    cutout, alpha = photograph.image()[inside], instance.mask()[inside].astype(np.float32)
    side = math.exp(rng.uniform(*map(math.log, PASTED_SIDE))) * size
    scale, speed = min(side / math.sqrt(alpha.size), LARGEST_SCALE), rng.choice(SPEEDS)
    xs = size * (rng.uniform(0.1, 0.9) + _walk(rng, frames, 0.03 * speed))
    ys = size * (rng.uniform(0.15, 0.85) + _walk(rng, frames, 0.02 * speed))
    zoom, turn = scale * np.exp(_walk(rng, frames, 0.02 * speed)), _walk(rng, frames, 0.02 * speed)
    centre = alpha.shape[1] / 2, alpha.shape[0] / 2
    return cutout, alpha, [_affine(centre, zoom[t], turn[t], (xs[t], ys[t])) for t in range(frames)]


def _bent(frame: np.ndarray, part_map: np.ndarray, coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A frame and its part map, moved by some pixels in x and y: ``coarse`` float32 (n, n, 2), smooth between."""
    by = cv2.resize(coarse, part_map.shape[::-1], interpolation=cv2.INTER_CUBIC)
    rows, columns = np.indices(part_map.shape, np.float32)
    x, y = columns + by[..., 0], rows + by[..., 1]
    return (
        cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        cv2.remap(part_map, x, y, cv2.INTER_NEAREST),
    )
