"""A whole batch: what is left to do, where it is done, and what is written beside the parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evfsam.batch.items import Item
from evfsam.batch.results import part_name
from evfsam.batch.worker import Done, Part, Worker
from evfsam.errors import InputError
from evfsam.values import shown

PART_ITEMS = 64
PLAN_NAME = "batch.json"


def plan(items: Sequence[Item], part_items: int = PART_ITEMS) -> list[Part]:
    """The parts of a batch, always the same for the same items: some images together, every clip alone."""
    parts: list[tuple[Item, ...]] = []
    some: list[Item] = []
    for item in items:
        if item.is_clip:
            parts.append((item,))
            continue
        some.append(item)
        if len(some) == part_items:
            parts.append(tuple(some))
            some = []
    if some:
        parts.append(tuple(some))
    return [Part(number, inside) for number, inside in enumerate(parts)]


def run(
    parts: Sequence[Part],
    folder: Path,
    model: str,
    prompts: Sequence[str],
    device: str = "auto",
    precision: str = "auto",
    on_ray: Callable[[Sequence[Part], tuple], Iterator[Done]] | None = None,
) -> Iterator[Done]:
    """Answer all parts whose file is not there yet; yields each as it is done.

    Args:
        parts: from :func:`plan`.
        folder: for the files; a run that was stopped is resumed there.
        model, device, precision: as in :func:`evfsam.systems.load.load_model`.
        prompts: for all items that have none of their own.
        on_ray: where else to work, see :func:`evfsam.batch.on_ray.ray_pool`; None for this process.

    Raises InputError if the folder holds another run, EvfSamError if the model cannot be loaded.
    """
    _claim(folder, parts, model, prompts)
    todo = unfinished(parts, folder)
    made_by = model, device, precision, tuple(prompts), str(folder.absolute())
    if not todo:
        return iter(())
    return on_ray(todo, made_by) if on_ray else map(Worker(*made_by), todo)


def unfinished(parts: Sequence[Part], folder: Path) -> list[Part]:
    """The parts whose file is not there yet."""
    return [part for part in parts if not (folder / part_name(part.number)).exists()]


def _claim(folder: Path, parts: Sequence[Part], model: str, prompts: Sequence[str]) -> None:
    """Write down whose results the folder holds, or see that it is the same run."""
    digest = hashlib.sha256(repr([part.items for part in parts]).encode()).hexdigest()
    own = {"model": model, "prompts": list(prompts), "items": sum(len(part.items) for part in parts), "digest": digest}
    path = folder / PLAN_NAME
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(own, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return
    try:
        same = json.loads(path.read_text(encoding="utf-8")) == own
    except ValueError:
        same = False
    if not same:
        raise InputError(
            f"{shown(str(folder))} holds the results of other items, prompts or another model: name another folder."
        )
