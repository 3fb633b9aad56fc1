"""Files of data sets: found, read and checked in one place. Every error names the file and what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evfsam.errors import InputError
from evfsam.media.images import FORMATS, MAX_PIXELS, open_image


def folder_of(root: Path, below: str, holds: str, *others: str) -> Path:
    """The folder of a data set: ``root / below``, or ``root`` itself may be that folder or one on the way to it.

    Args:
        holds: the folder is known by this file or folder in it.
        others: other names that ``below`` often has.

    If no place holds it, ``root / below`` is returned, for the errors that follow.
    """
    ways = [Path(name).parts for name in (below, *others)]
    places = [root.joinpath(*parts[i:]) for parts in ways for i in range(len(parts) + 1)]
    return next((place for place in places if os.path.exists(place / holds)), places[0])


def first_of(title: str, *paths: Path) -> Path:
    """The first of several places of a file or a folder that is there. Raises InputError that names the first place."""
    for path in paths:
        if os.path.exists(path):
            return path
    raise InputError(f"{title} needs {paths[0]}, which is not there: lay the files out as docs/data.md shows.")


@contextmanager
def checked(path: Path) -> Iterator[None]:
    """Anything that goes wrong while ``path`` is read or understood becomes an InputError that names it."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else str(error).partition("\\n")[0]
        raise InputError(
            f"{path} is damaged or not in the format that docs/data.md names ({reason}): copy it again."
        ) from error


def as_text(value: Any) -> str:
    """A value of a file that must be text. Raises TypeError, for :func:`checked`, if it is not."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} stands where a text belongs")
    return value


def read_json(path: Path) -> Any:
    """Raises InputError if the file is missing or no JSON."""
    with checked(path):
        return json.loads(path.read_text(encoding="utf-8"))


def read_json_lines(path: Path) -> Iterator[tuple[str, dict]]:
    """The objects of a JSON-lines file, each with its place for errors: "line 3 of PATH". Empty lines are skipped."""
    with checked(path):
        lines = path.read_text(encoding="utf-8").split("\n")  # splitlines would also split inside of texts
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"line {number} of {path}"
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                raise InputError(f"{where[0].upper()}{where[1:]} is not JSON: write one object in each line.") from None
            if not isinstance(entry, dict):
                raise InputError(f"{where[0].upper()}{where[1:]} is not an object: write {{...}} in each line.")
            yield where, entry


def read_image(path: Path, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """An image as the app reads it, uint8 RGB (H, W, 3).

    Args:
        path: the file.
        size_hw: what its annotations say; None for any.

    Raises InputError if the file is missing, damaged or of another size.
    """
    if not os.path.isfile(path):
        raise InputError(f"The image {path} is not there: lay the files out as docs/data.md shows.")
    try:
        image = open_image(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    check_size(image, size_hw, str(path))
    return image


def read_label_map(path: Path, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """The values of a PNG as they are stored: (H, W) of labels, indices of a palette or bool, or uint8 (H, W, C).

    Raises InputError as :func:`read_image` does.
    """
    if not os.path.isfile(path):
        raise InputError(f"The mask {path} is not there: lay the files out as docs/data.md shows.")
    try:
        with Image.open(path, formats=FORMATS) as file:
            if file.width * file.height > MAX_PIXELS:
                raise InputError(f"{path} has more than {MAX_PIXELS / 1e6:g} million pixels: make it smaller.")
            values = np.array(file)
    except InputError:
        raise
    except Exception as error:  # Pillow raises almost anything for damaged files
        raise InputError(f"{path} is damaged or no PNG: copy it again.") from error
    check_size(values, size_hw, str(path))
    return values


def read_panoptic_ids(path: Path, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """COCO's panoptic PNG as segment ids, int64 (H, W): R + 256 G + 65536 B. 0 is unlabelled."""
    values = read_label_map(path, size_hw)
    if values.ndim != 3 or values.shape[2] < 3:
        raise InputError(f"{path} is no panoptic PNG: it must have the three channels R, G and B.")
    red, green, blue = np.moveaxis(values[..., :3].astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue


def check_size(array: np.ndarray, size_hw: tuple[int, int] | None, name: str) -> None:
    """Raises InputError unless an image, a mask or a label map is as large as ``size_hw``."""
    if size_hw is not None and array.shape[:2] != tuple(size_hw):
        (height, width), (rows, columns) = size_hw, array.shape[:2]
        raise InputError(
            f"{name} has {columns} x {rows} pixels, but {width} x {height} belong here: "
            "an image and its masks must be of one size."
        )
