"""Reading a folder of photographs with COCO annotations, and the rule that keeps some of them for scores.

A folder holds ``images/`` and ``instances.json`` (or ``person_keypoints.json``), in the format of
cocodataset.org/#format-data; for stuff, ``panoptic.json`` and ``panoptic/``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evfsam.data.coco.words import stuff_word
from evfsam.data.files import as_text, checked, read_image, read_json, read_panoptic_ids
from evfsam.data.masks import to_mask
from evfsam.errors import InputError
from evfsam.geometry import box_of
from evfsam.media.export import encode_rle

# Of COCO's licences, those under which a photograph may be passed on, changed or not, if its author is credited.
FREE_LICENCES = {4: "CC BY 2.0", 5: "CC BY-SA 2.0", 7: "no known copyright restrictions"}
ANNOTATION_FILES = ("instances.json", "person_keypoints.json")
HELD_OUT_EVERY = 5


def is_held_out(image_id: int) -> bool:
    """Whether a photograph is kept for scores. Training never sees it, under whatever data set it comes."""
    return image_id % HELD_OUT_EVERY == 0


@dataclass(frozen=True)
class Instance:
    """One annotated thing.

    Attributes:
        category: its name.
        segmentation: polygons or run lengths, as the file has them (:func:`evfsam.data.masks.to_mask`).
        size_hw: of the photograph.
        name: of the annotation, for errors.
    """

    category: str
    segmentation: Any
    size_hw: tuple[int, int]
    name: str

    def mask(self) -> np.ndarray:
        """bool (H, W). Raises InputError if the segmentation is damaged."""
        return to_mask(self.segmentation, self.size_hw, self.name)

    def box_xywh(self) -> tuple[int, int, int, int]:
        """Its box in pixels: left, top, width, height; all 0 for an empty mask."""
        x0, y0, x1, y1 = box_of(self.mask()) or (0, 0, 0, 0)
        return x0, y0, x1 - x0, y1 - y0


@dataclass(frozen=True)
class Photograph:
    """One photograph with its annotations.

    Attributes:
        image_id: COCO's number. It decides the split.
        path: the image file.
        size_hw: what the annotations say that it has.
        instances: every annotated thing; crowds are not among them.
        crowds: categories of which some are annotated as a crowd only.
        credit: the author's page and the licence's name, if the licence lets anyone pass it on; else "".
        stuff: word -> mask as COCO's run lengths; empty if the photograph has no panoptic annotation.
        categories: the categories of which every thing is annotated. One that is not among ``instances`` is absent.
    """

    image_id: int
    path: Path
    size_hw: tuple[int, int]
    instances: tuple[Instance, ...]
    crowds: frozenset[str]
    categories: tuple[str, ...]
    credit: str = ""
    stuff: dict[str, dict] = field(default_factory=dict)

    def image(self) -> np.ndarray:
        """uint8 (H, W, 3). Raises InputError if the file is missing, damaged or of another size."""
        return read_image(self.path, self.size_hw)

    def absent(self) -> list[str]:
        """The categories that the photograph certainly does not show."""
        shown = {instance.category for instance in self.instances} | self.crowds
        return [category for category in self.categories if category not in shown]


def read_photographs(root: Path, held_out: bool) -> list[Photograph]:
    """The photographs of one split, by number. Raises InputError if the folder holds no annotations of this format."""
    annotation_file = next((root / name for name in ANNOTATION_FILES if (root / name).is_file()), None)
    if annotation_file is None:
        raise InputError(f"{root} holds no {' or '.join(ANNOTATION_FILES)}; name a folder with COCO annotations.")
    facts = read_json(annotation_file)
    stuff = _read_stuff(root)
    with checked(annotation_file):
        names = {category["id"]: as_text(category["name"]) for category in facts["categories"]}
        annotations: dict[int, list[dict]] = {entry["id"]: [] for entry in facts["images"]}
        for annotation in facts["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        return [
            _photograph(annotation_file, entry, annotations[entry["id"]], names, stuff.get(entry["id"], {}))
            for entry in sorted(facts["images"], key=lambda entry: entry["id"])
            if is_held_out(entry["id"]) == held_out
        ]


def _photograph(file: Path, entry: dict, own: list[dict], names: dict[int, str], stuff: dict[str, dict]) -> Photograph:
    size_hw = (entry["height"], entry["width"])
    return Photograph(
        image_id=entry["id"],
        path=file.parent / "images" / Path(entry["file_name"]).name,
        size_hw=size_hw,
        instances=tuple(
            Instance(names[a["category_id"]], a["segmentation"], size_hw, f"annotation {a.get('id')} of {file}")
            for a in own
            if not a.get("iscrowd")
        ),
        crowds=frozenset(names[a["category_id"]] for a in own if a.get("iscrowd")),
        categories=tuple(names.values()),
        credit=_credit(entry),
        stuff=stuff,
    )


def _credit(entry: dict) -> str:
    licence = FREE_LICENCES.get(entry.get("license"))
    return f"{entry['flickr_url']}, {licence}" if licence else ""


def _read_stuff(root: Path) -> dict[int, dict[str, dict]]:
    """Of every photograph with panoptic annotations: word -> run-length encoded mask."""
    path = root / "panoptic.json"
    if not os.path.isfile(path):
        return {}
    facts, stuff = read_json(path), {}
    with checked(path):
        words = {c["id"]: stuff_word(as_text(c["name"])) for c in facts["categories"] if not c["isthing"]}
        for annotation in facts["annotations"]:
            numbers = read_panoptic_ids(root / "panoptic" / annotation["file_name"])
            segments = defaultdict(list)
            for segment in annotation["segments_info"]:
                if word := words.get(segment["category_id"]):
                    segments[word].append(segment["id"])
            stuff[annotation["image_id"]] = {word: encode_rle(np.isin(numbers, own)) for word, own in segments.items()}
    return stuff
