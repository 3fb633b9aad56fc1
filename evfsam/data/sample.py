"""The one shape of data: what evaluation scores and training learns from, whichever data set it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

REFERRING, SEMANTIC, PART = "referring", "semantic", "part"  # the kinds that every reader may use


@dataclass(frozen=True)
class Prompt:
    """One text prompt of an image, with its truth.

    Attributes:
        text: as the model reads it; "[semantic] " stands before a category or a part.
        mask: bool (H, W), the pixels that the text names; all False if the image does not show it.
        kind: the group in which scores are kept: "referring", "semantic", "part", or a finer one such as "place".
        ignore: bool (H, W), pixels that no score counts, for example crowds or unlabelled ones; None for none.
    """

    text: str
    mask: np.ndarray
    kind: str = REFERRING
    ignore: np.ndarray | None = None


@dataclass(frozen=True)
class Sample:
    """One image with its prompts.

    Attributes:
        name: identifies the sample within its data set; stable, so that an evaluation can be resumed.
        image: uint8 (H, W, 3), RGB.
        prompts: text and truth; every mask is (H, W).
        facts: anything else that a score or a stage needs to know, by name.
    """

    name: str
    image: np.ndarray
    prompts: tuple[Prompt, ...]
    facts: dict[str, object] = field(default_factory=dict)


class Dataset(Protocol):
    """Samples by index. A sample is read when it is asked for; the same index always gives the same sample.

    ``name`` says what it is, for example "refcoco:testA".
    """

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Raises IndexError past the end, InputError if a file of the sample is missing or damaged."""
        ...

    def __iter__(self) -> Iterator[Sample]: ...
