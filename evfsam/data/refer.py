"""RefCOCO, RefCOCO+, RefCOCOg, RefCLEF (lichengunc/refer), gRefCOCO and Ref-ZOM: expressions for things in photographs.

Each set is a file of refs, ``refs(unc).p``, and COCO's ``instances.json`` beside it. A pickle is read by an unpickler
that knows lists, dicts, text and numbers only, so that it cannot run code.

The split "held-out" is all expressions for the photographs that the bundled checkpoints never learn from.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evfsam.data.coco.photographs import is_held_out
from evfsam.data.files import as_text, checked, first_of, folder_of, read_image, read_json
from evfsam.data.masks import count_cover
from evfsam.data.sample import ABSENT, REFERRING, Prompt, Sample
from evfsam.errors import InputError

HELD_OUT = "held-out"
NO_TARGET = -1  # gRefCOCO's ann_id of an expression that names nothing


def _coco2014(*folders: str) -> tuple[str, ...]:
    """Places of COCO's images: as lichengunc/refer has them, or beside ``refer_seg``."""
    above = ("images/mscoco/images", "images", "..", "../coco")
    return tuple(f"{place}/{folder}/{{file_name}}" for place in above for folder in folders)


def _refs(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.{ending}" for ending in ("p", "json") for name in names)


@dataclass(frozen=True)
class Layout:
    """Where a set lies below ``refer_seg``.

    Attributes:
        folder: of the refs and of ``instances.json``.
        refs: names of the file of refs, the usual one first.
        images: places of an image, filled in from its entry in ``instances.json``.
        generalized: whether an expression may name several things, or nothing.
    """

    folder: str
    refs: tuple[str, ...]
    images: tuple[str, ...] = _coco2014("train2014")
    generalized: bool = False


_SAIAPR = ("images/saiapr_tc-12/{file_name}", "images/saiapr_tc-12/{thousand:02d}/images/{id}.jpg")
_TRAINVAL2014 = _coco2014("trainval2014", "train2014", "val2014")
LAYOUTS = {
    "refcoco": Layout("refcoco", _refs("refs(unc)")),
    "refcoco-google": Layout("refcoco", _refs("refs(google)")),
    "refcoco+": Layout("refcoco+", _refs("refs(unc)")),
    "refcocog": Layout("refcocog", _refs("refs(umd)")),
    "refcocog-google": Layout("refcocog", _refs("refs(google)")),
    "refclef": Layout("refclef", _refs("refs(unc)"), _SAIAPR),
    "refclef-berkeley": Layout("refclef", _refs("refs(berkeley)"), _SAIAPR),
    "grefcoco": Layout("grefcoco", ("grefs(unc).json", "grefs(unc).p"), generalized=True),
    "ref-zom": Layout("ref-zom", _refs("refs(final)", "Ref-ZOM(final)"), _TRAINVAL2014, generalized=True),
}


@dataclass(frozen=True)
class Expression:
    """A sentence and the annotations that it names; none if it names nothing."""

    text: str
    annotation_ids: tuple[int, ...]


class ReferDataset:
    """The images of a split, each with all its sentences of the split, as they are spelled in the field "sent"."""

    def __init__(self, name: str, split: str, root: Path):
        self.name = f"{name}:{split}"
        self.layout = LAYOUTS[name]
        self.base = folder_of(root, "refer_seg", self.layout.folder)
        folder = self.base / self.layout.folder
        refs_file = first_of(name, *(folder / file for file in self.layout.refs))
        self.instances_file = first_of(name, folder / "instances.json")
        refs = read_json(refs_file) if refs_file.suffix == ".json" else read_pickle(refs_file)
        expressions: dict[int, list[Expression]] = {}
        with checked(refs_file):
            for ref in refs:
                held_out, own = is_held_out(ref["image_id"]), as_text(ref["split"])
                if held_out if split == HELD_OUT else in_split(own, split):
                    expressions.setdefault(ref["image_id"], []).extend(_expressions(ref))
            splits = sorted({ref["split"] for ref in refs})
        if not expressions:
            raise InputError(f"{refs_file} has no refs of the split '{split}': it has {', '.join(splits) or 'none'}.")
        self.expressions = list(expressions.items())
        needed = {i for own in expressions.values() for expression in own for i in expression.annotation_ids}
        instances = read_json(self.instances_file)
        with checked(self.instances_file):
            self.images = {image["id"]: image for image in instances["images"] if image["id"] in expressions}
            self.annotations = {a["id"]: a for a in instances["annotations"] if a["id"] in needed}

    def __len__(self) -> int:
        return len(self.expressions)

    def __getitem__(self, index: int) -> Sample:
        image_id, expressions = self.expressions[index]
        with checked(self.instances_file):
            entry = self.images[image_id]
            size_hw = (entry["height"], entry["width"])
            places = [p.format(**{**entry, "thousand": int(image_id) // 1000}) for p in self.layout.images]
        image = read_image(first_of(self.name, *(self.base / place for place in places)), size_hw)
        covers = {i: self._cover(i, size_hw) for expression in expressions for i in expression.annotation_ids}
        prompts = tuple(self._prompt(expression, covers, size_hw) for expression in expressions)
        return Sample(str(image_id), image, prompts, {"image_id": image_id})

    def texts(self) -> list[str]:
        """Every sentence of the split."""
        return [expression.text for _, own in self.expressions for expression in own]

    def _cover(self, annotation_id: int, size_hw: tuple[int, int]) -> np.ndarray | None:
        """How many polygons cover each pixel; None for a crowd, which no expression means (henghuiding/ReLA)."""
        with checked(self.instances_file):
            annotation = self.annotations[annotation_id]
            segmentation = annotation["segmentation"]
        if self.layout.generalized and annotation.get("iscrowd"):
            return None
        return count_cover(segmentation, size_hw, f"annotation {annotation_id} of {self.instances_file}")

    def _prompt(self, expression: Expression, covers: dict[int, np.ndarray | None], size_hw: tuple[int, int]) -> Prompt:
        ids = expression.annotation_ids
        if not ids:
            return Prompt(expression.text, np.zeros(size_hw, bool), ABSENT)
        found = [cover for i in ids if (cover := covers[i]) is not None]
        mask = np.any([cover > 0 for cover in found], axis=0) if found else np.zeros(size_hw, bool)
        kind = REFERRING
        if self.layout.generalized:
            kind += "/one" if len(ids) == 1 else "/several"
        if len(ids) > 1:
            return Prompt(expression.text, mask, kind)
        overlap = found[0] > 1 if found else np.zeros(size_hw, bool)
        return Prompt(expression.text, mask, kind, overlap=overlap if overlap.any() else None, object_id=ids[0])


def _expressions(ref: dict) -> list[Expression]:
    ids = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
    nothing = ref.get("source") == "zero"  # Ref-ZOM: ann_id must not be looked up
    named = () if nothing else tuple(i for i in dict.fromkeys(ids) if i != NO_TARGET)
    return [Expression(as_text(sentence["sent"]), named) for sentence in ref["sentences"]]


def in_split(own: str, split: str) -> bool:
    """Whether a ref of the split ``own`` belongs to ``split``. RefCLEF's "testAB" belongs to testA and to testB."""
    if split.startswith("test") and own.startswith("test"):
        return set(split.removeprefix("test")) <= set(own.removeprefix("test"))
    return own == split


class _DataUnpickler(pickle.Unpickler):
    """Knows lists, dicts, text and numbers. Anything else names code to run, and is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(f"it names the code {module}.{name}, which is not run")


def read_pickle(path: Path) -> Any:
    """A pickle of plain data, of Python 2 or 3. Raises InputError if it is damaged or names any code."""
    try:
        with checked(path), open(path, "rb") as file:
            return _DataUnpickler(file, encoding="utf-8", errors="replace").load()
    except (pickle.UnpicklingError, EOFError, MemoryError) as error:
        raise InputError(f"{path} is damaged or no pickle: copy it again.") from error
