"""The one sampler: data sets -> batches. A batch is a pure function of (seed, stage, step), so a run
resumes exactly."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

from evfsam.data.sample import PART, Dataset, Prompt, Sample
from evfsam.errors import InputError
from evfsam.modeling.config import EvfConfig
from evfsam.processing.inputs import prepare
from evfsam.processing.text import PAD_ID, SEMANTIC_PREFIX, clean_prompt, tokenize
from evfsam.training.augment import mirrored, vary_image, vary_prompt
from evfsam.training.cache import OUTSIDE, mask_of
from evfsam.training.config import Stage
from evfsam.types import Geometry

SMALLEST_TARGET = 0.002  # of the image; a click could hardly hit a smaller thing
MOST_DRAWS = 100  # until an image has prompts
PART_TARGETS = 0.3  # share of point targets that are parts, where there are any


class PhraseBatch(NamedTuple):
    """P prompts of B images.

    Attributes:
        indices: int64 (B,), of the images in the mixture.
        known: bool (B,), whether the image is of a source that the recipe calls known.
        image_of_row: int64 (P,), which of the B images a prompt belongs to.
        encoder_pixels: float32 (B, 3, n, n), see :func:`evfsam.processing.inputs.prepare`.
        segmenter_pixels: float32 (B, 3, S, S).
        token_ids: int64 (P, L), padded.
        padding_mask: bool (P, L), True where padded.
        one_thing: bool (P,), whether the prompt refers to one thing; "[semantic] " asks for all of a kind.
        coverage: float32 (P, g, g), 0..1: covered share of each cell; the segmenter's square has S / 4 per side.
        token_coverage: float32 (P, t, t), 0..1: the same for the encoder's t x t image tokens, over the image itself,
            which the encoder's copy stretches to a square.
        ignored: float32 (P, g, g), 0..1, the share of each cell whose pixels no loss counts.
        masks: for a stage of full size: of each image bool (2, p, H, W), its prompts' masks and ignored pixels.
        geometry: of each image.
    """

    indices: torch.Tensor
    known: torch.Tensor
    image_of_row: torch.Tensor
    encoder_pixels: torch.Tensor
    segmenter_pixels: torch.Tensor
    token_ids: torch.Tensor
    padding_mask: torch.Tensor
    one_thing: torch.Tensor
    coverage: torch.Tensor
    token_coverage: torch.Tensor
    ignored: torch.Tensor
    masks: list[torch.Tensor]
    geometry: list[Geometry]


@dataclass(frozen=True)
class PointTargets:
    """P things to be pointed at.

    Attributes:
        image_of_row: int64 (P,), which of some images it is in.
        coverage: float32 (P, g, g), 0..1.
        is_part: bool (P,), a part of a thing rather than the whole.
    """

    image_of_row: torch.Tensor
    coverage: torch.Tensor
    is_part: torch.Tensor


@dataclass(frozen=True)
class Mixture:
    """Several data sets as one, the samples of the first before those of the second.

    Attributes:
        datasets: of images.
        known: of each, whether the checkpoint that a recipe continues has learned it.
        weights: how often each is drawn from, relative to the others; None to draw every sample equally often.
        counts: at most so many samples of each; None for all.
    """

    datasets: tuple[Dataset, ...]
    known: tuple[bool, ...]
    weights: tuple[float, ...] | None = None
    counts: tuple[int | None, ...] | None = None

    def __len__(self) -> int:
        return sum(self.lengths)

    @property
    def lengths(self) -> list[int]:
        """Samples of each data set."""
        most = self.counts or [None] * len(self.datasets)
        return [
            min(len(one), len(one) if count is None else count) for one, count in zip(self.datasets, most, strict=True)
        ]

    def __getitem__(self, index: int) -> Sample:
        dataset, row = self._place(index)
        return self.datasets[dataset][row]

    def texts(self) -> Iterator[str]:
        """All prompts; without reading an image where a data set can."""
        for dataset in self.datasets:
            quick = getattr(dataset, "texts", None)
            yield from quick() if quick else (prompt.text for sample in dataset for prompt in sample.prompts)

    def is_known(self, index: int) -> bool:
        """Whether the checkpoint that a recipe continues has learned this sample's data set."""
        return self.known[self._place(index)[0]]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """int64 (count,): indices."""
        if self.weights is None:
            return rng.integers(len(self), size=count)
        shares, lengths = np.array(self.weights) / sum(self.weights), np.array(self.lengths)
        chosen = rng.choice(len(lengths), size=count, p=shares)
        return (lengths.cumsum() - lengths)[chosen] + rng.integers(lengths[chosen])

    def _place(self, index: int) -> tuple[int, int]:
        for number, length in enumerate(self.lengths):
            if index < length:
                return number, index
            index -= length
        raise IndexError(index)


