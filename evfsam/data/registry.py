"""Data sets by name: "scenes:test", "refcoco:testA"."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evfsam.data.ccp.dataset import open_ccp
from evfsam.data.coco import open_coco
from evfsam.data.folder import open_folder
from evfsam.data.gseval import open_gseval
from evfsam.data.instances import open_instances, open_objects365, open_partimagenet, open_pascal_part
from evfsam.data.label_maps import open_ade20k, open_atr, open_panoptic
from evfsam.data.pascal_part_mat import open_pascal_part_mat
from evfsam.data.refcoco_m import open_refcoco_m
from evfsam.data.refer import HELD_OUT, ReferDataset
from evfsam.data.sample import Dataset
from evfsam.data.scenes.dataset import open_clips, open_scenes
from evfsam.data.video import open_davis, open_mevis, open_ref_davis, open_ref_youtube_vos
from evfsam.errors import InputError


@dataclass(frozen=True)
class Entry:
    """One data set.

    Attributes:
        open: split and root folder -> the samples of the split.
        splits: the first one is opened where none is named.
        about: one line for a list of data sets.
        needs_root: False for data that is rendered, not read.
    """

    open: Callable[[str, Path | None], Dataset]
    splits: tuple[str, ...]
    about: str
    needs_root: bool = True


_TEST_AB = ("val", "testA", "testB", "train", HELD_OUT)
_CLEF = ("val", "testA", "testB", "testC", "testAB", "testBC", "testAC", "train")


def _refer(name: str, splits: tuple[str, ...], about: str) -> Entry:
    return Entry(partial(ReferDataset, name), splits, about)


DATASETS: dict[str, Entry] = {
    "scenes": Entry(open_scenes, ("test", "validation", "train"), "rendered scenes", needs_root=False),
    "clips": Entry(open_clips, ("test", "validation", "train"), "rendered clips of 48 frames", needs_root=False),
    "coco": Entry(open_coco, ("held-out", "train", "composed"), "photographs: categories, phrases, absent things"),
    "ccp": Entry(open_ccp, ("val", "train", "composed"), "street photographs: clothes and people"),
    "folder": Entry(open_folder, ("all", "val", "test", "train"), "your own images and masks"),
    "refcoco": _refer("refcoco", _TEST_AB, "expressions for one thing"),
    "refcoco-google": _refer("refcoco-google", ("val", "test", "train"), "RefCOCO as Google split it"),
    "refcoco+": _refer("refcoco+", _TEST_AB, "expressions for one thing, without words of place"),
    "refcocog": _refer("refcocog", ("val", "test", "train"), "long expressions, split by UMD"),
    "refcocog-google": _refer("refcocog-google", ("val", "train"), "long expressions, split by Google"),
    "refclef": _refer("refclef", _CLEF, "expressions in SAIAPR TC-12"),
    "refclef-berkeley": _refer("refclef-berkeley", ("val", "test", "train"), "RefCLEF as Berkeley split it"),
    "grefcoco": _refer("grefcoco", _TEST_AB, "expressions for one thing, several or none"),
    "ref-zom": _refer("ref-zom", ("test", "train"), "expressions for one thing, several or none"),
    "refcoco-m": Entry(open_refcoco_m, ("val",), "RefCOCO val with finer masks"),
    "gseval": Entry(open_gseval, ("val",), "GroundingSuite: stuff, parts, several and single things"),
    "ade20k": Entry(open_ade20k, ("val", "train"), "150 categories of things and stuff"),
    "coco-instances": Entry(open_instances, ("val", "train", "all"), "80 categories of things"),
    "coco-panoptic": Entry(open_panoptic, ("val", "train", "all"), "133 categories of things and stuff"),
    "objects365": Entry(open_objects365, ("train",), "categories that an image shows once, masks by SAM-2"),
    "partimagenet": Entry(open_partimagenet, ("val", "train", "test"), "parts of animals and vehicles"),
    "pascal-part": Entry(open_pascal_part, ("val", "train"), "93 parts, the JSON of VLPart"),
    "pascal-part-mat": Entry(open_pascal_part_mat, ("val", "train", "all"), "93 parts, the original .mat files"),
    "atr": Entry(open_atr, ("train",), "clothes and body parts, left and right as the viewer sees them"),
    "davis": Entry(open_davis, ("val", "train", "all"), "clips with one expression per sequence or object"),
    "ref-davis": Entry(open_ref_davis, ("valid", "train"), "Ref-DAVIS17: clips with expressions"),
    "ref-youtube-vos": Entry(open_ref_youtube_vos, ("train",), "clips with expressions"),
    "mevis": Entry(open_mevis, ("valid_u", "train"), "clips with expressions of motion"),
}


def open_dataset(name: str, root: Path | None = None) -> Dataset:
    """The samples of "name:split" or "name".

    Args:
        name: of :data:`DATASETS`, and one of its splits.
        root: the folder that holds the data set's files; not needed for rendered data.

    Raises InputError if the name, the split or the folder is unknown.
    """
    known, _, split = name.partition(":")
    entry = DATASETS.get(known)
    if entry is None:
        raise InputError(f"There is no data set '{known}'. Known ones: {', '.join(DATASETS)}.")
    if split and split not in entry.splits:
        raise InputError(f"{known} has no split '{split}'. Known ones: {', '.join(entry.splits)}.")
    if entry.needs_root and root is None:
        raise InputError(f"Name the folder that holds {known}: --root FOLDER.")
    if root is not None and not os.path.exists(root):
        raise InputError(f"There is no {root}: --root names the folder that holds {known}, see docs/data.md.")
    return entry.open(split or entry.splits[0], root)
