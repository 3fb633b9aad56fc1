"""The data sets and the tokenizer of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from evfsam.checkpoints.tokenizer import copy_tokenizer, train_tokenizer
from evfsam.data.ccp import read_pack
from evfsam.data.registry import open_dataset
from evfsam.data.sample import Dataset, VideoSample
from evfsam.data.scenes import vocabulary
from evfsam.errors import InputError
from evfsam.training.cache import open_photographs, open_scenes
from evfsam.training.config import Recipe, Source
from evfsam.training.foundation import Foundation, write_tokenizer
from evfsam.training.sampler import Mixture


def open_source(source: Source, recipe: Recipe, folder: Path, root: Path | None, workers: int) -> Callable[[], Dataset]:
    """Check that a data set is there, and return what opens it: rendering takes long and is done after all checks."""
    if source.name == "photographs":
        if root is None:
            raise InputError(
                f"{recipe.name} learns from photographs: name the folder of the pack (--root), which "
                "python -m evfsam.data.ccp makes from a clone of bearpaw/clothing-co-parsing."
            )
        read_pack(root)
    size, target = recipe.model.segmenter.image_size, folder / "data" / source.name
    if source.name == "photographs":
        return partial(open_photographs, target, root, source.count, size, workers)
    if source.made_here:
        moving = source.name == "clip_frames"
        return partial(open_scenes, target, recipe.first_seed, source.count, size, workers, recipe.aspects, moving)
    dataset = open_dataset(source.name, root)
    if not len(dataset):
        raise InputError(f"{source.name} holds no image: choose another split or another --root.")
    if isinstance(dataset[0], VideoSample):
        raise InputError(f"{source.name} holds clips: name a data set of images.")
    return lambda: dataset


def prepare_run(recipe: Recipe, folder: Path, datasets: list[Dataset], start: Path | Foundation | None) -> Mixture:
    """The recipe's data, and its tokenizer, made unless it is there."""
    known, weights, counts = zip(*((one.known, one.weight, one.count) for one in recipe.sources), strict=True)
    if any(weight is not None for weight in weights):
        weights = tuple(1.0 if weight is None else weight for weight in weights)
    data = Mixture(tuple(datasets), known, weights if None not in weights else None, counts)
    tokenizer_folder = folder / "tokenizer"
    tokenizer_folder.mkdir(parents=True, exist_ok=True)
    if isinstance(start, Foundation):
        write_tokenizer(start, tokenizer_folder)
    elif start:
        copy_tokenizer(start, tokenizer_folder)
    elif not (tokenizer_folder / "tokenizer_config.json").exists():
        texts = islice(data.texts(), 100_000)
        train_tokenizer([*vocabulary(), *texts], tokenizer_folder, recipe.vocabulary, fold_case=True)
    return data


def claim(folder: Path, recipe: Recipe, start: str) -> None:
    """Write down in ``recipe.json`` whose run the folder holds, or see that it is this one.

    A run may go on with other steps, batches and rates, but not with other data, parts, or another checkpoint.

    Args:
        start: the checkpoint that the recipe continues, as the user named it; "" for none.

    Raises InputError if the folder holds another run.
    """
    path = folder / "recipe.json"
    own = json.loads(json.dumps(asdict(recipe) | {"start": start}))
    if path.exists():
        try:
            other = _identity({"start": start} | json.loads(path.read_text(encoding="utf-8")))
        except (AttributeError, KeyError, TypeError, ValueError):
            other = {}
        differ = [what for what, value in _identity(own).items() if value != other.get(what)]
        if differ:
            raise InputError(
                f"{folder} holds a run with another {differ[0]}: choose another folder with --out, or delete this one."
            )
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(own, indent=1), encoding="utf-8")
    os.replace(unfinished, path)


def _identity(run: dict[str, Any]) -> dict[str, Any]:
    """What may not change when a run goes on."""
    return {
        "recipe": run["name"],
        "choice of data": run["sources"],
        "checkpoint to start from": run["start"],
        "model": run["model"],
        "seed": run["seed"],
        "choice of parts that learn": {stage["name"]: stage["trains"] for stage in run["stages"]},
    }
