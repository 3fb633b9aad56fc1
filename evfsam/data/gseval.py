"""GSEval (hustvl/GroundingSuite): expressions for stuff, parts, several and single things in COCO's unlabeled2017."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evfsam.data.files import as_text, checked, first_of, folder_of, read_image, read_json_lines
from evfsam.data.masks import to_mask
from evfsam.data.sample import REFERRING, Prompt, Sample
from evfsam.errors import InputError

FILE = "GroundingSuite-Eval.jsonl"
KINDS = {1: "stuff", 2: "part", 3: "several", 4: "single"}  # of class_id


class GSEvalDataset:
    """The images, each with its expressions, kept apart by what they name: "referring/stuff", "referring/part" ..."""

    def __init__(self, root: Path):
        self.name = "gseval:val"
        self.base = folder_of(root, "GSEval", FILE)
        self.path = first_of("GSEval", self.base / FILE)
        images: dict[str, list[tuple[str, dict]]] = {}
        for where, row in read_json_lines(self.path):
            with checked(self.path):
                images.setdefault(as_text(row["image_path"]), []).append((where, row))
        if not images:
            raise InputError(f"{self.path} is empty: copy it again.")
        self.images = list(images.items())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        place, rows = self.images[index]
        name = Path(place).name
        places = (self.base / place, self.base / "images" / place, self.base / "images" / name)
        image = read_image(first_of("GSEval", *places))
        return Sample(Path(place).stem, image, tuple(self._prompt(where, row, image) for where, row in rows))

    def texts(self) -> list[str]:
        """Every expression."""
        return [row["caption"] for _, rows in self.images for _, row in rows]

    def _prompt(self, where: str, row: dict, image: np.ndarray) -> Prompt:
        with checked(self.path):
            text, segmentation, kind = as_text(row["caption"]), row["segmentation"], KINDS[row["class_id"]]
        return Prompt(text, to_mask(segmentation, image.shape[:2], where), f"{REFERRING}/{kind}")


def open_gseval(split: str, root: Path) -> GSEvalDataset:
    """Raises InputError if ``root`` does not hold the benchmark."""
    return GSEvalDataset(root)
