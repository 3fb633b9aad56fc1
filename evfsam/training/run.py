"""A recipe from nothing to a checkpoint's folder, each stage resumable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from safetensors.torch import load_file, save_file

from evfsam.checkpoints.save import save_checkpoint
from evfsam.checkpoints.tokenizer import copy_tokenizer, load_tokenizer, train_tokenizer
from evfsam.data.ccp import read_pack
from evfsam.data.ccp import words as photo_words
from evfsam.data.scenes import vocabulary
from evfsam.errors import InputError
from evfsam.modeling.build import build_model
from evfsam.modeling.evf_sam import EvfSam
from evfsam.training.calibration import presence_threshold
from evfsam.training.clip_cache import open_clip_cache
from evfsam.training.config import STAGES, Recipe
from evfsam.training.feature_cache import open_feature_cache
from evfsam.training.init import initialise
from evfsam.training.loop import train
from evfsam.training.memory_stage import MemoryStage
from evfsam.training.photo_cache import joined, open_photo_cache
from evfsam.training.phrases import PhraseReader
from evfsam.training.pointing import SegmenterStage
from evfsam.training.scene_cache import SceneCache, open_cache
from evfsam.training.stages import GroundingStage, JointStage, PhotoStage, TogetherStage

SEEN = {False: "rendered scenes", True: "rendered scenes and street photographs"}


def run(
    recipe: Recipe,
    folder: Path,
    stages: Sequence[str] = STAGES,
    device: str | None = None,
    workers: int = 2,
    photographs: Path | None = None,
    base: Path | None = None,
) -> None:
    """Run some stages of a recipe (all of them by default).

    Started by ``torchrun --nproc_per_node N -m evfsam train``, N processes share the work: N times the batch.

    Args:
        folder: of the run: scenes, tokenizer, states, metrics, and in the end ``checkpoint/``.
        stages: in the order of :data:`STAGES`; the first two are independent of each other.
        device: "cpu" to keep off a GPU; else accelerate chooses.
        workers: processes that render.
        photographs: the pack, for a recipe that has a stage ``photo``; see :mod:`evfsam.data.ccp`.
        base: the run that the recipe continues (default: beside ``folder``, by its name).

    Raises InputError if the photographs or that run are wanted and not there.
    """
    base = base or folder.parent / str(recipe.continues)
    _check_sources(recipe, base, photographs)
    # A pre-training-only token and, in some steps, a kind of click get no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # Told so in words: without a GPU, accelerate would take torchrun's processes for strangers to each other.
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=on_cpu, kwargs_handlers=[unused])
    with accelerator.main_process_first():
        cache = _prepare(recipe, folder, workers, base)
        if recipe.photo:
            size, photo_folder = recipe.model.segmenter.image_size, folder / "photographs"
            cache = joined(cache, open_photo_cache(photo_folder, photographs, recipe.photographs, size, workers))
    for stage in stages:
        if stage != "save":
            if getattr(recipe, stage) is None:
                continue
            _run_stage(stage, recipe, folder, cache, accelerator, base)
        elif accelerator.is_main_process:
            save(recipe, folder)
        accelerator.wait_for_everyone()


def _check_sources(recipe: Recipe, base: Path, photographs: Path | None) -> None:
    if recipe.photo and photographs is None:
        raise InputError(
            f"{recipe.name} learns from photographs: name the folder of the pack (--photos), which "
            "python -m evfsam.data.ccp makes from a clone of bearpaw/clothing-co-parsing."
        )
    if recipe.photo:
        read_pack(photographs)
    if recipe.continues and not (base / "together.safetensors").exists():
        raise InputError(
            f"{base} is no finished run of {recipe.continues}: train that recipe first, or name its folder (--base)."
        )


def _prepare(recipe: Recipe, folder: Path, workers: int, base: Path) -> SceneCache:
    """Scenes and tokenizer, made unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    size = recipe.model.segmenter.image_size
    cache = open_cache(folder / "scenes", recipe.first_seed, recipe.scenes, size, workers, recipe.aspects)
    tokenizer_folder = folder / "tokenizer"
    if recipe.continues:
        tokenizer_folder.mkdir(exist_ok=True)
        copy_tokenizer(base / "tokenizer", tokenizer_folder)
    elif not (tokenizer_folder / "tokenizer_config.json").exists():
        phrases = [expression.text for scene in cache.expressions for expression in scene]
        train_tokenizer([*vocabulary(), *phrases[:100_000]], tokenizer_folder, recipe.vocabulary, fold_case=True)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    return cache


