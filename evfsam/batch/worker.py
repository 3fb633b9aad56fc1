"""One part of a batch: its items are read ahead, answered, and written as one file."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evfsam.batch.items import Item
from evfsam.batch.results import part_name, row, write_part
from evfsam.errors import EvfSamError, InputError
from evfsam.media.images import open_image
from evfsam.media.video import VideoReader
from evfsam.predictor import Predictor
from evfsam.systems.load import load_model
from evfsam.video.tracker import VideoTracker

READ_AHEAD = 4  # images in memory beside the one that is answered


@dataclass(frozen=True)
class Part:
    """Some items that are answered together, and the number of their file."""

    number: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Done:
    """What came of a part."""

    number: int
    items: int
    bad: tuple[str, ...]  # a sentence per item that could not be answered


class Worker:
    """Holds a model and answers parts, one after the other. The same here, in a process of its own, or on Ray."""

    def __init__(self, model: str, device: str, precision: str, prompts: Sequence[str], folder: str):
        """Raises EvfSamError as :func:`evfsam.systems.load.load_model`."""
        self.predictor = load_model(model, device, precision)
        self.prompts, self.folder = tuple(prompts), Path(folder)

    def __call__(self, part: Part) -> Done:
        """Answer a part, unless its file is there already."""
        bad: list[str] = []
        path = self.folder / part_name(part.number)
        if not path.exists():
            write_part(path, self._rows(part.items, bad))
        return Done(part.number, len(part.items), tuple(bad))

    def _rows(self, items: Sequence[Item], bad: list[str]) -> Iterator[dict[str, Any]]:
        for item, image in _read_ahead(items):
            rows: list[dict[str, Any]] = []
            try:
                if isinstance(image, EvfSamError):
                    raise image
                if image is None:
                    yield from self._follow(item)
                    continue
                prompts = self._prompts_of(item)
                for index, found in enumerate(self.predictor.iter_segment(image, prompts)):
                    rows.append(row(item.key, index, found))
            except EvfSamError as error:
                bad.append(f"{item.key}: {error}")
                rows = [{"item": item.key, "error": str(error)}]
            yield from rows

    def _prompts_of(self, item: Item) -> tuple[str, ...]:
        prompts = item.prompts or self.prompts
        if not prompts:
            raise InputError("It has no prompts: give some in its row, or for all by --prompts.")
        return prompts

    def _follow(self, item: Item) -> Iterator[dict[str, Any]]:
        """The rows of a clip, frame by frame: they are not kept."""
        if not isinstance(self.predictor, Predictor):
            raise InputError(f"{self.predictor.info.name} follows nothing through clips; choose another model.")
        tracker = VideoTracker(self.predictor)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(item.path)
            if item.offset is not None:
                path = Path(folder) / f"clip{item.suffix}"
                path.write_bytes(item.read())
            for frame in tracker.track(VideoReader(path), self._prompts_of(item)):
                for index, found in enumerate(frame.objects):
                    yield row(item.key, index, found, frame.index)


def _read_ahead(items: Sequence[Item]) -> Iterator[tuple[Item, np.ndarray | EvfSamError | None]]:
    """Each item with its image, uint8 (H, W, 3), its error, or None for a clip. Images are read by another thread."""
    with ThreadPoolExecutor(1) as pool:
        coming: deque = deque()
        for item in items:
            coming.append((item, pool.submit(_open, item)))
            if len(coming) > READ_AHEAD:
                item, image = coming.popleft()
                yield item, image.result()
        for item, image in coming:
            yield item, image.result()


def _open(item: Item) -> np.ndarray | EvfSamError | None:
    if item.is_clip:
        return None
    try:
        return open_image(item.path if item.offset is None else item.read())
    except EvfSamError as error:
        return error
