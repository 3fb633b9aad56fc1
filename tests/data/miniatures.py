"""Pieces of tiny data sets in their original formats, for the tests of their readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evfsam.media.export import encode_rle

SIZE_HW = HEIGHT, WIDTH = 20, 30


def write_image(path: Path, size_hw: tuple[int, int] = SIZE_HW, seed: int = 0) -> Path:
    """A noisy image of any format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_labels(path: Path, labels: np.ndarray, mode: str = "L") -> Path:
    """Labels, uint8 (H, W), as a grey PNG, or with the mode "P" as one with a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8))
    if mode == "P":
        image.putpalette([value for i in range(256) for value in (i, 255 - i, 7 * i % 256)])
    image.save(path)
    return path


def write_json(path: Path, facts: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts), encoding="utf-8")
    return path


def polygon(x: int, y: int, width: int, height: int) -> list[float]:
    """A rectangle as COCO draws it: exactly ``width`` x ``height`` pixels."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def rectangle(x: int, y: int, width: int, height: int, size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    """The same rectangle as bool (H, W)."""
    mask = np.zeros(size_hw, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def rle(x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return encode_rle(rectangle(x, y, width, height))


def image_entry(number: int, file_name: str) -> dict[str, Any]:
    return {"id": number, "file_name": file_name, "height": HEIGHT, "width": WIDTH}


def annotation(number: int, image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    fields = {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0}
    return {**fields, **more}
