"""Photographs of the pack as data sets: as they are, and several people in one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evfsam.data.ccp.compose import composed_sample
from evfsam.data.ccp.pack import Pack, read_pack, read_photo
from evfsam.data.ccp.vocabulary import SEMANTIC as PREFIX
from evfsam.data.sample import REFERRING, SEMANTIC, Prompt, Sample
from evfsam.data.scenes import COLOUR, PLACE, RELATION, SIZE

COMPOSED_KINDS = (PLACE, COLOUR, SIZE, RELATION)
COMPOSED_COUNT = 100
COMPOSED_HEIGHT = 320  # pixels
ASPECTS = (0.75, 1.0, 4 / 3, 1.5)  # width over height of composed images, in turn
PEOPLE = (2, 3)


class PhotoDataset:
    """The photographs of a split. Each has the prompts that it is annotated with, one kind of score per prompt.

    What a photograph is not annotated with may still be there, so it is not asked for.
    """

    def __init__(self, pack: Pack, split: str):
        self.name = f"ccp:{split}"
        self.photos = pack.photos[split]

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Sample:
        photo = self.photos[index]
        image, label_map = read_photo(photo)
        prompts = tuple(
            Prompt(text, np.isin(label_map, labels), f"{SEMANTIC}/{text.removeprefix(PREFIX)}")
            for text, labels in photo.targets.items()
        )
        return Sample(photo.identity, image, prompts)


class ComposedDataset:
    """Images composed of two or three people of the split "val", and prompts that name one of them."""

    def __init__(self, pack: Pack, count: int = COMPOSED_COUNT):
        self.name = "ccp:composed"
        self.pack, self.count = pack, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        aspect, people = ASPECTS[index % len(ASPECTS)], PEOPLE[index % len(PEOPLE)]
        size_hw = (COMPOSED_HEIGHT, round(COMPOSED_HEIGHT * aspect))
        composed = composed_sample(self.pack, "val", np.random.default_rng(index), size_hw, aspect, people)
        prompts = tuple(
            Prompt(e.text, np.isin(composed.part_map, e.part_ids), f"{REFERRING}/{e.kind}", object_id=e.target)
            for e in composed.expressions
            if e.kind in COMPOSED_KINDS
        )
        return Sample(f"composed {index}", composed.image, prompts)


def open_ccp(split: str, root: Path) -> PhotoDataset | ComposedDataset:
    """Raises InputError if ``root`` holds no pack."""
    pack = read_pack(root)
    return ComposedDataset(pack) if split == "composed" else PhotoDataset(pack, split)
