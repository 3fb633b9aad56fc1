"""Things one by one: the mask of a category, taken apart into its things."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.data.coco.words import plural
from evfsam.data.scenes.words import stuff_names
from evfsam.errors import InputError
from evfsam.geometry import interior_point, mask_iou
from evfsam.media.images import ImageSource
from evfsam.predictor import Predictor
from evfsam.processing.masks import restore
from evfsam.processing.text import SEMANTIC_PREFIX, clean_prompt
from evfsam.types import EncodedImage, MaskLogits, PointPrompt, Segmentation, SpatialPrompt

MOST = 30  # things per prompt
WORK_PIXELS = 512  # longest side at which masks are compared
SMALLEST_SHARE = 0.001  # of the image, of what may become a thing ...
SMALLEST_OF_FIRST = 0.15  # ... and of the first piece that was tried
SLIVER = 0.01  # of the longest side: what is left of a thing at its edge
SAME = 0.6  # IoU from which two masks are one thing
LEAST_COVERED = 0.2  # of the piece, by a mask that is tried; below that the whole piece counts as tried
INSIDE = 0.8  # share of a mask that lies in another thing from which it is no thing of its own
# What has no things: it is never taken apart.
_STUFF = (
    "sky, wall, floor, ceiling, road, street, sidewalk, pavement, grass, lawn, earth, ground, dirt, sand, beach, snow, "
    "water, sea, ocean, river, lake, mountain, hill, rock, field, fence, railing, curtain, gravel, fog, clothes, "
    "hair, platform"
)
STUFF = frozenset((*stuff_names(), *_STUFF.split(", ")))
_EVERY = re.compile(r"(?:every|each|all(?: of)?(?: the)?) (\S.*)", re.IGNORECASE)
LONGEST_CATEGORY = 2  # words: "traffic light"; "dog on the left" is a phrase


@dataclass(frozen=True)
class Asked:
    """How a prompt is read.

    Attributes:
        text: what the checkpoint is asked for.
        category: the name of each thing.
        apart: whether the mask is to be taken apart.
        every: whether it was asked for by "every" or "all".
    """

    text: str
    category: str
    apart: bool
    every: bool = False


def read(prompt: str, info: CheckpointInfo) -> Asked:
    """Read "[semantic] dog", "every dog", "all dogs" and "all the dogs" as everything of the category dog, to be taken
    apart into things.

    "every" is read so if the checkpoint knows categories and the rest has at most two words. A longer phrase ("every
    dog on the left") is asked for as it stands, and its mask is taken apart as well. A plural becomes a singular where
    the checkpoint's vocabulary has it. Stuff, such as sky and grass, and all other prompts are not taken apart.

    Raises InputError for a prompt that cannot be used.
    """
    text = clean_prompt(prompt)
    if text.startswith(SEMANTIC_PREFIX):
        category = text.removeprefix(SEMANTIC_PREFIX)
        return Asked(text, category, category.lower() not in STUFF)
    every = _EVERY.fullmatch(text)
    if every is None:
        return Asked(text, text, False)
    category = _singular(every[1], info)
    apart = category.lower() not in STUFF
    known = "semantic" in info.capabilities and len(category.split()) <= LONGEST_CATEGORY
    return Asked(SEMANTIC_PREFIX + category if known else text, category, apart, every=True)


def _singular(words: str, info: CheckpointInfo) -> str:
    *before, noun = words.split()
    return " ".join([*before, {plural(word): word for word in info.vocabulary}.get(noun.lower(), noun)])


def separate(
    predictor: Predictor, image: ImageSource | EncodedImage, segmentation: Segmentation, most: int = MOST
) -> list[Segmentation]:
    """The things of a mask one by one, at most ``most``, for example of the answer to "[semantic] dog".

    The rule: take the point deepest inside what no thing covers yet, and ask for the mask at this point, without the
    text. It is the next thing, unless its IoU with an earlier one is at least 0.6 or 80 % of it lie in one. Repeat
    until all pieces left are slivers, below 0.1 % of the image, or below 15 % of the first piece.

    Each thing has its own mask and score, the presence of ``segmentation``, and as its prompt the category's name.
    Raises InputError for an image that cannot be used, and for a mask of another image's size.
    """
    return [thing for thing in iter_separate(predictor, image, segmentation, most) if thing is not None]


def iter_separate(
    predictor: Predictor, image: ImageSource | EncodedImage, segmentation: Segmentation, most: int = MOST
) -> Iterator[Segmentation | None]:
    """As :func:`separate`, one full-size mask at a time; None after each step of the model that goes before."""
    encoded = image if isinstance(image, EncodedImage) else predictor.encode(image)
    size_hw = encoded.geometry.original_size_hw
    if not isinstance(segmentation, Segmentation) or segmentation.mask.shape != size_hw:
        raise InputError("The mask to take apart is no result on this image: pass one that segment returned for it.")
    shrink = min(1.0, WORK_PIXELS / max(size_hw))
    work_hw = tuple(max(1, round(side * shrink)) for side in size_hw)
    work = replace(encoded.geometry, original_size_hw=work_hw)
    share = cv2.resize(segmentation.mask.astype(np.float32), work_hw[::-1], interpolation=cv2.INTER_AREA)
    left = share > 0.5
    found: list[tuple[np.ndarray, MaskLogits]] = []  # mask at work size, and as it came
    least = SMALLEST_SHARE * left.size
    for step in range(2 * most):
        left = _without_small(left, least)
        if len(found) == most or not left.any():
            break
        point, piece = _deepest(left)
        area = np.count_nonzero(piece)
        if step == 0:
            least = max(least, SMALLEST_OF_FIRST * area)
        masks = _at(predictor, encoded, point, work_hw)
        yield None
        mask = restore(masks.low_res_masks, work)[0].cpu().numpy() > 0
        if mask.any() and not any(_same(mask, other) for other, _ in found):
            found.append((mask, masks))
        covers = np.count_nonzero(mask & piece) >= LEAST_COVERED * area
        left = _without_slivers(left & ~(mask if covers else piece))
    name = read(segmentation.prompt, predictor.info).category if segmentation.prompt else ""
    for _, masks in found:
        thing = predictor.finish(masks, 0, replace(encoded, image=None), name, text_alone=False)
        yield replace(thing, presence=segmentation.presence)


def _without_slivers(mask: np.ndarray) -> np.ndarray:
    """The mask without what is thinner than :data:`SLIVER`."""
    side = max(1, round(SLIVER * max(mask.shape)))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side), np.uint8)) > 0


def _without_small(mask: np.ndarray, least: float) -> np.ndarray:
    """The mask without pieces of fewer pixels."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return mask & (stats[:, cv2.CC_STAT_AREA] >= least)[pieces]


def _deepest(mask: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """The pixel (x, y) that is farthest from the edge of a mask, and the piece of the mask that it lies in."""
    x, y = interior_point(mask)
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return (x, y), pieces == pieces[y, x]


def _at(predictor: Predictor, encoded: EncodedImage, point: tuple[int, int], work_hw: tuple[int, int]) -> MaskLogits:
    """The mask at a pixel of the work size."""
    height, width = encoded.geometry.original_size_hw
    scale = width / work_hw[1], height / work_hw[0]
    place = (np.array([point], np.float32) + 0.5) * np.array(scale, np.float32)
    by_hand = SpatialPrompt(PointPrompt(place, np.ones(1, np.int64)))
    return predictor.decode(encoded, [""], [by_hand])[0]


def _same(mask: np.ndarray, other: np.ndarray) -> bool:
    both = np.count_nonzero(mask & other)
    return mask_iou(mask, other) >= SAME or both >= INSIDE * np.count_nonzero(mask)
