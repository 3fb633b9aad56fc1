"""Several people in one picture: cut out and set onto other photographs or onto rendered scenes."""

from __future__ import annotations

import cv2
import numpy as np

from evfsam.data.ccp.pack import Pack, Photo
from evfsam.data.ccp.phrases import Person, absent_garments, absent_things, garments_of, people_expressions
from evfsam.data.ccp.sample import HELD, LABELS_A_PERSON, MOST_PEOPLE, Cutout, PhotoSample, ids_of, read_cutout
from evfsam.data.ccp.vocabulary import CLOTHES, PERSON
from evfsam.data.scenes import TRAIN, VALIDATION, make_scene, render

RENDERED = 0.5  # share of samples on a drawn ground
SMALL_GAP = 0.005  # of a person's area: a hole of that size belongs to the person
MOST_HIDDEN = 0.4  # of somebody, by one who stands in front
TRIES = 20


def composed_sample(
    pack: Pack, split: str, rng: np.random.Generator, size_hw: tuple[int, int], aspect: float = 1.0, count: int = 2
) -> PhotoSample:
    """Up to ``count`` people of a split in one picture; fewer where they find no room.

    Args:
        split: "train", whose people vary in light, or "val".
        size_hw: of the picture.
        aspect: the width over the height that the picture stands for; people are squeezed to fit ``size_hw``.
    """
    vary = split == "train"
    photos = [photo for photo in pack.photos[split] if PERSON in photo.targets and CLOTHES in photo.targets]
    chosen = [photos[i] for i in rng.choice(len(photos), min(count, len(photos)), replace=False)]
    squeeze = size_hw[1] / (aspect * size_hw[0])
    drawn = rng.random() < RENDERED
    people: list[Person] = []
    if drawn:
        image, part_map = _drawn_ground(rng, split, size_hw, aspect), np.zeros(size_hw, np.uint8)
    else:
        ground = _covering(read_cutout(chosen[0], rng, vary), size_hw, squeeze, rng)
        image, part_map = ground.image, ground.label_map.copy()
        people.append(_person(0, chosen[0], part_map > 0))
        chosen = chosen[1:]
    image = image.copy()
    scale = rng.uniform(0.5, 0.95)
    for photo in chosen:
        cutout = _cut_out(read_cutout(photo, rng, vary))
        height = int(size_hw[0] * np.clip(scale * rng.uniform(0.7, 1.1), 0.3, 1.0))
        width = max(4, round(height * cutout.label_map.shape[1] / cutout.label_map.shape[0] * squeeze))
        cutout = cutout.resized((height, width))
        place = room(part_map, cutout, rng)
        if place is not None:
            whole = _paste(image, part_map, cutout, place, len(people))
            people.append(_person(len(people), photo, whole))
    people = [person for person in people if person.whole_area > 0]
    expressions = people_expressions(image, part_map, people, pack.vocabulary, pack.aliases, rng)
    if drawn:
        expressions += absent_garments(image, part_map, people, pack.vocabulary, rng)
    else:
        expressions += absent_things(rng)
    everyone = tuple(ids_of(person.number, range(1, LABELS_A_PERSON)) for person in people)
    return PhotoSample(image, part_map, tuple(expressions), everyone)


def _person(number: int, photo: Photo, whole: np.ndarray) -> Person:
    rows = np.flatnonzero(whole.any(1))
    height = (rows[-1] + 1 - rows[0]) / len(whole) if len(rows) else 0.0
    return Person(number, float(whole.mean()), height, garments_of(photo.targets))


def _drawn_ground(rng: np.random.Generator, split: str, size_hw: tuple[int, int], aspect: float) -> np.ndarray:
    """A scene without people in it."""
    seeds = TRAIN if split == "train" else VALIDATION
    while True:
        scene = make_scene(seeds[int(rng.integers(len(seeds)))], aspect)
        if all(body.kind != "person" for body in scene.things):
            return render(scene, size_hw).image


def _covering(cutout: Cutout, size_hw: tuple[int, int], squeeze: float, rng: np.random.Generator) -> Cutout:
    """A photograph that fills the picture: what is too long is cut off."""
    height, width = cutout.label_map.shape
    scale = max(size_hw[0] / height, size_hw[1] / (width * squeeze))
    resized = cutout.resized((max(size_hw[0], round(height * scale)), max(size_hw[1], round(width * squeeze * scale))))
    spare_y, spare_x = (have - want for have, want in zip(resized.label_map.shape, size_hw, strict=True))
    return resized.window(int(rng.uniform(0, 0.5) * spare_y), int(rng.uniform() * spare_x), *size_hw)


def _cut_out(cutout: Cutout) -> Cutout:
    """The person alone: the window around, and small holes filled, for they are straps and cups."""
    rows, columns = np.flatnonzero(cutout.label_map.any(1)), np.flatnonzero(cutout.label_map.any(0))
    window = cutout.window(rows[0], columns[0], rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0])
    holes = (window.label_map == 0).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(np.pad(holes, 1, constant_values=1), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < SMALL_GAP * (window.label_map.size - holes.sum())
    small[0] = False  # the person
    labels = window.label_map.copy()
    labels[small[pieces[1:-1, 1:-1]]] = HELD
    return Cutout(window.image, labels)


def room(part_map: np.ndarray, cutout: Cutout, rng: np.random.Generator) -> tuple[int, int] | None:
    """Top and left for a person such that nobody is mostly covered; None if there is no room."""
    height, width = part_map.shape
    tall, wide = cutout.label_map.shape
    owners = np.where(part_map > 0, part_map.astype(np.int64) // LABELS_A_PERSON, -1)
    for _ in range(TRIES):
        top = int(height * rng.uniform(0.85, 1.05)) - tall
        left = int(width * rng.uniform(0.04, 0.96)) - wide // 2
        target, source = _overlap(part_map.shape, cutout.label_map.shape, top, left)
        new = cutout.label_map[source] > 0
        if new.sum() < 0.6 * (cutout.label_map > 0).sum():
            continue
        before = np.bincount(owners[owners >= 0], minlength=MOST_PEOPLE)
        there = owners[target][new]
        covered = np.bincount(there[there >= 0], minlength=MOST_PEOPLE)
        if (covered <= MOST_HIDDEN * before).all():
            return top, left
    return None


def _overlap(size_hw, cutout_hw, top: int, left: int):
    """Slices of the picture and of the cutout where the two meet."""
    target, source = [], []
    for side, length, start in zip(size_hw, cutout_hw, (top, left), strict=True):
        first, last = max(0, start), max(0, min(side, start + length))
        target.append(slice(first, last))
        source.append(slice(first - start, last - start))
    return tuple(target), tuple(source)


def _paste(image, part_map, cutout: Cutout, place: tuple[int, int], number: int) -> np.ndarray:
    """Put a person into the picture, with a soft edge; returns the person's whole mask, bool (H, W)."""
    target, source = _overlap(part_map.shape, cutout.label_map.shape, *place)
    labels = cutout.label_map[source]
    inside = labels > 0
    alpha = cv2.GaussianBlur(inside.astype(np.float32), (3, 3), 0)[..., None]
    ground = image[target]
    image[target] = (ground + (cutout.image[source].astype(np.float32) - ground) * alpha).astype(np.uint8)
    part_map[target][inside] = number * LABELS_A_PERSON + labels[inside]
    whole = np.zeros(part_map.shape, bool)
    whole[target] = inside
    return whole
