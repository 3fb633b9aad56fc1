"""Reading a folder of photographs with COCO annotations, and the rule that keeps some of them for scores.

A folder holds ``images/`` and ``instances.json`` (or ``person_keypoints.json``), in the format of
cocodataset.org/#format-data; for stuff, ``panoptic.json`` and ``panoptic/``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from evfsam.data.coco.words import stuff_word
from evfsam.data.files import read_image, read_panoptic_ids
from evfsam.errors import InputError

# Of COCO's licences, those under which a photograph may be passed on, changed or not, if its author is credited.
FREE_LICENCES = {4: "CC BY 2.0", 5: "CC BY-SA 2.0", 7: "no known copyright restrictions"}
ANNOTATION_FILES = ("instances.json", "person_keypoints.json")
HELD_OUT_EVERY = 5


def is_held_out(image_id: int) -> bool:
    """Whether a photograph is kept for scores. Training never sees it, under whatever data set it comes."""
    return image_id % HELD_OUT_EVERY == 0


@dataclass(frozen=True)
class Instance:
    """One annotated thing. ``rle`` is its mask in COCO's run-length encoding."""

    category: str
    rle: dict

    def mask(self) -> np.ndarray:
        """bool (H, W)"""
        return coco_mask.decode(self.rle).astype(bool)

    def box_xywh(self) -> tuple[float, ...]:
        """Its box in pixels: left, top, width, height."""
        return tuple(coco_mask.toBbox(self.rle))

    def area(self) -> int:
        """In pixels."""
        return int(coco_mask.area(self.rle))


@dataclass(frozen=True)
class Photograph:
    """One photograph with its annotations.

    Attributes:
        image_id: COCO's number. It decides the split.
        path: the image file.
        instances: every annotated thing; crowds are not among them.
        crowds: categories of which some are annotated as a crowd only.
        credit: the author's page and the licence's name, if the licence lets anyone pass it on; else "".
        stuff: word -> run-length encoded mask; empty if the photograph has no panoptic annotation.
        categories: the categories of which every thing is annotated. One that is not among ``instances`` is absent.
    """

    image_id: int
    path: Path
    instances: tuple[Instance, ...]
    crowds: frozenset[str]
    categories: tuple[str, ...]
    credit: str = ""
    stuff: dict[str, dict] = field(default_factory=dict)

    def image(self) -> np.ndarray:
        """uint8 (H, W, 3). Raises InputError if the file is missing or damaged."""
        return read_image(self.path)

    def absent(self) -> list[str]:
        """The categories that the photograph certainly does not show."""
        shown = {instance.category for instance in self.instances} | self.crowds
        return [category for category in self.categories if category not in shown]


def read_photographs(root: Path, held_out: bool) -> list[Photograph]:
    """The photographs of one split, by number. Raises InputError if the folder holds no annotations of this format."""
    annotation_file = next((root / name for name in ANNOTATION_FILES if (root / name).is_file()), None)
    if annotation_file is None:
        raise InputError(f"{root} holds no {' or '.join(ANNOTATION_FILES)}; name a folder with COCO annotations.")
    try:
        facts = json.loads(annotation_file.read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in facts["categories"]}
        annotations = defaultdict(list)
        for annotation in facts["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        stuff = _read_stuff(root)
        found = []
        for entry in sorted(facts["images"], key=lambda entry: entry["id"]):
            if is_held_out(entry["id"]) != held_out:
                continue
            own = annotations[entry["id"]]
            found.append(
                Photograph(
                    image_id=entry["id"],
                    path=root / "images" / Path(entry["file_name"]).name,
                    instances=tuple(
                        Instance(names[a["category_id"]], _run_lengths(a["segmentation"], entry))
                        for a in own
                        if not a.get("iscrowd")
                    ),
                    crowds=frozenset(names[a["category_id"]] for a in own if a.get("iscrowd")),
                    categories=tuple(names.values()),
                    credit=_credit(entry),
                    stuff=stuff.get(entry["id"], {}),
                )
            )
        return found
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{annotation_file} is damaged or not in COCO's format; copy it again.") from None


def _credit(entry: dict) -> str:
    licence = FREE_LICENCES.get(entry.get("license"))
    return f"{entry['flickr_url']}, {licence}" if licence else ""


def _run_lengths(segmentation, entry: dict) -> dict:
    """Polygons or run lengths, as COCO has both, -> compressed run lengths."""
    height, width = entry["height"], entry["width"]
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation


def _read_stuff(root: Path) -> dict[int, dict[str, dict]]:
    """Of every photograph with panoptic annotations: word -> run-length encoded mask."""
    path = root / "panoptic.json"
    if not path.is_file():
        return {}
    facts = json.loads(path.read_text(encoding="utf-8"))
    words = {c["id"]: stuff_word(c["name"]) for c in facts["categories"] if not c["isthing"]}
    stuff = {}
    for annotation in facts["annotations"]:
        numbers = read_panoptic_ids(root / "panoptic" / annotation["file_name"])
        segments = defaultdict(list)
        for segment in annotation["segments_info"]:
            if word := words.get(segment["category_id"]):
                segments[word].append(segment["id"])
        stuff[annotation["image_id"]] = {
            word: coco_mask.encode(np.asfortranarray(np.isin(numbers, own).astype(np.uint8)))
            for word, own in segments.items()
        }
    return stuff
