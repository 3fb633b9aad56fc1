"""A tiny clone of the photographs' data set in its real format, drawn: people of rectangles in a street of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from evfsam.data.ccp.build import build_pack
from evfsam.data.ccp.vocabulary import CLASSES, GROUPS, NULL

MEMBERS = {name for table in (GROUPS, CLASSES) for members in table.values() for name in members or ()}
NAMES = [NULL, *sorted(MEMBERS)]
COATS = {"red": (200, 30, 30), "blue": (30, 60, 200), "green": (40, 150, 60), "white": (245, 245, 245)}
PEOPLE = 16  # of which two are kept back and two are "val"
SIZE_HW = (300, 200)

# label -> (top, bottom, left, right) on a body, in fractions of the image
BODY = {
    "hair": (0.06, 0.12, 0.42, 0.58),
    "skin": (0.12, 0.20, 0.42, 0.58),
    "coat": (0.20, 0.52, 0.32, 0.68),
    "pants": (0.52, 0.88, 0.36, 0.64),
    "shoes": (0.88, 0.94, 0.34, 0.66),
    "bag": (0.50, 0.58, 0.68, 0.78),
}
PAINT = {
    "hair": (90, 60, 30),
    "skin": (230, 180, 150),
    "pants": (20, 20, 24),
    "shoes": (60, 50, 40),
    "bag": (90, 90, 90),
}


def make_clone(folder: Path, people: int = PEOPLE) -> Path:
    """Write photos, annotations and the list of labels as the public repository has them."""
    (folder / "photos").mkdir(parents=True)
    (folder / "annotations" / "pixel-level").mkdir(parents=True)
    cells = np.empty((1, len(NAMES)), object)
    cells[0] = [np.array([name]) for name in NAMES]
    savemat(folder / "label_list.mat", {"label_list": cells})
    for number in range(1, people + 1):
        image, label_map = draw(number)
        Image.fromarray(image).save(folder / "photos" / f"{number:04}.jpg", quality=95)
        savemat(folder / "annotations" / "pixel-level" / f"{number:04}.mat", {"groundtruth": label_map})
    return folder


def make_pack(folder: Path) -> Path:
    build_pack(make_clone(folder / "clone"), folder / "pack")
    return folder / "pack"


def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A person whose coat's colour goes round with the number: image and label map."""
    rng = np.random.default_rng(number)
    height, width = SIZE_HW
    image = rng.integers(90, 150, (height, width, 3)).astype(np.uint8)
    label_map = np.zeros(SIZE_HW, np.uint8)
    for name, (top, bottom, left, right) in BODY.items():
        view = np.s_[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
        image[view] = PAINT.get(name) or list(COATS.values())[number % len(COATS)]
        label_map[view] = NAMES.index(name)
    return image, label_map
