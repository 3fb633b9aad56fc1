"""The one shape of data: evaluation scores it and training learns from it, whichever data set it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

REFERRING, SEMANTIC, STUFF, PART, ABSENT = "referring", "semantic", "stuff", "part", "absent"


@dataclass(frozen=True)
class Prompt:
    """One text prompt with its truth.

    Attributes:
        text: as the data set spells it; "[semantic] " stands before a category or a part.
        mask: bool (H, W), the pixels that the text names; all False if the image does not show it. In a
            :class:`VideoSample` bool (T, H, W).
        kind: the group in which scores are kept: "referring", "semantic", "stuff", "part" or "absent". A finer group
            follows a slash: "referring/place". Its scores count for "referring" as well.
        ignore: bool like ``mask``: pixels that no score counts, such as crowds or unlabelled ones. None for none.
        overlap: bool like ``mask``: pixels that several polygons of one annotation cover. The authors' evaluation
            script counts them differently (``reference_quirks``). None for none.
        object_id: which object of the image the text names; several prompts may share it. None for several objects.
    """

    text: str
    mask: np.ndarray
    kind: str = REFERRING
    ignore: np.ndarray | None = None
    overlap: np.ndarray | None = None
    object_id: int | None = None


@dataclass(frozen=True)
class Sample:
    """One image with its prompts.

    Attributes:
        name: identifies the sample within its data set.
        image: uint8 (H, W, 3), RGB.
        prompts: text and truth; every mask is (H, W). May be empty.
        facts: anything else that a score or a training stage needs to know, by name.
    """

    name: str
    image: np.ndarray
    prompts: tuple[Prompt, ...]
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoSample:
    """One clip with its prompts.

    Attributes:
        name: identifies the clip within its data set.
        frames: T images, uint8 (H, W, 3), RGB. A list, or a sequence that reads a frame when it is asked for.
        prompts: text and truth; every mask is (T, H, W). May be empty.
        facts: as in :class:`Sample`.
    """

    name: str
    frames: Sequence[np.ndarray]
    prompts: tuple[Prompt, ...]
    facts: dict[str, object] = field(default_factory=dict)


class Dataset(Protocol):
    """Samples by index. A sample is read when it is asked for. The same index always gives the same sample.

    It can be pickled, so that several processes share it (``evaluate --workers``).

    ``name`` says which data it is, for example "refcoco:testA".
    """

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample | VideoSample:
        """Raises IndexError past the end, InputError if a file of the sample is missing or damaged."""
        ...
