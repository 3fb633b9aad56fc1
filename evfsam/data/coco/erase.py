"""Taking things away from a photograph, so that only their pixels can tell that they are there.

A model soon learns a few hundred photographs by heart. Then the setting tells it what is there, and it finds things
that are not.
"""

from __future__ import annotations

import random
from collections.abc import Collection

import cv2
import numpy as np

from evfsam.data.coco.phrases import Thing

CATEGORIES = (1, 1, 2, 3)  # at most so many are taken away, each number as likely
ERASED_SHARES = (0.001, 0.3)  # of the image. Smaller things hardly count, and without larger ones little is left.
MARGIN = 0.012  # of the image's side, around a thing
FROM_IMAGE, FROM_RIM = 0.45, 0.35  # shares of the ways to fill a hole; the rest is blurred colour
TRIES = 12  # to find another place in the image
UNTOUCHED = 0.5  # share of images that also have a filled hole where no thing was


def erase_some(
    image: np.ndarray,
    things: list[Thing],
    stuff: dict[str, np.ndarray],
    kept: Collection[str],
    rng: random.Random,
) -> None:
    """Take all things of some categories out of an image, in place.

    Half of the images also get a filled hole where there was no thing. So a filled hole alone says nothing.

    Args:
        image: uint8 (S, S, 3).
        things: what it shows; what is erased is taken out of this list.
        stuff: word -> mask, bool (S, S); what is erased is taken out of these masks.
        kept: categories that are not erased.
    """
    side = image.shape[0]
    reach = 2 * max(2, int(MARGIN * side)) + 1
    categories = sorted({thing.category for thing in things} - set(kept))
    rng.shuffle(categories)
    for category in categories[: rng.choice(CATEGORIES)]:
        gone = np.any([thing.mask for thing in things if thing.category == category], axis=0)
        if not ERASED_SHARES[0] <= gone.mean() <= ERASED_SHARES[1]:
            continue
        things[:] = [thing for thing in things if thing.category != category]
        for word in stuff:
            stuff[word] &= ~gone
        _fill(image, cv2.dilate(gone.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0, things, rng)
    if things and rng.random() < UNTOUCHED:
        scale = rng.uniform(0.3, 1)
        place = [[scale, 0, rng.uniform(0, side * (1 - scale))], [0, scale, rng.uniform(0, side * (1 - scale))]]
        shape = cv2.warpAffine(rng.choice(things).mask.astype(np.uint8), np.float32(place), (side, side))
        if shape.mean() <= ERASED_SHARES[1]:
            _fill(image, shape > 0, things, rng)


def _fill(image: np.ndarray, hole: np.ndarray, things: list[Thing], rng: random.Random) -> None:
    """Cover a hole, bool (S, S), in place: with a piece of the image, with colours of its rim, or with a blur.

    The things stay as they are.
    """
    keep = np.any([thing.mask for thing in things], axis=0) if things else np.zeros_like(hole)
    hole = hole & ~keep
    if not hole.any():
        return
    way, side = rng.random(), len(image)
    elsewhere = _other_place(hole, hole | keep, rng) if way < FROM_IMAGE else None
    if elsewhere:
        filled = np.roll(image, (-elsewhere[0], -elsewhere[1]), (0, 1))
    elif way < FROM_IMAGE + FROM_RIM:
        half = side // 2, side // 2
        hole_there = cv2.dilate(cv2.resize(hole.astype(np.uint8), half), np.ones((3, 3), np.uint8))
        smooth = cv2.inpaint(cv2.resize(image, half, interpolation=cv2.INTER_AREA), hole_there, 3, cv2.INPAINT_TELEA)
        noise = np.random.default_rng(rng.randrange(2**31)).normal(0, rng.uniform(0, 8), image.shape)
        filled = np.clip(cv2.resize(smooth, (side, side)) + noise, 0, 255)
    else:
        filled = cv2.GaussianBlur(np.roll(image, side // 2, rng.randrange(2)), (0, 0), rng.uniform(3, 12))
    cover = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), rng.uniform(0.6, 3))[..., None]
    cover[keep] = 0
    image[:] = (image * (1 - cover) + filled * cover).astype(np.uint8)


def _other_place(hole: np.ndarray, taken: np.ndarray, rng: random.Random) -> tuple[int, int] | None:
    """A shift (down, right) in pixels that moves the hole off everything taken; None if none of a few tries does."""
    side = len(hole)
    for _ in range(TRIES):
        shift = rng.randint(-side // 2, side // 2), rng.randint(-side // 2, side // 2)
        if not (np.roll(hole, shift, (0, 1)) & taken).any():
            return shift
    return None
