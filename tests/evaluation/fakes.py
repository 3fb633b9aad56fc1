"""Data sets and answers made up by hand, so that scores are known."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from evfsam.data.sample import Prompt, Sample
from evfsam.evaluation.probes import Probe


def mask(row: str) -> np.ndarray:
    return np.array([[character != "." for character in row]])


class HandMade:
    """Each sample is a list of (text, kind, target, overlap) with masks as rows of characters."""

    name = "made by hand"

    def __init__(self, samples: Sequence[Sequence[tuple]]):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        prompts = tuple(
            Prompt(text, mask(target), kind, overlap=mask(overlap[0]) if overlap else None)
            for text, kind, target, *overlap in self.samples[index]
        )
        return Sample(f"sample {index}", np.zeros((1, 4, 3), np.uint8), prompts)


def predictor(name: str = "nobody") -> SimpleNamespace:
    """Stands where a test asks no model."""
    runtime = SimpleNamespace(device="cpu", precision="fp32")
    return SimpleNamespace(info=SimpleNamespace(name=name), runtime=runtime)


def answers(by_text: dict[str, str | None], name: str = "model", compared_with: str = "") -> Probe:
    """Answers each text with a mask that is written down, "." for nothing; None for no answer."""

    def make(predictor):
        return lambda sample, other: [
            None if by_text[p.text] is None else mask(by_text[p.text]) for p in sample.prompts
        ]

    return Probe(name, make, "", compared_with)
