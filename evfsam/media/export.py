"""Results as files: masks, cut-outs and overlays as PNG, COCO JSON with RLE, and all of it in one zip."""

from __future__ import annotations

import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from evfsam.media.overlay import overlay
from evfsam.types import Segmentation

SLUG_BYTES = 60  # three of them and a suffix stay far below a file system's 255


def mask_png(mask: np.ndarray) -> bytes:
    """bool (H, W) -> a lossless 8-bit greyscale PNG, 255 inside and 0 outside."""
    return _png(mask.astype(np.uint8) * 255)


def overlay_png(image: np.ndarray, segmentations: Sequence[Segmentation]) -> bytes:
    """All masks over the picture, in the palette's colours."""
    return _png(overlay(image, [s.mask for s in segmentations]))


def cutout(image: np.ndarray, mask: np.ndarray, crop: bool = False) -> np.ndarray:
    """The masked thing alone: RGBA uint8 (H, W, 4), or cropped to its bounding box.

    What is outside is black as well as transparent: nothing of the picture hides in there. An empty mask
    cannot be cropped and gives the whole, fully transparent.
    """
    rgba = np.dstack([image * mask[:, :, None], mask.astype(np.uint8) * 255])
    if not crop or not mask.any():
        return rgba
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def cutout_png(image: np.ndarray, mask: np.ndarray, crop: bool = False) -> bytes:
    """:func:`cutout` as a PNG."""
    return _png(cutout(image, mask, crop))


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """bool (H, W) -> COCO's compressed run lengths, JSON-ready: {"size": [H, W], "counts": str}."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_rle(rle: dict[str, Any]) -> np.ndarray:
    """The inverse of :func:`encode_rle`: bool (H, W)."""
    return coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")}).astype(bool)


def coco_json(picture_name: str, size_hw: tuple[int, int], segmentations: Sequence[Segmentation]) -> dict[str, Any]:
    """Results in COCO's layout: a category a phrase, an annotation a mask (bbox = x, y, width, height)."""
    categories = {phrase: i for i, phrase in enumerate(dict.fromkeys(s.prompt for s in segmentations), start=1)}
    height, width = size_hw
    return {
        "images": [{"id": 1, "file_name": picture_name, "height": height, "width": width}],
        "categories": [{"id": i, "name": phrase} for phrase, i in categories.items()],
        "annotations": [_annotation(i, categories[s.prompt], s) for i, s in enumerate(segmentations, start=1)],
    }


def _annotation(annotation_id: int, category_id: int, segmentation: Segmentation) -> dict[str, Any]:
    x0, y0, x1, y1 = segmentation.box_xyxy or (0, 0, 0, 0)
    return {
        "id": annotation_id,
        "image_id": 1,
        "category_id": category_id,
        "segmentation": encode_rle(segmentation.mask),
        "bbox": [int(x0), int(y0), int(x1 - x0), int(y1 - y0)],
        "area": int(segmentation.mask.sum()),
        "score": round(float(segmentation.score), 4),
        "iscrowd": 0,
    }


def bundle(
    image: np.ndarray,
    segmentations: Sequence[Segmentation],
    picture_name: str = "picture",
    crop: bool = False,
) -> dict[str, bytes]:
    """Every file of a result: file name -> content.

    A mask and a cut-out a phrase, one overlay and one COCO JSON; the names say the picture and the phrase.
    """
    stem = slug(re.sub(r"\.\w{1,5}$", "", picture_name), "picture")
    files = {f"{stem}.overlay.png": overlay_png(image, segmentations)}
    for segmentation, name in zip(segmentations, file_stems(stem, segmentations), strict=True):
        files[f"{name}.mask.png"] = mask_png(segmentation.mask)
        files[f"{name}.cutout.png"] = cutout_png(image, segmentation.mask, crop)
    document = coco_json(picture_name, image.shape[:2], segmentations)
    files[f"{stem}.coco.json"] = json.dumps(document, ensure_ascii=False, indent=1).encode()
    return files


def zip_files(files: dict[str, bytes]) -> bytes:
    """File name -> content, as one zip archive; PNGs are stored as they are, being compressed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            stored = name.endswith(".png")
            archive.writestr(name, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def file_stems(picture_stem: str, segmentations: Sequence[Segmentation]) -> list[str]:
    """One file name stem a phrase, "picture.phrase"; phrases that look alike get "-2", "-3" ..."""
    stems: list[str] = []
    for segmentation in segmentations:
        stem = f"{picture_stem}.{slug(segmentation.prompt, 'mask')}"
        unique, number = stem, 1
        while unique in stems:
            number += 1
            unique = f"{stem}-{number}"
        stems.append(unique)
    return stems


def slug(text: str, fallback: str) -> str:
    """Words as a safe part of a file name: letters and digits of any script, the rest one dash.

    Lower case, without dots or slashes, at most ``SLUG_BYTES`` bytes of UTF-8; ``fallback`` if nothing is
    left.
    """
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", text).casefold()).strip("-")
    words = words.encode()[:SLUG_BYTES].decode(errors="ignore").strip("-")
    return words or fallback


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png")
    return buffer.getvalue()
