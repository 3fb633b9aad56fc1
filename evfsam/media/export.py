"""Masks, cut-outs and overlays as PNG, COCO's run lengths, and names of files."""

from __future__ import annotations

import io
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from evfsam.errors import InputError
from evfsam.geometry import box_of
from evfsam.media.images import MAX_PIXELS
from evfsam.media.overlay import overlay
from evfsam.types import Segmentation

RLE_COUNTS = re.compile("[0-o]+")
SLUG_BYTES = 60  # three of them and a suffix stay far below a file system's 255


def mask_png(mask: np.ndarray) -> bytes:
    """bool (H, W) -> a lossless 8-bit greyscale PNG, 255 inside and 0 outside."""
    return png(mask.astype(np.uint8) * 255)


def overlay_png(image: np.ndarray, segmentations: Sequence[Segmentation]) -> bytes:
    """All masks drawn over the image, in the palette's colours."""
    return png(overlay(image, [s.mask for s in segmentations]))


def cutout(image: np.ndarray, mask: np.ndarray, crop: bool = False) -> np.ndarray:
    """The masked part alone: RGBA uint8 (H, W, 4), or cropped to its bounding box.

    Pixels outside the mask are black as well as transparent, so that nothing of the image hides there. An empty mask
    cannot be cropped and gives a fully transparent image of full size.
    """
    rgba = np.dstack([image * mask[:, :, None], mask.astype(np.uint8) * 255])
    box = box_of(mask) if crop else None
    if box is None:
        return rgba
    left, top, right, bottom = box
    return rgba[top:bottom, left:right]


def cutout_png(image: np.ndarray, mask: np.ndarray, crop: bool = False) -> bytes:
    """:func:`cutout` as a PNG."""
    return png(cutout(image, mask, crop))


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """bool (H, W) -> COCO's compressed run lengths, JSON-ready: {"size": [H, W], "counts": str}."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: dict[str, Any]) -> np.ndarray:
    """The inverse of :func:`encode_rle`: bool (H, W). Raises InputError for anything else."""
    try:
        (height, width), counts = rle["size"], rle["counts"]
        # Letters outside of the 64 gave no answer at all.
        if height > 0 and width > 0 and height * width <= MAX_PIXELS and RLE_COUNTS.fullmatch(counts):
            mask = coco_mask.decode({"size": [height, width], "counts": counts.encode("ascii")}).astype(bool)
            if encode_rle(mask)["counts"] == counts:  # runs that are too short leave pixels as they were in memory
                return mask
    except Exception:  # no dict, no numbers, no text, or runs that are too long
        pass
    raise InputError(
        'A mask must be {"size": [height, width], "counts": text} in COCO\'s run lengths: export it again.'
    )


def to_detections(results: Sequence[Segmentation]):
    """Results on one image as ``supervision.Detections``, without the empty masks.

    ``confidence`` is the score, ``class_id`` the row in ``results``, ``data["class_name"]`` the prompt. Raises
    InputError if the package supervision is not installed, or for anything but a list of results.
    """
    try:
        import supervision
    except ImportError:
        raise InputError("to_detections needs the package supervision: run pip install supervision.") from None
    found = [(row, result) for row, result in enumerate(several(results)) if result.box_xyxy is not None]
    if not found:
        return supervision.Detections.empty()
    return supervision.Detections(
        xyxy=np.array([result.box_xyxy for _, result in found], np.float32),
        mask=np.stack([result.mask for _, result in found]),
        confidence=np.array([result.score for _, result in found], np.float32),
        class_id=np.array([row for row, _ in found]),
        data={"class_name": np.array([result.prompt for _, result in found])},
    )


def several(results: Iterable[Segmentation]) -> list[Segmentation]:
    """The results as a list. Raises InputError for anything but results, and for one result alone."""
    found = list(results) if isinstance(results, Iterable) else [None]
    if not all(isinstance(each, Segmentation) for each in found):
        raise InputError("Results must be a list, as Predictor.segment returns it: for one result, write [result].")
    return found


def file_stems(image_stem: str, segmentations: Iterable[Segmentation]) -> list[str]:
    """One file name stem per prompt, "image.prompt"; prompts that look alike get "-2", "-3" ..."""
    stems: list[str] = []
    for segmentation in segmentations:
        stems.append(unique_stem(image_stem, segmentation.prompt, stems))
    return stems


def unique_stem(image_stem: str, prompt: str, taken: Sequence[str]) -> str:
    """The next of :func:`file_stems`, different from those taken."""
    stem = f"{image_stem}.{slug(prompt, 'mask')}"
    unique, number = stem, 1
    while unique in taken:
        number += 1
        unique = f"{stem}-{number}"
    return unique


def unique_stems(names: Iterable[str], fallback: str) -> list[str]:
    """A safe file name without ending for each file name; names that look alike get "-2", "-3" ..."""
    stems: dict[str, None] = {}
    for name in names:
        stem, number = slug(os.path.splitext(os.path.basename(name))[0], fallback), 1
        unique = stem
        while unique in stems:
            number += 1
            unique = f"{stem}-{number}"
        stems[unique] = None
    return list(stems)


def slug(text: str, fallback: str) -> str:
    """Words as a safe part of a file name: letters and digits of any script, the rest one dash.

    Lower case, without dots or slashes, at most ``SLUG_BYTES`` bytes of UTF-8; ``fallback`` if nothing is
    left.
    """
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", text).casefold()).strip("-")
    words = words.encode()[:SLUG_BYTES].decode(errors="ignore").strip("-")
    return words or fallback


def png(array: np.ndarray) -> bytes:
    """uint8 (H, W), (H, W, 3) or (H, W, 4) as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png", compress_level=3)  # over twice as fast as 6, a tenth larger
    return buffer.getvalue()
