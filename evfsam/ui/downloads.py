"""Answers as files in Gradio's cache, which serves them and later deletes them."""

from __future__ import annotations

import shutil
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from gradio.utils import get_upload_folder

from evfsam.media.export import bundle, slug
from evfsam.types import Segmentation
from evfsam.ui.answers import label_of
from evfsam.ui.turns import Client


def write_files(files: Iterable[tuple[str, bytes]]) -> list[str]:
    """Write (file name, content), one after the other, into a fresh folder of the cache; the paths in order."""
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    paths = []
    try:
        for name, content in files:
            paths.append(folder / name)
            paths[-1].write_bytes(content)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return [str(path) for path in paths]


def with_zip(paths: Sequence[str], stem: str) -> tuple[str, list[str]]:
    """A zip of files that lie in one folder, written beside them; then the files."""
    target = Path(paths[0]).parent / f"{stem}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in paths:  # PNG is compressed already
            archive.write(path, Path(path).name, zipfile.ZIP_STORED if path.endswith(".png") else zipfile.ZIP_DEFLATED)
    return str(target), list(paths)


def picture_files(
    image: np.ndarray,
    picture_name: str,
    segmentations: Iterable[Segmentation],
    more: Iterable[tuple[str, bytes]] = (),
) -> tuple[str, list[str]]:
    """All files of an answer: a zip, and one by one masks, cut-outs, overlay and COCO JSON.

    What was not found gets no mask and no cut-out. ``more`` brings further files as (name, content). Writing stops
    once nobody waits for the files.
    """
    picture_name, client = Path(picture_name).name, Client.current()

    def waited_for() -> Iterator[tuple[str, bytes]]:
        for file in chain(bundle(image, segmentations, picture_name, skip_empty=True), more):
            client.check()
            yield file

    return with_zip(write_files(waited_for()), slug(Path(picture_name).stem, "picture"))


def bare(segmentations: Iterable[Segmentation]) -> Iterator[Segmentation]:
    """The answers, named as their rows are: without the "[semantic] " prefix."""
    return (renamed(found, label_of(found)) for found in segmentations)


def renamed(segmentation: Segmentation, name: str) -> Segmentation:
    """The same answer under another name, so that several answers to one prompt can be told apart."""
    return replace(segmentation, prompt=name)
