"""A folder of tiny photographs with COCO annotations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

CATEGORIES = ("dog", "cup", "kite")
HEIGHT, WIDTH = 60, 100


def square(x: int, y: int, side: int) -> list[list[float]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def write_coco(root: Path) -> Path:
    """Ten photographs of a small dog at the left, a large one at the right, and a crowd of cups."""
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, 11):
        pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH})
        shared = {"image_id": number, "iscrowd": 0}
        annotations += [
            {**shared, "category_id": 1, "segmentation": square(5, 20, 20)},
            {**shared, "category_id": 1, "segmentation": square(60, 15, 32)},
            {
                **shared,
                "category_id": 2,
                "iscrowd": 1,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, 60, HEIGHT * WIDTH - 60]},
            },
        ]
    facts = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CATEGORIES, 1)],
    }
    (root / "instances.json").write_text(json.dumps(facts))
    return root