def generator(seed: int, stage: str, step: int) -> np.random.Generator:
    """The random numbers of one step."""
    return np.random.default_rng([seed, zlib.crc32(stage.encode()), step])


@lru_cache(maxsize=500_000)
def readable(text: str) -> bool:
    """Whether a prompt has words. Real data sets hold a few that users are told to type again, such as "?"."""
    try:
        return bool(clean_prompt(text))
    except InputError:
        return False


class Sampler:
    """Images and prompts as one model reads them.

    Args:
        data: where they come from.
        config: of the model.
        tokenizer: the checkpoint's own.
        varied: share of images in other light or quality; half as many prompts are reworded.
    """

    def __init__(self, data: Mixture, config: EvfConfig, tokenizer, varied: float = 0.0):
        self.data, self.spec, self.varied = data, config.pixels, varied
        self.grid = self.spec.image_size // 4
        self.tokens = config.encoder.image_size // config.encoder.patch_size
        longest = config.encoder.longest_text
        # int64 (L,) of a text, not padded.
        self.token_ids = lru_cache(maxsize=500_000)(
            lambda text: tokenize(tokenizer, [clean_prompt(text)], longest).token_ids[0]
        )

    def samples(self, stage: Stage, rng: np.random.Generator) -> tuple[np.ndarray, list[Sample]]:
        """``stage.images`` samples that have prompts, and their indices.

        Raises InputError if the data have hardly any prompts.
        """
        indices, samples = self.data.draw(stage.images, rng), []
        for number in range(stage.images):
            for _ in range(MOST_DRAWS):
                sample = self.data[indices[number]]
                sample = replace(sample, prompts=tuple(prompt for prompt in sample.prompts if readable(prompt.text)))
                if sample.prompts:
                    break
                indices[number] = self.data.draw(1, rng)[0]
            else:
                raise InputError("The data have hardly any prompts: name a data set in which images have prompts.")
            samples.append(mirrored(sample) if stage.mirror and rng.random() < stage.mirror else sample)
        return indices, samples

    def images(self, samples: Sequence[Sample], rng: np.random.Generator) -> list[np.ndarray]:
        """uint8 (H, W, 3) each; a share of them in other light or quality."""
        return [
            vary_image(sample.image, rng) if self.varied and rng.random() < self.varied else sample.image
            for sample in samples
        ]

    def phrases(self, stage: Stage, rng: np.random.Generator) -> tuple[PhraseBatch, list[Sample]]:
        """``stage.images`` images, ``stage.prompts`` prompts of each, and their samples."""
        indices, samples = self.samples(stage, rng)
        rows, texts, masks, ignored = [], [], [], []
        for number, sample in enumerate(samples):
            for prompt in choose_prompts(sample.prompts, stage, rng):
                reworded = self.varied and rng.random() < self.varied / 2
                rows.append(number)
                texts.append(vary_prompt(prompt, rng) if reworded else prompt.text)
                masks.append(prompt.mask)
                ignored.append(np.zeros_like(prompt.mask) if prompt.ignore is None else prompt.ignore)
        inputs = [prepare(image, self.spec) for image in self.images(samples, rng)]
        ids = [self.token_ids(text) for text in texts]
        batch = PhraseBatch(
            torch.from_numpy(indices),
            torch.tensor([self.data.is_known(index) for index in indices]),
            torch.tensor(rows),
            torch.cat([one.encoder_pixels for one in inputs]),
            torch.cat([one.segmenter_pixels for one in inputs]),
            nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=PAD_ID),
            nn.utils.rnn.pad_sequence([torch.zeros_like(row).bool() for row in ids], True, True),
            torch.tensor([not text.startswith(SEMANTIC_PREFIX) for text in texts]),
            torch.from_numpy(np.stack([coverage_of(self.square(mask), self.grid) for mask in masks])),
            torch.from_numpy(np.stack([coverage_of(mask, self.tokens) for mask in masks])),
            torch.from_numpy(np.stack([coverage_of(self.square(mask), self.grid) for mask in ignored])),
            [_stacked(masks, ignored, np.equal(rows, i)) for i in range(len(samples))] if stage.full_size else [],
            [one.geometry for one in inputs],
        )
        return batch, samples

    def square(self, mask: np.ndarray, outside: int = 0) -> np.ndarray:
        """(H, W) -> what fills the segmenter's square: the mask itself if images are stretched, else padded."""
        if not self.spec.keep_aspect_ratio:
            return mask
        side = max(mask.shape)
        return np.pad(mask, [(0, side - mask.shape[0]), (0, side - mask.shape[1])], constant_values=outside)

    def point_targets(self, samples: Sequence[Sample], prompts: int, rng: np.random.Generator) -> PointTargets | None:
        """Things, stuff and parts to be pointed at, ``prompts`` in each image; None if no image shows any."""
        rows, coverage, is_part = [], [], []
        for number, sample in enumerate(samples):
            wholes, parts = self._wholes_and_parts(sample)
            for _ in range(prompts if wholes else 0):
                part = bool(parts) and rng.random() < PART_TARGETS
                pool = parts if part else wholes
                chosen = pool[rng.integers(len(pool))]
                rows.append(number)
                coverage.append(coverage_of(chosen, self.grid))
                is_part.append(part)
        if not rows:
            return None
        return PointTargets(torch.tensor(rows), torch.from_numpy(np.stack(coverage)), torch.tensor(is_part))

    def _wholes_and_parts(self, sample: Sample) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Masks that are large enough to be pointed at. Rendered scenes know all their things; others their prompts."""
        if "things" not in sample.facts:
            large = [prompt for prompt in sample.prompts if prompt.mask.mean() > SMALLEST_TARGET]
            wholes = [self.square(prompt.mask) for prompt in large if prompt.kind.split("/")[0] != PART]
            return wholes, [self.square(prompt.mask) for prompt in large if prompt.kind.split("/")[0] == PART]
        part_map = self.square(sample.facts["part_map"], OUTSIDE)
        wholes, parts = wholes_and_parts(part_map, sample.facts["things"])
        return [mask_of(part_map, ids) for ids in wholes], [mask_of(part_map, ids) for ids in parts]


def wholes_and_parts(part_map: np.ndarray, things: Sequence[Sequence[int]]) -> tuple[list, list]:
    """What is large enough to be pointed at, as part numbers: whole things, and single parts of them.

    An image whose things are all tiny is asked for its largest part.

    Args:
        part_map: uint8 (H, W).
        things: the part numbers of each thing and piece of stuff.
    """
    areas = np.bincount(part_map.ravel(), minlength=256) / part_map.size
    wholes = [ids for ids in things if areas[list(ids)].sum() > SMALLEST_TARGET]
    wholes = wholes or [(int(areas[:OUTSIDE].argmax()),)]
    return wholes, [(i,) for ids in wholes if len(ids) > 1 for i in ids if areas[i] > SMALLEST_TARGET]


def choose_prompts(prompts: Sequence[Prompt], stage: Stage, rng: np.random.Generator) -> Iterator[Prompt]:
    """Prompts of one image: in the shares of the stage as far as the image has each kind, or different ones."""
    if stage.shares is None:
        count = min(stage.prompts, len(prompts))
        yield from (prompts[i] for i in rng.choice(len(prompts), size=count, replace=False))
        return
    by_kind: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_kind.setdefault(prompt.kind, []).append(prompt)
    kinds = sorted(by_kind)
    shares = np.array([stage.shares[kind] for kind in kinds])
    for kind in rng.choice(kinds, size=stage.prompts, p=shares / shares.sum()):
        yield by_kind[kind][rng.integers(len(by_kind[kind]))]


def _stacked(masks: list[np.ndarray], ignored: list[np.ndarray], chosen: np.ndarray) -> torch.Tensor:
    rows = np.flatnonzero(chosen)
    return torch.from_numpy(np.stack([[masks[i] for i in rows], [ignored[i] for i in rows]]))


def coverage_of(mask: np.ndarray, grid: int) -> np.ndarray:
    """float32 (grid, grid), 0..1: the share of each cell that a bool mask (h, w) covers."""
    return cv2.resize(mask.astype(np.float32), (grid, grid), interpolation=cv2.INTER_AREA)
