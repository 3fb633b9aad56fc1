"""Several people in one image: cut out, and pasted into other photographs or into rendered scenes."""

from __future__ import annotations

import cv2
import numpy as np

from evfsam.data.ccp.expressions import Person, absent_garments, absent_things, garments_of, people_expressions
from evfsam.data.ccp.pack import Pack, Photo
from evfsam.data.ccp.sample import HELD, LABELS_PER_PERSON, MOST_PEOPLE, Cutout, PhotoSample, ids_of, read_cutout
from evfsam.data.ccp.vocabulary import CLOTHES, PERSON
from evfsam.data.scenes import TRAIN, VALIDATION, make_scene, render
from evfsam.geometry import box_of

RENDERED = 0.5  # share of samples whose background is a rendered scene
SMALL_GAP = 0.005  # of a person's area: smaller holes belong to the person
MOST_HIDDEN = 0.4  # share of a person that another may cover
TRIES = 20


def composed_sample(
    pack: Pack, split: str, rng: np.random.Generator, size_hw: tuple[int, int], aspect: float = 1.0, count: int = 2
) -> PhotoSample:
    """Up to ``count`` people of a split in one image; fewer if there is no room.

    Args:
        split: "train", whose people vary in light, or "val".
        size_hw: of the image, in pixels.
        aspect: width / height before the image was stretched to ``size_hw``.
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
    everyone = tuple(ids_of(person.number, range(1, LABELS_PER_PERSON)) for person in people)
    return PhotoSample(image, part_map, tuple(expressions), everyone)


def _person(number: int, photo: Photo, whole: np.ndarray) -> Person:
    box = box_of(whole)
    height = (box[3] - box[1]) / len(whole) if box else 0.0
    return Person(number, float(whole.mean()), height, garments_of(photo.targets))


def _drawn_ground(rng: np.random.Generator, split: str, size_hw: tuple[int, int], aspect: float) -> np.ndarray:
    """A rendered scene without people, uint8 (H, W, 3)."""
    seeds = TRAIN if split == "train" else VALIDATION
    while True:
        scene = make_scene(seeds[int(rng.integers(len(seeds)))], aspect)
        if all(body.kind != "person" for body in scene.things):
            return render(scene, size_hw).image


def _covering(cutout: Cutout, size_hw: tuple[int, int], squeeze: float, rng: np.random.Generator) -> Cutout:
    """A photograph resized to fill the image, and cut where it is too long."""
    height, width = cutout.label_map.shape
    scale = max(size_hw[0] / height, size_hw[1] / (width * squeeze))
    resized = cutout.resized((max(size_hw[0], round(height * scale)), max(size_hw[1], round(width * squeeze * scale))))
    spare_y, spare_x = (have - want for have, want in zip(resized.label_map.shape, size_hw, strict=True))
    return resized.window(int(rng.uniform(0, 0.5) * spare_y), int(rng.uniform() * spare_x), *size_hw)


def _cut_out(cutout: Cutout) -> Cutout:
    """The window around the person. Small holes, such as straps and cups, become part of the person."""
    left, top, right, bottom = box_of(cutout.label_map)
    window = cutout.window(top, left, bottom - top, right - left)
    holes = (window.label_map == 0).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(np.pad(holes, 1, constant_values=1), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < SMALL_GAP * (window.label_map.size - holes.sum())
    small[0] = False  # the person
    labels = window.label_map.copy()
    labels[small[pieces[1:-1, 1:-1]]] = HELD
    return Cutout(window.image, labels)


def room(part_map: np.ndarray, cutout: Cutout, rng: np.random.Generator) -> tuple[int, int] | None:
    """Top and left, in pixels, of a place where the person covers nobody for the most part; None if there is none."""
    height, width = part_map.shape
    tall, wide = cutout.label_map.shape
    owners = np.where(part_map > 0, part_map.astype(np.int64) // LABELS_PER_PERSON, -1)
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
    """The slices of the image and of the cutout that overlap."""
    target, source = [], []
    for side, length, start in zip(size_hw, cutout_hw, (top, left), strict=True):
        first, last = max(0, start), max(0, min(side, start + length))
        target.append(slice(first, last))
        source.append(slice(first - start, last - start))
    return tuple(target), tuple(source)


def _paste(image, part_map, cutout: Cutout, place: tuple[int, int], number: int) -> np.ndarray:
    """Paste a person into the image, with soft edges. Returns the whole mask of the person, bool (H, W)."""
    target, source = _overlap(part_map.shape, cutout.label_map.shape, *place)
    labels = cutout.label_map[source]
    inside = labels > 0
    alpha = cv2.GaussianBlur(inside.astype(np.float32), (3, 3), 0)[..., None]
    ground = image[target]
    image[target] = (ground + (cutout.image[source].astype(np.float32) - ground) * alpha).astype(np.uint8)
    part_map[target][inside] = number * LABELS_PER_PERSON + labels[inside]
    whole = np.zeros(part_map.shape, bool)
    whole[target] = inside
    return whole
