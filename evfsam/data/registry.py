"""Data sets by name: "scenes:test", "refcoco:testA"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evfsam.data.ccp.dataset import open_ccp
from evfsam.data.coco.dataset import open_coco
from evfsam.data.sample import Dataset
from evfsam.data.scenes.dataset import open_clips, open_scenes
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


DATASETS: dict[str, Entry] = {
    "scenes": Entry(open_scenes, ("test", "validation", "train"), "rendered scenes", needs_root=False),
    "clips": Entry(open_clips, ("test", "validation", "train"), "rendered clips of 48 frames", needs_root=False),
    "coco": Entry(open_coco, ("held-out", "train"), "photographs: categories, stuff, phrases by rule, absent things"),
    "ccp": Entry(open_ccp, ("val", "train", "composed"), "street photographs: clothes and people"),
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
    return entry.open(split or entry.splits[0], root)
