"""PASCAL-Part in its original format: one .mat file per image, with parts under the names that VLPart gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evfsam.data.files import check_size, checked, first_of, read_image
from evfsam.data.sample import PART, Prompt, Sample
from evfsam.errors import InputError

VOC = Path("VOCdevkit/VOC2010")
_ANIMAL = "head leg ear eye"
# The parts of facebookresearch/VLPart, in its order: a part of the file is the first one whose name it contains.
PARTS = {
    "aeroplane": "body wing tail wheel",
    "bicycle": "wheel handlebar saddle",
    "bird": "beak head eye leg foot wing neck tail torso",
    "bottle": "body cap",
    "bus": "liplate headlight door mirror window wheel",
    "car": "liplate headlight door mirror window wheel",
    "cat": f"{_ANIMAL} pa neck nose tail torso",
    "cow": f"{_ANIMAL} neck horn muzzle tail torso",
    "dog": f"{_ANIMAL} pa neck nose muzzle tail torso",
    "horse": f"{_ANIMAL} neck muzzle tail torso",
    "motorbike": "wheel handlebar headlight saddle",
    "person": "hair head ear eye nose neck mouth arm hand leg foot torso",
    "potted plant": "plant pot",
    "sheep": f"{_ANIMAL} neck horn muzzle tail torso",
}
_WORDS = {"liplate": "license plate", "pa": "paw"}


class PascalPartMatDataset:
    """The images of a split. Each is asked for every part that it shows, over all objects of a category."""

    def __init__(self, split: str, root: Path):
        self.name = f"pascal-part-mat:{split}"
        self.root = root
        folder = root / "Annotations_Part" if (root / "Annotations_Part").is_dir() else root
        if split == "all":
            self.files = sorted(folder.glob("*.mat"))
        else:
            listed = first_of("PASCAL-Part", root / VOC / "ImageSets" / "Main" / f"{split}.txt")
            with checked(listed):
                self.files = [folder / f"{name}.mat" for name in listed.read_text(encoding="utf-8").split()]
        if not self.files:
            raise InputError(f"{folder} holds no .mat file: lay the files out as docs/data.md shows.")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        path = self.files[index]
        name = f"{path.stem}.jpg"
        image = read_image(first_of("PASCAL-Part", self.root / VOC / "JPEGImages" / name, path.with_name(name)))
        masks: dict[str, np.ndarray] = {}
        for text, mask in _read_parts(path):
            check_size(mask, image.shape[:2], f"A part of {path}")
            masks[text] = masks.get(text, False) | mask
        return Sample(path.stem, image, tuple(Prompt(f"[semantic] {t}", m, f"{PART}/{t}") for t, m in masks.items()))

    def texts(self) -> list[str]:
        """Every prompt that an image may be asked for."""
        return [f"[semantic] {name} {_WORDS.get(part, part)}" for name, own in PARTS.items() for part in own.split()]


def _read_parts(path: Path) -> list[tuple[str, np.ndarray]]:
    """("dog ear", bool (H, W)) for every part that has a name."""
    first_of("PASCAL-Part", path)
    loadmat = _loadmat()
    try:
        anno = loadmat(path, variable_names=["anno"])["anno"][0, 0]
        found = []
        for item in np.ravel(anno["objects"]):
            category = str(item["class"][0]).replace("pottedplant", "potted plant")
            for part in np.ravel(item["parts"]):
                if named := part_name(category, str(part["part_name"][0])):
                    found.append((f"{category} {named}", part["mask"] > 0))
        return found
    except Exception as error:  # scipy raises almost anything for damaged files
        raise InputError(f"{path} is damaged or no annotation of PASCAL-Part: copy it again.") from error


def part_name(category: str, part: str) -> str | None:
    """("dog", "lear") -> "ear"; None for a part that VLPart leaves out."""
    for name in PARTS.get(category, "").split():
        if name in part:
            return _WORDS.get(name, name)
    return None


def _loadmat() -> Any:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise InputError("The .mat files of PASCAL-Part need the package scipy: run pip install scipy.") from None
    return loadmat


def open_pascal_part_mat(split: str, root: Path) -> PascalPartMatDataset:
    """Splits are VOC's own lists; "all" is the whole folder."""
    return PascalPartMatDataset(split, root)
