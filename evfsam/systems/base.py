"""What all systems have in common: they are asked like a Predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import nn

from evfsam import values
from evfsam.errors import InputError
from evfsam.media.images import ImageSource, open_image
from evfsam.processing.text import SEMANTIC_PREFIX, clean_prompt
from evfsam.runtime import Runtime, model_step
from evfsam.systems.registry import SystemInfo
from evfsam.types import EncodedImage, Geometry, Segmentation

MOST_THINGS = 30  # per prompt; the best ones
LOGIT = 10.0  # of a pixel inside, where a system gives no logits


class System(ABC):
    """A text-prompted segmenter of another kind, with the methods of a Predictor that a comparison needs.

    A referring prompt is answered by the thing with the highest score, a semantic one ("[semantic] dog") by all things
    together. Points and boxes are not read.

    Attributes:
        info: its row.
        runtime: device and precision.
        model: all its networks.
        tokenizer, most_tokens: how it counts the tokens of a text, and how many it reads; the rest is cut off.
        reads_prefix: it was trained with "[semantic] " before a category; other systems do not see the prefix.
    """

    tokenizer: Callable | None = None
    most_tokens: int = 0
    reads_prefix: bool = False

    def __init__(self, info: SystemInfo, runtime: Runtime, model: nn.Module):
        self.info, self.runtime, self.model = info, runtime, model

    def segment(
        self, image: ImageSource | EncodedImage, prompts: Sequence[str] | str, points=None, boxes=None
    ) -> list[Segmentation]:
        """One mask per prompt, as :meth:`evfsam.Predictor.segment` gives it; an empty one if nothing is found.

        ``score`` is the system's own: the probability of a box or a mask, 0..1. It is no predicted IoU.
        Raises InputError for an image or a text that cannot be used, and for points and boxes.
        """
        return list(self.iter_segment(image, prompts, points, boxes))

    def iter_segment(self, image, prompts, points=None, boxes=None) -> Iterator[Segmentation]:
        """As :meth:`segment`, one mask at a time."""
        if points is not None or boxes is not None:
            raise InputError(f"{self.info.name} reads texts alone; leave out the points and boxes.")
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        return (self._answer(encoded, prompt) for prompt in values.prompts(prompts))

    def things(self, image: ImageSource | EncodedImage, prompt: str) -> list[Segmentation]:
        """All things that the system finds for a prompt, the best first; at most 30."""
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        text = clean_prompt(prompt)
        text = text if self.reads_prefix else text.removeprefix(SEMANTIC_PREFIX)
        with model_step(self.runtime):
            found = self.find(encoded, text)
        order = sorted(range(len(found.scores)), key=lambda i: -found.scores[i])[:MOST_THINGS]
        return [Segmentation(prompt, found.mask_logits[i], found.scores[i]) for i in order]

    def encode(self, image: ImageSource) -> EncodedImage:
        """An image, ready for any number of prompts."""
        image = open_image(image)
        size = image.shape[:2]
        with model_step(self.runtime):
            features = self.look(image)
        return EncodedImage(features, None, Geometry(size, size, size))

    @abstractmethod
    def look(self, image: np.ndarray):
        """What :meth:`find` wants to know of an image, uint8 (H, W, 3): whatever needs no text."""

    @abstractmethod
    def find(self, encoded: EncodedImage, text: str) -> Things:
        """The things that a cleaned text names."""

    def _answer(self, encoded: EncodedImage, prompt: str) -> Segmentation:
        things, warnings = self.things(encoded, prompt), self._warnings(prompt)
        if not things:
            nothing = np.full(encoded.geometry.original_size_hw, -LOGIT, np.float32)
            return Segmentation(prompt, nothing, 0.0, warnings=(*warnings, f"{self.info.name} found nothing."))
        if not clean_prompt(prompt).startswith(SEMANTIC_PREFIX):
            return replace(things[0], warnings=warnings)
        together = np.maximum.reduce([thing.mask_logits for thing in things])
        score = float(np.mean([thing.score for thing in things]))
        return Segmentation(prompt, together, score, warnings=warnings)

    def _warnings(self, prompt: str) -> tuple[str, ...]:
        text = clean_prompt(prompt).removeprefix(SEMANTIC_PREFIX)
        return () if self.tokenizer is None else too_long(self.info, self.tokenizer, text, self.most_tokens)


def too_long(info: SystemInfo, tokenizer: Callable, text: str, most: int) -> tuple[str, ...]:
    """A warning if a text has more than ``most`` tokens."""
    if len(tokenizer(text, verbose=False)["input_ids"]) <= most:
        return ()
    return (f"The prompt is longer than {info.name} reads; its end was left out.",)


class Things:
    """Things on one image.

    Attributes:
        mask_logits: float32 (H, W) each, above 0 inside.
        scores: 0..1 each.
    """

    def __init__(self, masks: Sequence[np.ndarray | torch.Tensor], scores: Sequence[float]):
        """``masks``: logits, or bool; all of the image's size."""
        self.mask_logits = [_logits(mask) for mask in masks]
        self.scores = [float(np.clip(score, 0, 1)) for score in scores]


def _logits(mask: np.ndarray | torch.Tensor) -> np.ndarray:
    mask = mask.float().cpu().numpy() if isinstance(mask, torch.Tensor) and mask.is_floating_point() else mask
    mask = np.asarray(mask)
    return mask.astype(np.float32) if mask.dtype.kind == "f" else np.where(mask, LOGIT, -LOGIT).astype(np.float32)


def resized(logits: torch.Tensor, size_hw: tuple[int, int]) -> np.ndarray:
    """Logits (h, w) at the image's size, float32 (H, W), by bilinear interpolation."""
    return cv2.resize(logits.float().cpu().numpy(), size_hw[::-1], interpolation=cv2.INTER_LINEAR)
