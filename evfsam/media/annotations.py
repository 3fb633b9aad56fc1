"""Masks on any number of images as one data set: COCO JSON with run lengths or polygons, or YOLO segmentation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from evfsam.errors import InputError
from evfsam.media.export import decode_rle, encode_rle, several
from evfsam.media.polygons import joined, to_polygons
from evfsam.types import Segmentation

COCO, POLYGON, YOLO = "coco", "polygon", "yolo"
FORMATS = (COCO, POLYGON, YOLO)


@dataclass
class Annotated:
    """One image. ``categories``: of all images, prompt -> number."""

    file_name: str
    size_hw: tuple[int, int]
    stem: str
    categories: dict[str, int]
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, result: Segmentation) -> None:
        """One more mask; an empty one counts for its category alone. Things of one prompt share its category."""
        category = self.categories.setdefault(result.prompt, len(self.categories))
        if result.box_xyxy is None:
            return
        x0, y0, x1, y1 = result.box_xyxy
        facts = {
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": int(result.mask.sum()),
            "score": round(float(result.score), 4),
        }
        self.rows.append({"category": category, "rle": encode_rle(result.mask), "facts": facts})


class Annotations:
    """Images with one annotation per mask, and one category per prompt. Masks are kept compressed."""

    def __init__(self) -> None:
        self.categories: dict[str, int] = {}  # prompt -> number, from 0
        self.images: list[Annotated] = []

    def image(self, file_name: str, size_hw: tuple[int, int], stem: str = "") -> Annotated:
        """The next image, to add results to. ``stem``: names its file of YOLO labels."""
        self.images.append(Annotated(file_name, size_hw, stem or file_name.rsplit(".", 1)[0], self.categories))
        return self.images[-1]

    def files(self, format: str, stem: str) -> Iterator[tuple[str, bytes]]:
        """The files of one of :data:`FORMATS` as (name, content): ``STEM.coco.json``, or ``labels/*.txt`` and
        ``data.yaml``."""
        if format == YOLO:
            yield from self.yolo()
        else:
            document = self.coco(polygons=format == POLYGON)
            text = json.dumps(document, ensure_ascii=False, indent=1)
            yield f"{stem}.coco.json", text.encode("utf-8", "backslashreplace")  # names of files need not be UTF-8

    def coco(self, polygons: bool = False) -> dict[str, Any]:
        """COCO's layout, numbers from 1. ``polygons``: masks as :func:`to_polygons` has them, not as run lengths."""
        annotations = []
        for image_id, image in enumerate(self.images, start=1):
            for row in image.rows:
                made = {"id": len(annotations) + 1, "image_id": image_id, "category_id": row["category"] + 1}
                mask = _flat(row["rle"]) if polygons else row["rle"]
                annotations.append({**made, "segmentation": mask, **row["facts"], "iscrowd": 0})
        return {
            "images": [
                {"id": i, "file_name": image.file_name, "height": image.size_hw[0], "width": image.size_hw[1]}
                for i, image in enumerate(self.images, start=1)
            ],
            "categories": [{"id": i + 1, "name": prompt} for prompt, i in self.categories.items()],
            "annotations": annotations,
        }

    def yolo(self) -> Iterator[tuple[str, bytes]]:
        """YOLO segmentation: ``labels/NAME.txt`` for each image, and ``data.yaml``; put the images into ``images/``.

        A line is one mask: its class, then x and y of each corner as shares of the width and the height. A line has
        one outline, so slits without width join the pieces of a mask, and its holes (:func:`to_polygons`).
        """
        for image in self.images:
            lines = []
            for row in image.rows:
                corners = joined(to_polygons(decode_rle(row["rle"]))) / image.size_hw[::-1]
                lines.append(" ".join([str(row["category"]), *(f"{value:.6g}" for value in corners.ravel())]) + "\n")
            yield f"labels/{image.stem}.txt", "".join(lines).encode()
        # A text of JSON is a text of YAML.
        names = "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for name, i in self.categories.items())
        yield "data.yaml", f"train: images\nval: images\nnames:\n{names}".encode()


def results_to_coco(
    results: Sequence[Segmentation], file_name: str = "image", polygons: bool = False
) -> dict[str, Any]:
    """Results on one image in COCO's layout, as :meth:`Annotations.coco`.

    ``file_name`` is that of the image. Raises InputError for an empty list, and for anything but a list of results.
    """
    results = several(results)
    if not results:
        raise InputError("There are no results to convert: segment at least one prompt first.")
    annotations = Annotations()
    image = annotations.image(file_name, results[0].mask_logits.shape)
    for result in results:
        image.add(result)
    return annotations.coco(polygons)


def _flat(rle: dict[str, Any]) -> list[list[float]]:
    return [polygon.ravel().tolist() for polygon in to_polygons(decode_rle(rle))]
