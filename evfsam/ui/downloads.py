"""Answers as files in Gradio's cache, from where they are served and, after a while, deleted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from gradio.utils import get_upload_folder

from evfsam.media.export import bundle, slug, zip_files
from evfsam.processing.text import SEMANTIC_PREFIX
from evfsam.types import Segmentation


def write_files(files: dict[str, bytes]) -> list[str]:
    """Write file name -> content into a fresh folder of the cache; the paths, in the same order."""
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in files]


def picture_files(
    image: np.ndarray,
    picture_name: str,
    segmentations: Sequence[Segmentation],
    more: Mapping[str, bytes] | None = None,
) -> tuple[str, list[str]]:
    """Everything an answer gives: the zip of all, and masks, cut-outs, overlay and COCO JSON one by one.

    ``more`` holds further files, name -> content.
    """
    picture_name = Path(picture_name).name
    files = {**bundle(image, segmentations, picture_name), **(more or {})}
    stem = slug(Path(picture_name).stem, "picture")
    archive, *single = write_files({f"{stem}.zip": zip_files(files), **files})
    return archive, single


def bare(segmentations: Sequence[Segmentation]) -> list[Segmentation]:
    """The answers without the "[semantic] " prefix, which says nothing in a file's name."""
    return [renamed(s, s.prompt.removeprefix(SEMANTIC_PREFIX)) for s in segmentations]


def renamed(segmentation: Segmentation, name: str) -> Segmentation:
    """The same answer under another name, for answers to one phrase that have to be told apart."""
    return replace(segmentation, prompt=name)
