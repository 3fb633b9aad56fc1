"""Data sets in COCO's instance format: COCO, Objects365, PartImageNet, VLPart's PASCAL-Part, and one's own."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from evfsam.data.files import as_text, checked, first_of, folder_of, read_image, read_json
from evfsam.data.masks import to_mask
from evfsam.data.sample import PART, REFERRING, SEMANTIC, Prompt, Sample
from evfsam.errors import InputError

PREFIX = "[semantic] "
PHRASES = ("phrase", "caption")  # fields of an annotation that hold a referring prompt
OBJECTS365 = "Object365/raw/Objects365_v1/2019-08-02"


class InstancesDataset:
    """Images with COCO annotations. Annotations of the same prompt in an image share one mask.

    A category becomes the prompt "[semantic] NAME". Crowds are neither asked for nor counted as wrong. An annotation
    that has a field "phrase" or "caption", a text or a list of texts, is asked for by these instead.
    """

    def __init__(self, name: str, path: Path, folders: tuple[Path, ...], kind: str = SEMANTIC, lenient: bool = False):
        """
        Args:
            path: the JSON file.
            folders: where its images may lie.
            kind: of the prompts made from categories.
            lenient: leave out annotations whose mask cannot be decoded, as the authors do for PartImageNet.
        """
        self.name, self.path, self.folders, self.kind, self.lenient = name, path, folders, kind, lenient
        facts = read_json(path)
        with checked(path):
            self.categories = {c["id"]: as_text(c["name"]) for c in facts["categories"]}
            own: dict[int, list[dict]] = {image["id"]: [] for image in facts["images"]}
            for annotation in facts["annotations"]:
                own[annotation["image_id"]].append(annotation)
            self.images = [(image, self.select(own[image["id"]])) for image in facts["images"]]
            self.images = [(image, annotations) for image, annotations in self.images if annotations]
            if not self.images:
                raise ValueError("no image has annotations")

    def select(self, annotations: list[dict]) -> list[dict]:
        """The annotations of an image that are asked for."""
        return annotations

    def prompt_of(self, category: str) -> str:
        """The text that asks for a category."""
        return PREFIX + category

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        entry, annotations = self.images[index]
        with checked(self.path):
            places = [folder / entry["file_name"] for folder in self.folders]
            size_hw = (entry["height"], entry["width"])
        image = read_image(first_of(self.name, *places), size_hw)
        asked: dict[tuple[str, str], list[tuple[int, np.ndarray]]] = {}
        crowds: dict[tuple[str, str], np.ndarray] = {}
        for annotation in annotations:
            with checked(self.path):
                number, texts = annotation["id"], self._texts(annotation)
                segmentation = annotation["segmentation"]
            try:
                mask = to_mask(segmentation, size_hw, f"annotation {number} of {self.path}")
            except InputError:
                if self.lenient:
                    continue
                raise
            for key in texts:
                if annotation.get("iscrowd"):
                    crowds[key] = crowds.get(key, False) | mask
                else:
                    asked.setdefault(key, []).append((number, mask))
        prompts = []
        for (text, kind), found in asked.items():
            mask = np.any([mask for _, mask in found], axis=0)
            only = found[0][0] if len(found) == 1 and kind == REFERRING else None
            prompts.append(Prompt(text, mask, kind, crowds.get((text, kind)), object_id=only))
        return Sample(Path(entry["file_name"]).stem, image, tuple(prompts), {"image_id": entry["id"]})

    def texts(self) -> list[str]:
        """Every prompt of the data set."""
        with checked(self.path):
            return [text for _, own in self.images for a in own for text, _ in self._texts(a)]

    def _texts(self, annotation: dict) -> list[tuple[str, str]]:
        """The prompts of an annotation with their kinds."""
        for field in PHRASES:
            if phrases := annotation.get(field):
                phrases = [phrases] if isinstance(phrases, str) else phrases
                return [(as_text(phrase), REFERRING) for phrase in phrases]
        prompt = self.prompt_of(self.categories[annotation["category_id"]])
        kind = self.kind if self.kind == REFERRING else f"{self.kind}/{prompt.removeprefix(PREFIX)}"
        return [(prompt, kind)]


class Objects365Dataset(InstancesDataset):
    """Objects365 as the paper uses it: categories with exactly one object in an image, asked for by their bare name."""

    def select(self, annotations: list[dict]) -> list[dict]:
        return only_of_their_category(annotations)

    def prompt_of(self, category: str) -> str:
        return category


class PartImageNetDataset(InstancesDataset):
    """PartImageNet: "[semantic] " and the name in lower case, typing errors of the data set included ("car tier")."""

    def prompt_of(self, category: str) -> str:
        return PREFIX + category.lower()


class PascalPartDataset(InstancesDataset):
    """PASCAL-Part as VLPart has it: "dog:ear" is asked for by "[semantic] dog ear"."""

    def prompt_of(self, category: str) -> str:
        return PREFIX + category.replace(":", " ")


def only_of_their_category(annotations: list[dict]) -> list[dict]:
    """The annotations of an image whose category has no other annotation there."""
    counts = Counter(annotation["category_id"] for annotation in annotations)
    return [annotation for annotation in annotations if counts[annotation["category_id"]] == 1]


def open_instances(split: str, root: Path) -> InstancesDataset:
    """COCO's own layout; the split "all" is a folder of ``instances.json`` and ``images/``."""
    file, images = coco_places("instances", split, root)
    return InstancesDataset(f"coco-instances:{split}", first_of("COCO", file), images)


def coco_places(task: str, split: str, root: Path) -> tuple[Path, tuple[Path, ...]]:
    """The file of annotations, and the folders that may hold the images: beside ``annotations`` or in ``images``."""
    if split == "all":
        return root / f"{task}.json", (root / "images",)
    file = f"annotations/{task}_{split}2017.json"
    base = folder_of(root, "", file, "coco", "COCO", "coco2017")
    return base / file, (base / f"{split}2017", base / "images" / f"{split}2017")


def objects365_folder(root: Path) -> Path:
    """The folder of ``o365_res_instances.json`` and ``train/``; ``root`` may be any folder above it."""
    return folder_of(root, OBJECTS365, "train")


def open_objects365(split: str, root: Path) -> Objects365Dataset:
    """Raises InputError if the masks are not made yet."""
    base = objects365_folder(root)
    path = base / "o365_res_instances.json"
    if not os.path.isfile(path):
        raise InputError(f"{path} is not there: make it with python -m evfsam.training.objects365 --root {root}.")
    return Objects365Dataset(f"objects365:{split}", path, (base / "train",), REFERRING)


def open_partimagenet(split: str, root: Path) -> PartImageNetDataset:
    """Annotations whose mask cannot be decoded are left out."""
    base = folder_of(root, "PartImageNet", f"annotations/{split}")
    path = first_of("PartImageNet", base / "annotations" / split / f"{split}.json")
    return PartImageNetDataset(f"partimagenet:{split}", path, (base / "images" / split,), PART, lenient=True)


def open_pascal_part(split: str, root: Path) -> PascalPartDataset:
    """The JSON that VLPart's tools/pascal_part_mat2json.py makes."""
    base = folder_of(root, "vlpart/pascal_part", "VOCdevkit")
    path = first_of("PASCAL-Part", base / f"{split}.json")
    return PascalPartDataset(f"pascal-part:{split}", path, (base / "VOCdevkit/VOC2010/JPEGImages",), PART)
