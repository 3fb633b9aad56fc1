"""How well a category's mask comes apart into its things, where an image shows two or more of a kind.

    python -m benchmarks.things --model evf-sam2-tiny --count 60
    python -m benchmarks.things --model evf-sam2-tiny-coco --photographs coco --count 60

Compared are ``evfsam.separate`` and the connected pieces of the same mask. "IoU" is the mean over the true things of
the best matching (one to one); a thing without a match counts 0. "hits" is the share with an IoU of at least 0.5.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

import evfsam
from evfsam.data.coco.photographs import read_photographs
from evfsam.data.scenes.layout import make_scene
from evfsam.data.scenes.render import render
from evfsam.data.scenes.splits import SEEDS
from evfsam.geometry import mask_iou
from evfsam.processing.text import SEMANTIC_PREFIX
from evfsam.things import MOST, SMALLEST_SHARE

SIZE_HW = (320, 320)
LEAST_SHARE = 0.002  # of the image, of a true thing


def scenes(count: int) -> Iterator[tuple[np.ndarray, dict[str, list[np.ndarray]]]]:
    """Drawn test scenes: image, and category -> masks of its things."""
    for seed in SEEDS["test"][:count]:
        scene = make_scene(seed, 1.0)
        drawn = render(scene, SIZE_HW)
        things = defaultdict(list)
        for number, thing in enumerate(scene.things):
            own = [part.index for part in scene.parts if part.thing == number]
            things[thing.kind].append(np.isin(drawn.part_map, own))
        yield drawn.image, things


def photographs(root: Path, count: int) -> Iterator[tuple[np.ndarray, dict[str, list[np.ndarray]]]]:
    """Held-out photographs: image, and category -> masks of its things."""
    for photograph in read_photographs(root, held_out=True)[:count]:
        things = defaultdict(list)
        for instance in photograph.instances:
            if instance.category not in photograph.crowds:
                things[instance.category].append(instance.mask())
        yield photograph.image(), things


def pieces(mask: np.ndarray) -> list[np.ndarray]:
    """The connected pieces of a mask, the largest first, without the smallest ones."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = [i for i in np.argsort(-areas)[:MOST] if areas[i] >= SMALLEST_SHARE * mask.size]
    return [labels == i + 1 for i in largest]


def matched(found: list[np.ndarray], true: list[np.ndarray]) -> np.ndarray:
    """The IoU of each true thing with its match, 0 without one."""
    ious = np.zeros(len(true))
    if found:
        table = np.array([[mask_iou(one, other) for other in found] for one in true])
        rows, columns = linear_sum_assignment(-table)
        ious[rows] = table[rows, columns]
    return ious


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=evfsam.DEFAULT_MODEL)
    parser.add_argument("--photographs", type=Path, help="a folder with COCO annotations, instead of drawn scenes")
    parser.add_argument("--count", type=int, default=60)
    args = parser.parse_args()
    predictor = evfsam.Predictor.from_pretrained(args.model)
    source = photographs(args.photographs, args.count) if args.photographs else scenes(args.count)
    ious, counts, true_counts = defaultdict(list), defaultdict(list), []
    for image, things in source:
        encoded = predictor.encode(image)
        for category, masks in things.items():
            masks = [mask for mask in masks if mask.mean() >= LEAST_SHARE]
            if not 2 <= len(masks) <= MOST:
                continue
            (answer,) = predictor.segment(encoded, [SEMANTIC_PREFIX + category])
            apart = [thing.mask for thing in evfsam.separate(predictor, encoded, answer)]
            true_counts.append(len(masks))
            for name, found in (("connected pieces", pieces(answer.mask)), ("separate", apart)):
                ious[name].append(matched(found, masks))
                counts[name].append(len(found))
    print(f"{args.model}: {len(true_counts)} categories with {sum(true_counts)} things")
    print("| way | IoU | hits | found | wrong number by |\n|---|---|---|---|---|")
    for name, values in ious.items():
        all_ious = np.concatenate(values)
        wrong = np.abs(np.subtract(counts[name], true_counts)).mean()
        hits = (all_ious >= 0.5).mean()
        print(f"| {name} | {all_ious.mean():.3f} | {hits:.3f} | {sum(counts[name])} | {wrong:.2f} |")


if __name__ == "__main__":
    main()
