"""Makes the pack from a clone of the public data set bearpaw/clothing-co-parsing: small images, label maps, prompts.

    git clone https://github.com/bearpaw/clothing-co-parsing
    python -m evfsam.data.ccp clothing-co-parsing ccp

The licence of the photographs is not stated: do not publish them or the pack.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from evfsam.data.ccp.vocabulary import (
    ALIASES,
    CLOTHES,
    DOUBTFUL_GROUPS,
    PERSON,
    PLAUSIBLE_HEIGHTS,
    SEMANTIC,
    SMALLEST_SHARE,
    prompt_labels,
)
from evfsam.errors import InputError
from evfsam.geometry import box_of

LONG_SIDE = 448  # pixels
JPEG_QUALITY = 85
# 0197 and 0223 nearly equal photographs of other splits. 0536 shows a person, but its annotation is empty.
LEFT_OUT = ("0197", "0223", "0536")
HALF_ANNOTATED = ("0868",)  # half of the garment is labelled "null", so "person" and "clothes" would be wrong


def build_pack(clone: Path, folder: Path, on_photo: Callable[[str], None] | None = None) -> int:
    """Write ``train/``, ``val/``, ``labels.json`` and ``prompts.json`` to ``folder``.

    Args:
        clone: of the data set, with ``photos/`` and ``annotations/pixel-level/``.
        on_photo: called with the id of each photograph that was written.

    Returns the number of photographs. Every tenth one is kept back for tests and not written. Raises InputError if
    ``clone`` is no such folder.
    """
    annotations = clone / "annotations" / "pixel-level"
    if not (annotations.is_dir() and (clone / "photos").is_dir() and (clone / "label_list.mat").is_file()):
        raise InputError(
            f"{clone} is no clone of bearpaw/clothing-co-parsing: it needs photos, annotations/pixel-level and "
            "label_list.mat."
        )
    names = [str(cell[0]) for cell in _matlab(clone / "label_list.mat", "label_list").ravel()]
    vocabulary, images = prompt_labels(names), {}
    for identity, split in splits(sorted(path.stem for path in annotations.glob("*.mat"))):
        (folder / split).mkdir(parents=True, exist_ok=True)
        label_map = _matlab(annotations / f"{identity}.mat", "groundtruth")
        label_map = _write(clone / "photos" / f"{identity}.jpg", label_map, folder / split / identity)
        images[identity] = {"split": split, **describe(identity, split, label_map, names, vocabulary)}
        if on_photo:
            on_photo(identity)
    _write_json(folder / "labels.json", {str(i): name for i, name in enumerate(names)})
    facts = {"pack": "ccp", "min_frac": SMALLEST_SHARE, "vocab": vocabulary, "aliases": ALIASES, "images": images}
    _write_json(folder / "prompts.json", facts)
    return len(images)


def splits(identities: list[str]) -> Iterator[tuple[str, str]]:
    """(id, "train" or "val") for sorted ids. Of every ten, the first is kept back and the sixth is "val"."""
    for position, identity in enumerate(identities):
        if position % 10 and identity not in LEFT_OUT:
            yield identity, "val" if position % 10 == 5 else "train"


def describe(identity: str, split: str, label_map: np.ndarray, names: list[str], vocabulary: dict) -> dict:
    """The entry of a photograph in ``prompts.json``: its files, size, doubtful labels and targets."""
    counts = np.bincount(label_map.ravel(), minlength=len(names))
    doubtful = doubtful_labels(label_map, names)
    refused = {SEMANTIC + group for group in DOUBTFUL_GROUPS} if doubtful else set()
    refused |= {PERSON, CLOTHES} if identity in HALF_ANNOTATED else set()
    doubtful_ids = {names.index(name) for name in doubtful}
    targets = []
    for prompt, facts in vocabulary.items():
        pixels = int(counts[facts["labels"]].sum())
        rests_on_doubt = facts["kind"] != "group" and doubtful_ids & set(facts["labels"])
        if pixels < SMALLEST_SHARE * label_map.size or prompt in refused or rests_on_doubt:
            continue
        label = {"label": facts["labels"][0]} if len(facts["labels"]) == 1 else {}
        share = round(pixels / label_map.size, 4)
        targets.append({"prompt": prompt, **label, "labels": facts["labels"], "pixels": pixels, "frac": share})
        targets[-1]["kind"] = facts["kind"]
    height, width = label_map.shape
    files = {"image": f"{split}/{identity}.jpg", "labels_png": f"{split}/{identity}.png"}
    return {**files, "w": width, "h": height, "suspect_labels": doubtful, "targets": targets}


def doubtful_labels(label_map: np.ndarray, names: list[str]) -> list[str]:
    """Names of labels whose centre lies at an impossible height of the body, see ``PLAUSIBLE_HEIGHTS``."""
    box = box_of(label_map)
    found: list[str] = []
    if box is None:
        return found
    top, bottom = box[1], box[3]
    for name, (highest, lowest) in PLAUSIBLE_HEIGHTS.items():
        here = np.nonzero(label_map == names.index(name))[0] if name in names else ()
        if len(here) >= SMALLEST_SHARE * label_map.size:
            height = (here.mean() - top) / (bottom - top)
            if not highest <= height <= lowest:
                found.append(name)
    return found


def _write(photo: Path, label_map: np.ndarray, target: Path) -> np.ndarray:
    """Write the small photograph and its label map. Returns the label map, uint8."""
    image = Image.open(photo, formats=["JPEG"]).convert("RGB")
    scale = LONG_SIDE / max(image.size)
    size = tuple(round(side * scale) for side in image.size)
    image.resize(size, Image.Resampling.LANCZOS).save(
        target.with_suffix(".jpg"), quality=JPEG_QUALITY, subsampling="4:2:0"
    )
    small = Image.fromarray(label_map.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    small.save(target.with_suffix(".png"))
    return np.asarray(small)


def _matlab(path: Path, name: str) -> np.ndarray:
    from scipy.io import loadmat  # only this command needs it

    return loadmat(path)[name]


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value) + "\n", encoding="utf-8")
