"""Clips with expressions: DAVIS, and the layouts of Ref-DAVIS17, Ref-YouTube-VOS and MeViS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evfsam.data.files import as_text, checked, first_of, folder_of, read_image, read_json, read_label_map
from evfsam.data.masks import to_mask
from evfsam.data.sample import REFERRING, Prompt, VideoSample
from evfsam.errors import InputError

DAVIS_SIZES = ("480p", "Full-Resolution", "1080p")
ANYTHING = ""  # in place of an object's id: whatever is annotated


class Frames(Sequence):
    """Images that are read when they are asked for, uint8 (H, W, 3) each."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index):
        """One frame, or for a slice the :class:`Frames` of a part of the clip."""
        return Frames(self.paths[index]) if isinstance(index, slice) else read_image(self.paths[index])


@dataclass(frozen=True)
class Expression:
    """A text and the objects that it names, by the ids of their masks."""

    text: str
    object_ids: tuple[str, ...]


@dataclass(frozen=True)
class Clip:
    """A clip before it is read: the names of its frames in order, without suffix, and its expressions."""

    name: str
    frames: tuple[str, ...]
    expressions: tuple[Expression, ...]


MaskOf = Callable[[Clip, str, tuple[int, int]], np.ndarray]  # clip, object id, size -> bool (T, H, W)


class ClipsDataset:
    """Clips with their expressions. Expressions of the same objects share one array of masks."""

    def __init__(self, name: str, images: Path, clips: list[Clip], mask_of: MaskOf):
        """
        Args:
            images: holds a folder of JPEGs for each clip.
            mask_of: reads the masks of one object in all frames.
        """
        self.name, self.images, self.clips, self.mask_of = name, images, clips, mask_of

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> VideoSample:
        clip = self.clips[index]
        frames = Frames([self.images / clip.name / f"{frame}.jpg" for frame in clip.frames])
        size_hw = frames[0].shape[:2]
        ids = dict.fromkeys(i for expression in clip.expressions for i in expression.object_ids)
        objects = {i: self.mask_of(clip, i, size_hw) for i in ids}
        unions: dict[tuple[str, ...], np.ndarray] = {}
        prompts = []
        for expression in clip.expressions:
            named = expression.object_ids
            if named not in unions:
                unions[named] = objects[named[0]] if len(named) == 1 else np.any([objects[i] for i in named], axis=0)
            only = int(named[0]) if len(named) == 1 and named[0].isdigit() else None
            prompts.append(Prompt(expression.text, unions[named], REFERRING, object_id=only))
        return VideoSample(clip.name, frames, tuple(prompts))

    def texts(self) -> list[str]:
        """Every expression."""
        return [expression.text for clip in self.clips for expression in clip.expressions]


@dataclass(frozen=True)
class LabelMaps:
    """Masks as PNGs, one per frame, whose values are the objects' ids: DAVIS and YouTube-VOS."""

    folder: Path

    def __call__(self, clip: Clip, object_id: str, size_hw: tuple[int, int]) -> np.ndarray:
        masks = np.zeros((len(clip.frames), *size_hw), bool)
        for t, frame in enumerate(clip.frames):
            path = self.folder / clip.name / f"{frame}.png"
            labels = read_label_map(path, size_hw)
            if labels.ndim != 2:
                raise InputError(f"{path} has several channels: it must have one object's id per pixel.")
            masks[t] = labels > 0 if object_id == ANYTHING else labels == int(object_id)
        return masks


@dataclass(frozen=True)
class RunLengths:
    """Masks in MeViS's ``mask_dict.json``: an annotation's id -> run lengths, or null, for each frame."""

    path: Path
    annotations: dict[str, list]

    def __call__(self, clip: Clip, object_id: str, size_hw: tuple[int, int]) -> np.ndarray:
        with checked(self.path):
            own = self.annotations[object_id]
            if len(own) != len(clip.frames):
                raise ValueError(f"annotation {object_id} has {len(own)} frames, the clip {len(clip.frames)}")
        masks = np.zeros((len(clip.frames), *size_hw), bool)
        for t, rle in enumerate(own):
            if rle is not None:
                masks[t] = to_mask(rle, size_hw, f"annotation {object_id} of {self.path}")
        return masks


