"""One's own images: with masks beside them, listed in JSON lines, or annotated in COCO's format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evfsam.data.files import check_size, read_image, read_json_lines, read_label_map
from evfsam.data.instances import PREFIX, InstancesDataset
from evfsam.data.masks import to_mask
from evfsam.data.sample import ABSENT, REFERRING, SEMANTIC, Dataset, Prompt, Sample
from evfsam.errors import InputError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
WHOLE = "all"


@dataclass(frozen=True)
class Row:
    """A prompt before its mask is read: a path, polygons or run lengths, or None for an image without the thing."""

    text: str
    mask: Any
    where: str


class FolderDataset:
    """Images of one's own, each with its prompts."""

    def __init__(self, name: str, rows: dict[Path, list[Row]]):
        self.name, self.rows = name, list(rows.items())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        path, rows = self.rows[index]
        image = read_image(path)
        prompts = []
        for row in rows:
            mask = _read_mask(row, image.shape[:2])
            kind = SEMANTIC if row.text.startswith(PREFIX) else REFERRING
            prompts.append(Prompt(row.text, mask, kind if mask.any() else ABSENT))
        return Sample(path.stem, image, tuple(prompts))

    def texts(self) -> list[str]:
        """Every prompt."""
        return [row.text for _, rows in self.rows for row in rows]


def _read_mask(row: Row, size_hw: tuple[int, int]) -> np.ndarray:
    """bool (H, W). Of a file, every value but 0 is inside; the alpha channel does not count."""
    if row.mask is None:
        return np.zeros(size_hw, bool)
    if not isinstance(row.mask, Path):
        return to_mask(row.mask, size_hw, row.where)
    values = read_label_map(row.mask)
    check_size(values, size_hw, f"The mask {row.mask}")
    if values.ndim == 3:
        values = values[..., :3].any(2) if values.shape[2] > 2 else values[..., 0]
    return values > 0


def open_folder(split: str, root: Path) -> Dataset:
    """Find out which of the three forms ``root`` has.

    Args:
        split: "all" is ``root`` itself. Another split is the folder ``root/SPLIT``, or the file ``root/SPLIT.jsonl``
            or ``root/SPLIT.json``.
        root: a folder, a JSON-lines file or a JSON file in COCO's format. A folder that holds a single ``.jsonl`` or
            ``.json`` file is read by it, any other folder by its masks.

    Raises InputError if nothing of that kind is there.
    """
    place = root
    if split != WHOLE:
        places = [root / split, root / f"{split}.jsonl", root / f"{split}.json"]
        place = next((path for path in places if os.path.exists(path)), places[0])
    if os.path.isdir(place):
        lists = sorted(p for p in place.iterdir() if p.suffix in (".jsonl", ".json") and not p.name.startswith("."))
        if len(lists) > 1:
            names = ", ".join(path.name for path in lists)
            raise InputError(f"{place} holds several lists ({names}): name one of them with --root.")
        place = lists[0] if lists else place
    name = f"folder:{split}"
    if os.path.isdir(place):
        return FolderDataset(name, _masks_beside(place))
    if not os.path.isfile(place):
        raise InputError(f"There is no {place}: name a folder of images and masks, see docs/data.md.")
    if place.suffix == ".json":
        return InstancesDataset(name, place, (place.parent, place.parent / "images"))
    return FolderDataset(name, _read_lines(place))


def _masks_beside(folder: Path) -> dict[Path, list[Row]]:
    """The images of a folder with the PNGs whose names begin with theirs: "cat.jpg" and "cat.the left ear.png"."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith("."))
    stems = {path.stem: path for path in files}
    rows: dict[Path, list[Row]] = {}
    for path in files:
        stem, dot, prompt = path.stem, "", ""
        if path.suffix.lower() == ".png":
            ends = [i for i, letter in enumerate(path.stem) if letter == "."]
            stem, dot, prompt = next(
                ((path.stem[:i], ".", path.stem[i + 1 :]) for i in ends if path.stem[:i] in stems), (stem, "", "")
            )
        if dot and prompt.strip():
            rows.setdefault(stems[stem], []).append(Row(prompt.strip(), path, str(path)))
    if not rows:
        raise InputError(
            f"{folder} holds no image with a mask: for cat.jpg, name a mask cat.the left ear.png, see docs/data.md."
        )
    return rows


def _read_lines(path: Path) -> dict[Path, list[Row]]:
    """Rows by image. Paths in the file are relative to its folder."""
    rows: dict[Path, list[Row]] = {}
    for where, entry in read_json_lines(path):
        image, prompt, mask = (entry.get(field) for field in ("image", "prompt", "mask"))
        if not (isinstance(image, str) and isinstance(prompt, str) and prompt.strip() and "mask" in entry):
            raise InputError(
                f'{where[0].upper()}{where[1:]} must be {{"image": path, "prompt": text, "mask": path, polygons, '
                "run lengths or null}."
            )
        mask = path.parent / mask if isinstance(mask, str) else mask
        rows.setdefault(path.parent / image, []).append(Row(prompt.strip(), mask, where))
    if not rows:
        raise InputError(f"{path} is empty: write one JSON object for each image and prompt.")
    return rows
