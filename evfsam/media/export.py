"""Results as files: masks, cut-outs and overlays as PNG, COCO JSON with RLE."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from evfsam.errors import InputError
from evfsam.geometry import box_of
from evfsam.media.images import MAX_PIXELS
from evfsam.media.overlay import colour_of, draw, overlay
from evfsam.types import Segmentation

RLE_COUNTS = re.compile("[0-o]+")
SLUG_BYTES = 60  # three of them and a suffix stay far below a file system's 255


def mask_png(mask: np.ndarray) -> bytes:
    """bool (H, W) -> a lossless 8-bit greyscale PNG, 255 inside and 0 outside."""
    return _png(mask.astype(np.uint8) * 255)


def overlay_png(image: np.ndarray, segmentations: Sequence[Segmentation]) -> bytes:
    """All masks drawn over the image, in the palette's colours."""
    return _png(overlay(image, [s.mask for s in segmentations]))


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
    return _png(cutout(image, mask, crop))


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


def bundle(
    image: np.ndarray,
    segmentations: Iterable[Segmentation],
    image_name: str = "picture",
    crop: bool = False,
    skip_empty: bool = False,
) -> Iterator[tuple[str, bytes]]:
    """Every file of a result as (file name, content): a mask and a cut-out per prompt, one overlay, one COCO JSON.

    With ``skip_empty``, a prompt that found nothing gets no mask and no cut-out. The names tell the image and the
    prompt. Segmentations are taken one at a time and not kept: with large images hand over a generator, and write
    each file before the next.
    """
    stem = slug(re.sub(r"\.\w{1,5}$", "", image_name), "picture")
    drawn, stems, annotations, categories = image.copy(), [], [], {}
    for number, segmentation in enumerate(segmentations, start=1):
        stems.append(unique_stem(stem, segmentation.prompt, stems))
        if segmentation.mask.any() or not skip_empty:
            yield f"{stems[-1]}.mask.png", mask_png(segmentation.mask)
            yield f"{stems[-1]}.cutout.png", cutout_png(image, segmentation.mask, crop)
        draw(drawn, segmentation.mask, colour_of(number - 1))
        category = categories.setdefault(segmentation.prompt, len(categories) + 1)
        annotations.append(_annotation(number, category, segmentation))
        del segmentation
    yield f"{stem}.overlay.png", _png(drawn)
    document = _coco_document(image_name, image.shape[:2], categories, annotations)
    yield f"{stem}.coco.json", json.dumps(document, ensure_ascii=False, indent=1).encode()


def results_to_coco(results: Sequence[Segmentation], file_name: str = "image") -> dict[str, Any]:
    """Results on one image in COCO's layout: one category per prompt, one annotation per mask, RLE masks.

    ``file_name`` is that of the image. Raises InputError if there is no result to read the image's size from.
    """
    if not results:
        raise InputError("There are no results to convert: segment at least one prompt first.")
    categories = {prompt: i for i, prompt in enumerate(dict.fromkeys(s.prompt for s in results), start=1)}
    annotations = [_annotation(i, categories[s.prompt], s) for i, s in enumerate(results, start=1)]
    return _coco_document(file_name, results[0].mask_logits.shape, categories, annotations)


def _coco_document(
    file_name: str, size_hw: tuple[int, int], categories: dict[str, int], annotations: list
) -> dict[str, Any]:
    height, width = size_hw
    return {
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "categories": [{"id": i, "name": prompt} for prompt, i in categories.items()],
        "annotations": annotations,
    }


def to_detections(results: Sequence[Segmentation]):
    """Results on one image as ``supervision.Detections``, without the empty masks.

    ``confidence`` is the score, ``class_id`` the row in ``results``, ``data["class_name"]`` the prompt. Raises
    InputError if the package supervision is not installed.
    """
    try:
        import supervision
    except ImportError:
        raise InputError("to_detections needs the package supervision: run pip install supervision.") from None
    found = [(row, result) for row, result in enumerate(results) if result.box_xyxy is not None]
    if not found:
        return supervision.Detections.empty()
    return supervision.Detections(
        xyxy=np.array([result.box_xyxy for _, result in found], np.float32),
        mask=np.stack([result.mask for _, result in found]),
        confidence=np.array([result.score for _, result in found], np.float32),
        class_id=np.array([row for row, _ in found]),
        data={"class_name": np.array([result.prompt for _, result in found])},
    )


def _annotation(annotation_id: int, category_id: int, segmentation: Segmentation) -> dict[str, Any]:
    """One mask in COCO's layout (bbox = x, y, width, height)."""
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
    Image.fromarray(array).save(buffer, "png", compress_level=3)  # over twice as fast as 6, a tenth larger
    return buffer.getvalue()
