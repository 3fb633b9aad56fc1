"""Answers as files in Gradio's cache, which serves them and later deletes them."""

from __future__ import annotations

import os
import shutil
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from gradio.utils import get_upload_folder

from evfsam.media.bundle import bundle
from evfsam.media.export import slug
from evfsam.types import Segmentation
from evfsam.ui.answers import label_of
from evfsam.ui.turns import Client


def write_files(files: Iterable[tuple[str, bytes]]) -> list[str]:
    """Write (file name, content), one after the other, into a fresh folder of the cache; the paths in order.

    A name may stand in a folder: "labels/street.txt".
    """
    with fresh_folder() as folder:
        return [write(folder, name, content) for name, content in files]


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A new folder in Gradio's cache; it is deleted again if anything is raised."""
    folder = Path(get_upload_folder()) / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write(folder: Path, name: str, content: bytes) -> str:
    """Write one file; its path."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return str(path)


def with_zip(paths: Sequence[str], stem: str) -> tuple[str, list[str]]:
    """A zip of files of :func:`write_files`, beside them and with their folders; then the files."""
    folder = Path(os.path.commonpath([os.path.dirname(path) for path in paths]))
    target = folder / f"{stem}.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in paths:  # PNG is compressed already
            packed = zipfile.ZIP_STORED if path.endswith(".png") else zipfile.ZIP_DEFLATED
            archive.write(path, Path(path).relative_to(folder), packed)
    return str(target), list(paths)


def picture_files(
    image: np.ndarray,
    picture_path: str,
    segmentations: Iterable[Segmentation],
    more: Iterable[tuple[str, bytes]] = (),
    **options: Any,
) -> tuple[str, list[str]]:
    """All files of an answer: a zip, and one by one masks, cut-outs, overlay and annotations.

    Args:
        more: further files as (name, content).
        options: of :func:`evfsam.media.bundle.bundle`.

    Writing stops once nobody waits for the files.
    """
    path = Path(picture_path)
    found = chain(bundle(image, segmentations, path.name, **options), more)
    return with_zip(write_files(waited_for(found)), slug(path.stem, "picture"))


def waited_for(files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The files as long as somebody waits for them. Raises ClientGoneError."""
    client = Client()
    for file in files:
        client.check()
        yield file


def bare(segmentations: Iterable[Segmentation]) -> Iterator[Segmentation]:
    """The answers, named as their rows are: without the "[semantic] " prefix."""
    return (renamed(found, label_of(found)) for found in segmentations)


def renamed(segmentation: Segmentation, name: str) -> Segmentation:
    """The same answer under another name, so that several answers to one prompt can be told apart."""
    return replace(segmentation, prompt=name)
