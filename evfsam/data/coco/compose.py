"""Composed photographs to learn from: a crop of a photograph, mirrored or not. Some things are erased, others pasted.

Pasted things multiply what a few annotated photographs teach: several of a kind, occlusion, other sizes and places.
Phrases are made after mirroring, from the masks as they are seen, so "left" stays true.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from evfsam.data.coco.dataset import PREFIX
from evfsam.data.coco.erase import erase_some
from evfsam.data.coco.photographs import Instance, Photograph
from evfsam.data.coco.phrases import EVERY, TEMPLATES, Thing, referring_phrases
from evfsam.data.coco.words import plural
from evfsam.data.sample import ABSENT, REFERRING, SEMANTIC, STUFF, Prompt, Sample
from evfsam.media.export import decode_rle

WHOLE, MIRRORED, ERASED, PASTED = 0.35, 0.5, 0.55, 0.6  # shares of the samples
SMALLEST_CUTOUT = 900  # pixels
PASTED_SIDE = (0.12, 0.6)  # square root of a pasted thing's box, as a share of the image's side
LARGEST_SCALE = 3.0
LEAST_VISIBLE = 0.2  # of a thing's area; what is hidden more is no longer asked for
HIDDEN_SHARE = (0.08, 0.6)  # of a thing's area, if another counts as in front of it
SMALLEST_ASKED = 0.0025  # of the image's area
ABSENT_PROMPTS = 4
MISSING_PROMPTS = 3  # for what the photograph shows, but the sample does not
ABSENT_WORDINGS = ("the {n}", "{n}", "{n} on the left", "the {n} on the right", "largest {n}", "every {n}")


class ComposedDataset:
    """Samples made of photographs. The same index always gives the same sample.

    Args:
        photographs: of the training split. Rare categories come more often than their number of photographs.
        size: side of the square samples in pixels.
        count: of samples.
    """

    def __init__(self, photographs: Sequence[Photograph], size: int = 320, count: int = 100_000):
        self.name = "coco:composed"
        self.photographs, self.size, self.count, self.rng = list(photographs), size, count, random.Random()
        self.showing: dict[str, list[Photograph]] = defaultdict(list)
        self.cutouts: dict[str, list[tuple[Photograph, Instance]]] = defaultdict(list)
        for photograph in self.photographs:
            for category in sorted({instance.category for instance in photograph.instances}):
                self.showing[category].append(photograph)
            for instance in photograph.instances:
                if instance.mask().sum() >= SMALLEST_CUTOUT:
                    self.cutouts[instance.category].append((photograph, instance))
        self.beside: dict[str, Counter[str]] = defaultdict(Counter)
        for photograph in self.photographs:
            shown = sorted({instance.category for instance in photograph.instances})
            for category in shown:
                self.beside[category].update(shown)
        self.stuff_words = sorted({word for photograph in self.photographs for word in photograph.stuff})

    def __len__(self) -> int:
        return self.count

    def texts(self) -> Iterator[str]:
        """Every wording of every category and kind of stuff, without reading an image."""
        for category in self.showing:
            yield PREFIX + plural(category)
            for template in TEMPLATES:
                yield template.format(n=category, p=plural(category), m="person")
        yield from (PREFIX + word for word in (*self.showing, *self.stuff_words))

    def __getitem__(self, index: int) -> Sample:
        """Prompts for categories, stuff, single things, and something that is not there."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = self.rng = random.Random(int(index))
        category = rng.choices(list(self.showing), [len(p) ** 0.5 for p in self.showing.values()])[0]
        photograph = rng.choice(self.showing[category])
        focus = rng.choice([i for i in photograph.instances if i.category == category])
        image, things, stuff = self._window(photograph, focus)
        if rng.random() < ERASED:
            erase_some(image, things, stuff, photograph.crowds, rng)
        own = len(things)
        if rng.random() < PASTED:
            self._paste_some(image, things)
        for word in stuff:
            for thing in things[own:]:
                stuff[word] &= ~thing.mask
        shown = {thing.category for thing in things if thing.mask.any()}
        things = [thing for thing in things if thing.mask.sum() > LEAST_VISIBLE * thing.whole_area]
        prompts = [*self._named(things, stuff, photograph), *self._absent(shown, photograph)]
        return Sample(f"{index} of {photograph.image_id}", other_light(image, rng), tuple(prompts))

    def _window(self, photograph: Photograph, focus: Instance):
        """A square made of a part of a photograph, its things as far as they are inside, and its stuff."""
        rng, image = self.rng, photograph.image()
        height, width = image.shape[:2]
        window = np.s_[0:height, 0:width]
        if rng.random() > WHOLE:
            x, y, box_width, box_height = focus.box_xywh()
            scale, aspect = rng.uniform(0.35, 1.0), math.exp(rng.uniform(-0.25, 0.25))
            window_h = min(height, max(int(height * scale / aspect), int(box_height * 0.9), 16))
            window_w = min(width, max(int(width * scale * aspect), int(box_width * 0.9), 16))
            top = _start(y + box_height * rng.uniform(0.2, 0.8), window_h, height, rng)
            left = _start(x + box_width * rng.uniform(0.2, 0.8), window_w, width, rng)
            window = np.s_[top : top + window_h, left : left + window_w]
        step = -1 if rng.random() < MIRRORED else 1

        def squared(array: np.ndarray) -> np.ndarray:
            part = np.ascontiguousarray(array[window][:, ::step])
            interpolation = cv2.INTER_AREA if part.shape[1] > self.size else cv2.INTER_LINEAR
            return cv2.resize(part, (self.size, self.size), interpolation=interpolation)

        def seen(mask: np.ndarray) -> np.ndarray:
            return squared(mask.astype(np.uint8) * 255) > 127

        things = []
        for instance in photograph.instances:
            mask = seen(instance.mask())
            things.append(Thing(instance.category, mask, max(1, int(mask.sum()))))
        stuff = {word: seen(decode_rle(rle)) for word, rle in photograph.stuff.items()}
        return squared(image), things, stuff

    def _paste_some(self, image: np.ndarray, things: list[Thing]) -> None:
        """Put one to four cut-out things into an image, often several of a kind, or of a kind that is there."""
        rng, category = self.rng, None
        weights = [min(len(cutouts), 30) ** 0.4 for cutouts in self.cutouts.values()]
        for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
            if category is None or rng.random() < 0.45:
                category = rng.choices(list(self.cutouts), weights)[0]
                if things and rng.random() < 0.2:
                    category = rng.choice(things).category
            if self.cutouts.get(category):
                self._paste(image, things, category)

    def _paste(self, image: np.ndarray, things: list[Thing], category: str) -> None:
        rng, size = self.rng, self.size
        photograph, instance = rng.choice(self.cutouts[category])
        x, y, width, height = instance.box_xywh()
        window = np.s_[y : y + height + 1, x : x + width + 1]
        cutout, alpha = photograph.image()[window], instance.mask()[window].astype(np.float32)
        if rng.random() < MIRRORED:
            cutout, alpha = cutout[:, ::-1], alpha[:, ::-1]
        side = math.exp(rng.uniform(*map(math.log, PASTED_SIDE))) * size
        scale = min(side / math.sqrt(alpha.size), LARGEST_SCALE)
        new_w, new_h = (max(8, int(length * scale)) for length in alpha.shape[::-1])
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        cutout, alpha = (
            cv2.resize(np.ascontiguousarray(part), (new_w, new_h), interpolation=interpolation)
            for part in (cutout, alpha)
        )
        shift = np.float32(
            [
                [1, 0, rng.uniform(-0.15 * new_w, size - 0.85 * new_w)],
                [0, 1, rng.uniform(-0.1 * new_h, size - 0.9 * new_h)],
            ]
        )
        cutout, alpha = (cv2.warpAffine(part, shift, (size, size)) for part in (cutout, alpha))
        new = Thing(category, alpha > 0.5, max(1, int((alpha > 0.5).sum())))
        image[:] = (image * (1 - alpha[..., None]) + cutout * alpha[..., None]).astype(np.uint8)
        for thing in things:
            hidden = (thing.mask & new.mask).sum() / thing.whole_area
            if HIDDEN_SHARE[0] < hidden < HIDDEN_SHARE[1]:
                thing.behind.append(new)
            thing.mask = thing.mask & ~new.mask
        things.append(new)

    def _named(self, things: list[Thing], stuff: dict[str, np.ndarray], photograph: Photograph) -> list[Prompt]:
        rng, least = self.rng, SMALLEST_ASKED * self.size**2
        prompts = []
        asked = sorted({thing.category for thing in things} - photograph.crowds)
        for category in asked:
            mask = np.any([thing.mask for thing in things if thing.category == category], axis=0)
            text = PREFIX + (plural(category) if rng.random() < 0.15 else category)
            if rng.random() < 0.12:
                text = rng.choice(EVERY).format(n=category, p=plural(category))
            prompts.append(Prompt(text, mask, f"{SEMANTIC}/{category}"))
        prompts += [Prompt(PREFIX + word, mask, f"{STUFF}/{word}") for word, mask in stuff.items()]
        prompts += [Prompt(text, thing.mask, REFERRING) for text, thing in referring_phrases(things, asked, rng)]
        return [prompt for prompt in prompts if prompt.mask.sum() >= least]

    def _absent(self, shown: set[str], photograph: Photograph) -> list[Prompt]:
        """What was erased or lies outside the window, and what the photograph does not show.

        Half of the latter are often seen beside what is there, for the setting alone must not be the answer.
        """
        rng = self.rng
        missing = sorted({instance.category for instance in photograph.instances} - photograph.crowds - shown)
        chosen = rng.sample(missing, min(MISSING_PROMPTS, len(missing)))
        absent = [category for category in photograph.absent() if category not in shown]
        often = [1e-3 + sum(self.beside[other][category] for other in sorted(shown)) for category in absent]
        chosen += rng.sample(absent, min(ABSENT_PROMPTS // 2, len(absent)))
        chosen += rng.choices(absent, often, k=ABSENT_PROMPTS // 2) if absent else []
        nothing = np.zeros((self.size, self.size), bool)
        prompts = []
        for category in dict.fromkeys(chosen):
            text = PREFIX + category if rng.random() < 0.65 else rng.choice(ABSENT_WORDINGS).format(n=category)
            prompts.append(Prompt(text, nothing, ABSENT))
        return prompts


def other_light(image: np.ndarray, rng: random.Random) -> np.ndarray:
    """Brightness, contrast, saturation and the light's colour, each a little."""
    values = image.astype(np.float32)
    grey = values.mean(-1, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.6, 1.4)
    values = (values - 128) * rng.uniform(0.75, 1.25) + 128 * rng.uniform(0.75, 1.25)
    return np.clip(values * [rng.uniform(0.94, 1.06) for _ in range(3)], 0, 255).astype(np.uint8)


def _start(centre: float, length: int, whole: int, rng: random.Random) -> int:
    """Where a window of some length begins, so that it holds ``centre`` somewhere near its middle."""
    return int(min(max(centre - length * rng.uniform(0.25, 0.75), 0), whole - length))
