"""Photographs in COCO's format: to score, and composed with cut-out things to learn from."""

from __future__ import annotations

from pathlib import Path

from evfsam.data.coco.compose import ComposedDataset
from evfsam.data.coco.dataset import CocoDataset
from evfsam.data.coco.photographs import read_photographs


def open_coco(split: str, root: Path) -> CocoDataset | ComposedDataset:
    """ "held-out" and "train" are photographs as they are; "composed" are made of those of "train".

    Raises InputError if ``root`` holds no photographs with COCO annotations.
    """
    photographs = read_photographs(root, held_out=split == "held-out")
    return ComposedDataset(photographs) if split == "composed" else CocoDataset(photographs, split)