def _run_stage(
    name: str, recipe: Recipe, folder: Path, cache: SceneCache, accelerator: Accelerator, base: Path
) -> None:
    model = new_model(recipe)
    size = recipe.model.segmenter.image_size
    reader = PhraseReader(recipe.model, cache, load_tokenizer(folder / "tokenizer"), recipe.variety)
    if name == "segmenter":
        kept, stage = model.visual_model, SegmenterStage(model, recipe, cache)
    elif name == "memory":
        model.load_state_dict(_model_state(folder / "together.safetensors"))
        with accelerator.main_process_first():
            clips = open_clip_cache(folder / "clips", recipe.first_seed, recipe.clips, size, workers=1)
        kept, stage = model, MemoryStage(model, recipe, clips, reader)
    else:
        kept = stage = GroundingStage(model, recipe, reader)
    if name == "joint":
        stage.load_state_dict(load_file(folder / "grounding.safetensors"))
        model.visual_model.load_state_dict(load_file(folder / "segmenter.safetensors"))
        model.to(accelerator.device)
        weights_id = str((folder / "segmenter.safetensors").stat().st_mtime_ns)
        with accelerator.main_process_first():
            features = open_feature_cache(folder / "features", model, cache, weights_id)
        kept = stage = JointStage(model, recipe, stage.heads, reader, features)
    if name == "together":
        kept = stage = TogetherStage(model, recipe, stage.heads, reader, None)
        stage.load_state_dict(load_file(folder / "joint.safetensors"))
    if name == "photo":
        kept = stage = PhotoStage(model, recipe, stage.heads, reader, None)
        stage.load_state_dict(load_file((base if recipe.continues else folder) / "together.safetensors"))
    train(stage, getattr(recipe, name), folder, accelerator)
    if accelerator.is_main_process:
        state = {key: value.detach().cpu().contiguous() for key, value in kept.state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")


def _model_state(path: Path) -> dict[str, torch.Tensor]:
    """The model's tensors out of a stage's file, without what only training needed."""
    state = load_file(path)
    return {name.removeprefix("model."): tensor for name, tensor in state.items() if not name.startswith("heads.")}


def new_model(recipe: Recipe) -> EvfSam:
    """The recipe's model as it starts, the same from the same seed."""
    set_seed(recipe.seed)
    model = build_model(recipe.model)
    initialise(model)
    return model


def save(recipe: Recipe, folder: Path) -> Path:
    """Write the trained model as a checkpoint in the published layout to ``folder/checkpoint``.

    Without a trained memory the checkpoint is for pictures only and leaves those modules out.
    """
    last = next(name for name in ("memory", "photo", "together") if (folder / f"{name}.safetensors").exists())
    memory = last == "memory"
    config = recipe.model
    if not memory and config.segmenter.kind == "sam2":
        config = replace(config, segmenter=replace(config.segmenter, memory=False))
    model = build_model(config)
    state = _model_state(folder / f"{last}.safetensors")
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    facts = {
        "capabilities": ["referring", "semantic", "parts", *(["video"] if memory else [])],
        "vocabulary": sorted({*vocabulary(), *(photo_words() if recipe.photo else ())}),
        "licence": "Apache-2.0",
        "description": f"A small model trained on {SEEN[bool(recipe.photo)]}; bundled with the project.",
    }
    target = folder / "checkpoint"
    save_checkpoint(target, model, folder / "tokenizer", torch.float16, facts)
    facts["presence_threshold"] = presence_threshold(target, recipe.calibration_scenes)
    save_checkpoint(target, model, folder / "tokenizer", torch.float16, facts)
    return target


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """The same recipe with few steps a stage: to see that everything runs."""

    def short(stage):
        return replace(stage, steps=steps, warmup=1)

    configs = {name: getattr(recipe, name) for name in STAGES if name != "save"}
    short_ones = {name: short(config) for name, config in configs.items() if config}
    return replace(recipe, calibration_scenes=2, **short_ones)
