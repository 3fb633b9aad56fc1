"""Reads the pack: its photographs, their label maps and their prompts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evfsam.data.files import read_image, read_label_map
from evfsam.errors import InputError

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Photo:
    """One photograph of the pack.

    Attributes:
        identity: its number in the data set, "0001" to "1004".
        image: JPEG file.
        labels: PNG file with the label of each pixel.
        targets: prompt -> ids of the labels that it names together. The photograph may show more than is listed.
        doubtful: names of labels that probably belong to another garment.
    """

    identity: str
    image: Path
    labels: Path
    targets: dict[str, tuple[int, ...]]
    doubtful: tuple[str, ...]


@dataclass(frozen=True)
class Pack:
    """The photographs by split ("train", "val"), sorted by identity.

    Attributes:
        vocabulary: prompt -> label ids.
        aliases: prompt without its prefix -> other wordings.
        names: label id -> name.
    """

    photos: dict[str, tuple[Photo, ...]]
    vocabulary: dict[str, tuple[int, ...]]
    aliases: dict[str, tuple[str, ...]]
    names: dict[int, str]


def read_pack(folder: Path) -> Pack:
    """The pack in a folder. Raises InputError if the folder holds none."""
    try:
        facts = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))
        names = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        photos = {split: [] for split in SPLITS}
        for identity, entry in sorted(facts["images"].items()):
            targets = {target["prompt"]: tuple(target["labels"]) for target in entry["targets"]}
            photos[entry["split"]].append(
                Photo(
                    identity,
                    folder / entry["image"],
                    folder / entry["labels_png"],
                    targets,
                    tuple(entry["suspect_labels"]),
                )
            )
        return Pack(
            {split: tuple(found) for split, found in photos.items()},
            {prompt: tuple(entry["labels"]) for prompt, entry in facts["vocab"].items()},
            {word: tuple(aliases) for word, aliases in facts["aliases"].items()},
            {int(number): name for number, name in names.items()},
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder} holds no pack of photographs (prompts.json, labels.json, train, val): make one with "
            "python -m evfsam.data.ccp."
        ) from None


def read_photo(photo: Photo) -> tuple[np.ndarray, np.ndarray]:
    """Image, uint8 (H, W, 3), RGB, and label map, uint8 (H, W). Raises InputError if a file is missing or damaged."""
    image = read_image(photo.image)
    return image, read_label_map(photo.labels, image.shape[:2])