def open_davis(split: str, root: Path) -> ClipsDataset:
    """DAVIS with ``phrases.json``: a sequence -> its expression, or -> an object's id -> its expression.

    One expression for a sequence names everything that is annotated there. The split is
    ``ImageSets/2017/SPLIT.txt``, or 2016's; "all" is every sequence that has an expression.
    """
    base = folder_of(root, "DAVIS", "JPEGImages")
    path = first_of("DAVIS", base / "phrases.json")
    images = first_of("DAVIS", *(base / "JPEGImages" / size for size in DAVIS_SIZES))
    masks = first_of("DAVIS", base / "Annotations" / images.name)
    phrases = read_json(path)
    names = None
    if split != "all":
        lists = [base / "ImageSets" / year / f"{split}.txt" for year in ("2017", "2016")]
        listed = first_of(f"davis:{split} (davis:all is every sequence with an expression)", *lists)
        with checked(listed):
            names = listed.read_text(encoding="utf-8").split()
    with checked(path):
        names = list(phrases) if names is None else names
        clips = [_davis_clip(images / name, phrases[name]) for name in names if name in phrases]
    if not clips:
        raise InputError(f"{path} has no expression for a sequence of the split '{split}': write one for each.")
    return ClipsDataset(f"davis:{split}", images, clips, LabelMaps(masks))


def _davis_clip(folder: Path, phrase: str | dict[str, str]) -> Clip:
    frames = tuple(sorted(path.stem for path in folder.glob("*.jpg")))
    if not frames:
        raise InputError(f"{folder} holds no frames: lay the files out as docs/data.md shows.")
    said = {ANYTHING: phrase} if isinstance(phrase, str) else phrase
    if not isinstance(phrase, str) and not all(number.isdecimal() for number in said):
        raise ValueError(f"the object ids of {folder.name} must be numbers")
    return Clip(folder.name, frames, tuple(Expression(as_text(text), (number,)) for number, text in said.items()))


def open_ref_davis(split: str, root: Path) -> ClipsDataset:
    """Ref-DAVIS17 in the layout of wjn922/ReferFormer, which is Ref-YouTube-VOS's."""
    return _open_expressions("ref-davis", split, root)


def open_ref_youtube_vos(split: str, root: Path) -> ClipsDataset:
    """Only the split train has public masks."""
    return _open_expressions("ref-youtube-vos", split, root)


def _open_expressions(name: str, split: str, root: Path) -> ClipsDataset:
    base = folder_of(root, name, "meta_expressions")
    path = first_of(name, base / "meta_expressions" / split / "meta_expressions.json")
    masks, images = first_of(name, base / split / "Annotations"), first_of(name, base / split / "JPEGImages")
    return ClipsDataset(f"{name}:{split}", images, _read_clips(path, "obj_id"), LabelMaps(masks))


def open_mevis(split: str, root: Path) -> ClipsDataset:
    """The splits train and valid_u have public masks."""
    base = folder_of(root, "mevis", split) / split
    path = first_of("mevis", base / "meta_expressions.json")
    masks, images = first_of("mevis", base / "mask_dict.json"), first_of("mevis", base / "JPEGImages")
    annotations = read_json(masks)
    if not isinstance(annotations, dict):
        raise InputError(f"{masks} must be an object of annotations: copy it again.")
    return ClipsDataset(f"mevis:{split}", images, _read_clips(path, "anno_id"), RunLengths(masks, annotations))


def _read_clips(path: Path, ids_field: str) -> list[Clip]:
    facts: Any = read_json(path)
    clips = []
    with checked(path):
        for name, video in facts["videos"].items():
            said = []
            for expression in video["expressions"].values():
                ids = expression[ids_field]
                ids = ids if isinstance(ids, list) else [ids]
                said.append(Expression(as_text(expression["exp"]), tuple(str(int(i)) for i in ids)))
            if said and video["frames"]:
                clips.append(Clip(name, tuple(sorted(video["frames"])), tuple(said)))
        if not clips:
            raise ValueError("no clip has expressions and frames")
    return clips
