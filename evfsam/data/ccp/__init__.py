"""Photographs of people with expressions and their masks, from the pixel labels of Clothing Co-Parsing (CCP).

    pack = read_pack(Path("ccp"))
    sample = photo_sample(pack, seed=7, size_hw=(256, 256))
    for expression in sample.expressions:
        mask = np.isin(sample.part_map, expression.part_ids)

``python -m evfsam.data.ccp`` makes the folder from a clone of the data set. The licence of the photographs is not
stated, so this project contains none of them.

W. Yang, P. Luo, L. Lin: Clothing Co-Parsing by Joint Image Segmentation and Labeling. CVPR 2014.
"""

from __future__ import annotations

import numpy as np

from evfsam.data.ccp.colours import COLOURS
from evfsam.data.ccp.compose import composed_sample
from evfsam.data.ccp.pack import Pack, Photo, read_pack, read_photo
from evfsam.data.ccp.sample import MOST_PEOPLE, PhotoSample
from evfsam.data.ccp.single import single_sample
from evfsam.data.ccp.vocabulary import COMMON, SEMANTIC, words

__all__ = [
    "COLOURS",
    "COMMON",
    "SEMANTIC",
    "Pack",
    "Photo",
    "PhotoSample",
    "composed_sample",
    "photo_sample",
    "read_pack",
    "read_photo",
    "single_sample",
    "words",
]

COMPOSED = 0.55  # share of training samples that are composed


def photo_sample(pack: Pack, seed: int, size_hw: tuple[int, int]) -> PhotoSample:
    """A training sample: one photograph of the split "train", or several people in one image.

    The same seed gives the same sample. ``size_hw`` is in pixels.
    """
    rng = np.random.default_rng([seed, 0xCC9])
    if rng.random() < COMPOSED:
        count = int(rng.choice([1, 2, 3, MOST_PEOPLE], p=[0.1, 0.45, 0.35, 0.1]))
        return composed_sample(pack, "train", rng, size_hw, float(rng.uniform(0.66, 1.6)), count)
    photos = pack.photos["train"]
    return single_sample(pack, photos[int(rng.integers(len(photos)))], rng, size_hw)
