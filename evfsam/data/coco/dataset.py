"""Photographs as a data set to score: categories, phrases, and what is not there."""

from __future__ import annotations

import random

import numpy as np

from evfsam.data.coco.photographs import Photograph
from evfsam.data.coco.phrases import Thing, referring_phrases
from evfsam.data.sample import ABSENT, REFERRING, SEMANTIC, STUFF, Prompt, Sample
from evfsam.media.export import decode_rle

PREFIX = "[semantic] "
SMALLEST_SHARE = 0.01  # of the image's area: what is smaller is not asked for
ABSENT_PROMPTS = 6  # per photograph, half of them with the prefix


class CocoDataset:
    """The photographs of one split.

    Each is asked for the categories and the stuff that it shows, by phrases that name one thing, and for categories
    that it does not show. Stuff is a group of its own beside "semantic", which stays the score of the 80 categories.
    Categories annotated as a crowd are left out. ``sample.facts["credit"]`` names the author of a photograph that may
    be passed on; it is empty for the others.
    """

    def __init__(self, photographs: list[Photograph], split: str):
        self.name = f"coco:{split}"
        self.photographs = photographs

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, index: int) -> Sample:
        photograph = self.photographs[index]
        image = photograph.image()
        rng = random.Random(photograph.image_id)
        masks = [instance.mask() for instance in photograph.instances]
        things = [Thing(i.category, mask, int(mask.sum())) for i, mask in zip(photograph.instances, masks, strict=True)]
        asked = sorted({thing.category for thing in things} - photograph.crowds)
        prompts = []
        for category in asked:
            mask = np.any([thing.mask for thing in things if thing.category == category], axis=0)
            prompts.append(Prompt(PREFIX + category, mask, f"{SEMANTIC}/{category}"))
        for word, rle in photograph.stuff.items():
            prompts.append(Prompt(PREFIX + word, decode_rle(rle), f"{STUFF}/{word}"))
        for phrase, thing in referring_phrases(things, asked, rng):
            prompts.append(Prompt(phrase, thing.mask, REFERRING, object_id=things.index(thing)))
        prompts = [prompt for prompt in prompts if prompt.mask.mean() >= SMALLEST_SHARE]
        nothing = np.zeros(image.shape[:2], bool)
        absent = photograph.absent()
        for number, category in enumerate(rng.sample(absent, min(ABSENT_PROMPTS, len(absent)))):
            prompts.append(Prompt((PREFIX if number % 2 == 0 else "the ") + category, nothing, ABSENT))
        return Sample(str(photograph.image_id), image, tuple(prompts), {"credit": photograph.credit})
