"""Data sets with one label per pixel: ADE20K's 150 classes, ATR human parsing, and COCO's panoptic segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evfsam.data.coco.words import stuff_word
from evfsam.data.files import (
    as_text,
    checked,
    first_of,
    folder_of,
    read_image,
    read_json,
    read_label_map,
    read_panoptic_ids,
)
from evfsam.data.instances import PREFIX, coco_places
from evfsam.data.sample import PART, SEMANTIC, Prompt, Sample
from evfsam.errors import InputError

ADE20K_FOLDERS = {"val": "validation", "train": "training"}
ADE20K_CLASSES = 150
# Left and right as the viewer of the image sees them, as in hustvl/EVF-SAM utils/humanparsing_dataset.py. ATR's own
# list means the person's: its 9 is "left-shoe".
ATR = (
    "background hat hair sunglasses upper_clothes skirt pants dress belt right_shoe left_shoe face "
    "right_leg left_leg right_arm left_arm bag scarf"
)
ATR_NAMES = tuple(name.replace("_", " ") for name in ATR.split())


class LabelMapDataset:
    """Images beside PNGs of labels. Each image is asked for every label that it shows."""

    def __init__(self, name: str, images: Path, labels: Path, names: dict[int, str], kind: str, ignored: int | None):
        """
        Args:
            images, labels: folders; a PNG of labels and its JPEG have the same stem.
            names: label -> category. Labels without a name are not asked for.
            ignored: the label of pixels that no score counts; None for none.
        """
        self.name, self.images, self.names, self.kind, self.ignored = name, images, names, kind, ignored
        self.labels = sorted(labels.glob("*.png"))
        if not self.labels:
            raise InputError(f"{labels} holds no PNG of labels: lay the files out as docs/data.md shows.")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        path = self.labels[index]
        image = read_image(self.images / f"{path.stem}.jpg")
        labels = read_label_map(path, image.shape[:2])
        if labels.ndim != 2:
            raise InputError(f"{path} has several channels: it must have one label per pixel.")
        ignore = None if self.ignored is None else labels == self.ignored
        prompts = tuple(
            Prompt(PREFIX + self.names[label], labels == label, f"{self.kind}/{self.names[label]}", ignore)
            for label in np.unique(labels).tolist()
            if label in self.names
        )
        return Sample(path.stem, image, prompts)

    def texts(self) -> list[str]:
        """Every prompt that an image may be asked for."""
        return [PREFIX + name for name in self.names.values()]


def open_ade20k(split: str, root: Path) -> LabelMapDataset:
    """ADE20K as in ADEChallengeData2016: label 0 is ignored, label n is the n-th of 150 classes.

    The names are those of ``ade20k_classes.json``, which the authors use, or else of the set's ``objectInfo150.txt``,
    which differs in one: "television" for "television receiver".
    """
    folder = ADE20K_FOLDERS[split]
    base = folder_of(root, "ade20k", f"annotations/{folder}", "ADEChallengeData2016")
    path = first_of("ADE20K", base / "ade20k_classes.json", base / "objectInfo150.txt")
    names = read_json(path) if path.suffix == ".json" else _object_info(path)
    if not isinstance(names, list) or len(names) != ADE20K_CLASSES or not all(isinstance(n, str) for n in names):
        raise InputError(f"{path} must hold the {ADE20K_CLASSES} names: copy it again, see docs/data.md.")
    labels = first_of("ADE20K", base / "annotations" / folder)
    named = dict(enumerate(names, start=1))
    return LabelMapDataset(f"ade20k:{split}", base / "images" / folder, labels, named, SEMANTIC, ignored=0)


def _object_info(path: Path) -> list[str]:
    """The first name of each class: the last column of a table with tabs, below its heading."""
    with checked(path):
        rows = path.read_text(encoding="utf-8").splitlines()[1:]
        return [row.split("\t")[-1].split(",")[0].strip() for row in rows if row.strip()]


def open_atr(split: str, root: Path) -> LabelMapDataset:
    """ATR human parsing. "background" is among the categories, because the authors train on it."""
    base = folder_of(root, "humanparsing", "SegmentationClassAug")
    labels = first_of("ATR", base / "SegmentationClassAug")
    return LabelMapDataset("atr:train", base / "JPEGImages", labels, dict(enumerate(ATR_NAMES)), PART, ignored=None)


class PanopticDataset:
    """COCO's panoptic images. Each is asked for the things and the stuff that it shows, stuff by its short word."""

    def __init__(self, split: str, root: Path):
        self.name = f"coco-panoptic:{split}"
        file, images = coco_places("panoptic", split, root)
        self.path = first_of("COCO panoptic", file)
        self.maps = first_of("COCO panoptic", self.path.with_suffix(""), file.parents[1] / file.stem)
        self.images = first_of("COCO panoptic", *images)
        facts = read_json(self.path)
        with checked(self.path):
            names = {c["id"]: (as_text(c["name"]), c["isthing"]) for c in facts["categories"]}
            self.words = {i: name if isthing else stuff_word(name) for i, (name, isthing) in names.items()}
            self.stuff = {self.words[c["id"]] for c in facts["categories"] if not c["isthing"]}
            self.files = {image["id"]: image["file_name"] for image in facts["images"]}
            self.annotations = list(facts["annotations"])
            if not self.annotations:
                raise ValueError("it has no annotations")

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> Sample:
        annotation = self.annotations[index]
        segments: dict[str, tuple[list[int], list[int]]] = {}  # word -> ids of segments, ids of crowds
        with checked(self.path):
            name, file = str(annotation["image_id"]), as_text(self.files[annotation["image_id"]])
            for segment in annotation["segments_info"]:
                if word := self.words[segment["category_id"]]:
                    segments.setdefault(word, ([], []))[bool(segment.get("iscrowd"))].append(int(segment["id"]))
            map_file = as_text(annotation["file_name"])
        image = read_image(self.images / file)
        ids = read_panoptic_ids(self.maps / map_file, image.shape[:2])
        prompts = []
        for word, (own, crowds) in segments.items():
            mask = np.isin(ids, own)
            if mask.any():  # what is there as a crowd only is not asked for
                kind = f"{SEMANTIC}/{'stuff' if word in self.stuff else 'things'}"
                prompts.append(Prompt(PREFIX + word, mask, kind, (ids == 0) | np.isin(ids, crowds)))
        return Sample(name, image, tuple(prompts))

    def texts(self) -> list[str]:
        """Every prompt that an image may be asked for."""
        return [PREFIX + word for word in dict.fromkeys(self.words.values()) if word]


def open_panoptic(split: str, root: Path) -> PanopticDataset:
    """COCO's own layout; the split "all" is a folder of ``panoptic.json``, ``panoptic/`` and ``images/``."""
    return PanopticDataset(split, root)
