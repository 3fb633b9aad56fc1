"""A recipe from nothing to a checkpoint's folder, each stage resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from safetensors.torch import load_file, save_file

from evfsam.checkpoints.fetch import fetch
from evfsam.checkpoints.load import build_and_fill
from evfsam.checkpoints.registry import find
from evfsam.checkpoints.save import save_checkpoint
from evfsam.checkpoints.tokenizer import copy_tokenizer, load_tokenizer, train_tokenizer
from evfsam.data.ccp import read_pack
from evfsam.data.ccp import words as photo_words
from evfsam.data.scenes import vocabulary
from evfsam.errors import InputError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.evf_sam import EvfSam
from evfsam.processing.text import PAD_ID
from evfsam.training.calibration import presence_threshold
from evfsam.training.clip_cache import open_clip_cache
from evfsam.training.config import STAGES, Recipe, StageConfig
from evfsam.training.distillation import DistilStage
from evfsam.training.feature_cache import FeatureCache, open_feature_cache
from evfsam.training.init import continue_from, fit_state, initialise
from evfsam.training.loop import train
from evfsam.training.memory_stage import MemoryStage
from evfsam.training.photo_cache import open_photo_cache
from evfsam.training.phrases import PhraseReader, WordBatch
from evfsam.training.pointing import SegmenterStage
from evfsam.training.scene_cache import SceneCache, joined, open_cache
from evfsam.training.stages import (
    FinerStage,
    GroundingStage,
    JointStage,
    PhotoStage,
    SharperStage,
    TogetherStage,
)

PHOTO_IOU_THRESHOLDS = 0.35  # tried on validation scenes and photographs: 0, 0.3, 0.5, 0.7, 1
SEEN = {False: "rendered scenes", True: "rendered scenes and street photographs"}


def run(
    recipe: Recipe,
    folder: Path,
    stages: Sequence[str] = STAGES,
    device: str | None = None,
    workers: int = 2,
    photographs: Path | None = None,
    base: str | Path | None = None,
) -> None:
    """Run some stages of a recipe (all of them by default).

    Started by ``torchrun --nproc_per_node N -m evfsam train``, N processes share the work: N times the batch.

    Args:
        folder: of the run: scenes, tokenizer, states, metrics, and in the end ``checkpoint/``.
        stages: in the order of :data:`STAGES`; "segmenter" and "grounding" are independent of each other.
        device: "cpu" to keep off a GPU; else accelerate chooses.
        workers: processes that render, choose the presence threshold and, for a GPU, prepare batches.
        photographs: the pack, for a recipe that has a stage ``photo``; see :mod:`evfsam.data.ccp`.
        base: the checkpoint, by name or folder, that a recipe continues instead of its own choice.

    Raises InputError if the photographs are wanted and not there; CheckpointError if that checkpoint is not there.
    """
    source = base or recipe.continues
    source = source and fetch(find(source))
    if recipe.photo:
        _check_photographs(recipe, photographs)
    # A pre-training-only token and, in some steps, a kind of click get no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # Told so in words: without a GPU, accelerate would take torchrun's processes for strangers to each other.
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    # Not on a processor, even one that has it: the small products of evf-sam2-tiny's recipe are slower with it.
    half = not on_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="bf16" if half else "no", kwargs_handlers=[unused])
    with accelerator.main_process_first():
        cache = _prepare(recipe, folder, workers, source)
        if recipe.photo:
            size, photo_folder = recipe.model.segmenter.image_size, folder / "photographs"
            cache = joined(cache, open_photo_cache(photo_folder, photographs, recipe.photographs, size, workers))
    for stage in stages:
        if stage != "save":
            if getattr(recipe, stage) is None:
                continue
            _run_stage(stage, recipe, folder, cache, accelerator, source, workers)
        elif accelerator.is_main_process:
            save(recipe, folder, workers)
        accelerator.wait_for_everyone()


def _check_photographs(recipe: Recipe, photographs: Path | None) -> None:
    if photographs is None:
        raise InputError(
            f"{recipe.name} learns from photographs: name the folder of the pack (--photos), which "
            "python -m evfsam.data.ccp makes from a clone of bearpaw/clothing-co-parsing."
        )
    read_pack(photographs)


def _prepare(recipe: Recipe, folder: Path, workers: int, source: Path | None) -> SceneCache:
    """Scenes and tokenizer, made unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    how = (recipe.model.segmenter.image_size, workers, recipe.aspects)
    seen = {"stretched": not recipe.model.pixels.keep_aspect_ratio}
    cache = open_cache(folder / "scenes", recipe.first_seed, recipe.scenes, *how, **seen)
    if recipe.clip_frames:
        frames = open_cache(folder / "clip_frames", recipe.first_seed, recipe.clip_frames, *how, moving=True, **seen)
        cache = joined(cache, frames)
    tokenizer_folder = folder / "tokenizer"
    if source:
        tokenizer_folder.mkdir(exist_ok=True)
        copy_tokenizer(source, tokenizer_folder)
    elif not (tokenizer_folder / "tokenizer_config.json").exists():
        phrases = [expression.text for scene in cache.expressions for expression in scene]
        train_tokenizer([*vocabulary(), *phrases[:100_000]], tokenizer_folder, recipe.vocabulary, fold_case=True)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    return cache


def _run_stage(
    name: str,
    recipe: Recipe,
    folder: Path,
    cache: SceneCache,
    accelerator: Accelerator,
    source: Path | None,
    workers: int,
) -> None:
    config = recipe.model_of(name)
    origin = build_and_fill(source).eval().to(accelerator.device) if source else None
    if name == "distil":
        # Cell for cell what the teacher sees, so at its size; its own comes after.
        config = replace(config, segmenter=replace(config.segmenter, image_size=origin.config.segmenter.image_size))
    model = new_model(config, recipe.seed)
    if origin:
        continue_from(model, origin)
    size = config.segmenter.image_size
    reader = PhraseReader(config, cache, load_tokenizer(folder / "tokenizer"), recipe.variety)
    if name == "distil":

        @torch.no_grad()
        def teach(pixels: torch.Tensor) -> torch.Tensor:
            return origin.encode_image(pixels).image_embeddings

        kept = stage = DistilStage(model, recipe, cache, teach, accelerator.device)
    elif name == "segmenter":
        kept, stage = model.visual_model, SegmenterStage(model, recipe, cache)
    elif name == "memory":
        last = _last(recipe, folder, ("sharper", "finer", "together"))
        model.load_state_dict(fit_state(_model_state(folder / f"{last}.safetensors"), config))
        with accelerator.main_process_first():
            clips = open_clip_cache(folder / "clips", recipe.first_seed, recipe.clips, size, workers)
        kept = stage = MemoryStage(model, recipe, clips, reader)
    else:
        kept = stage = GroundingStage(model, recipe, reader)
    if name == "joint":
        if recipe.grounding:
            stage.load_state_dict(load_file(folder / "grounding.safetensors"))
        model.visual_model.load_state_dict(load_file(folder / "segmenter.safetensors"))
        model.to(accelerator.device)
        features = _features(folder, model, cache, accelerator, "segmenter")
        kept = stage = JointStage(model, recipe, stage.heads, reader, features)
    if name == "together":
        kept = stage = TogetherStage(model, recipe, stage.heads, reader, None)
        if recipe.joint:
            stage.load_state_dict(load_file(folder / "joint.safetensors"))
        else:
            model.load_state_dict(fit_state(_model_state(folder / "distil.safetensors"), config))
    if name == "photo":
        # A checkpoint that reads other copies of a picture cannot be asked about these.
        teach = answers_of(origin) if origin and origin.config.pixels == config.pixels else None
        kept = stage = PhotoStage(model, recipe, stage.heads, reader, teach)
        if not source:
            stage.load_state_dict(load_file(folder / "together.safetensors"))
    if name in ("finer", "sharper"):
        last = _last(recipe, folder, ("finer", "together", "joint")[name == "finer" :])
        stage.heads.load_state_dict(_part(load_file(folder / f"{last}.safetensors"), "heads."))
        model.load_state_dict(fit_state(_model_state(folder / f"{last}.safetensors"), config))
        if name == "finer":
            model.to(accelerator.device)
            features = _features(folder, model, cache, accelerator, last)
            kept = stage = FinerStage(model, recipe, stage.heads, reader, features)
        else:
            kept = stage = SharperStage(model, recipe, stage.heads, reader, None)
    ahead = workers if accelerator.device.type == "cuda" else 0
    train(stage, getattr(recipe, name), folder, accelerator, ahead)
    if accelerator.is_main_process:
        state = {key: value.detach().cpu().contiguous() for key, value in kept.state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")


def answers_of(model: EvfSam) -> Callable:
    """What a model makes of P phrases about B scenes, without gradients: ``teach`` of :class:`PhotoStage`."""

    @torch.no_grad()
    def answers(words: WordBatch):
        pixels, padding = words.encoder_pixels[words.scene_of_row], words.token_ids.eq(PAD_ID)
        prompt_tokens = model.encode_prompt(pixels, words.token_ids, padding)
        features = model.encode_image(words.segmenter_pixels)
        decoded = model.decode(features.select(words.scene_of_row), prompt_tokens, multimask=False)
        return prompt_tokens, features, decoded

    return answers


def _features(folder: Path, model: EvfSam, cache: SceneCache, accelerator: Accelerator, source: str) -> FeatureCache:
    """What the image encoder makes of all scenes, with the weights that the stage ``source`` left."""
    weights_id = str((folder / f"{source}.safetensors").stat().st_mtime_ns)
    with accelerator.main_process_first():
        return open_feature_cache(folder / "features", model, cache, weights_id)


def _last(recipe: Recipe, folder: Path, names: Sequence[str]) -> str:
    """The first of these stages that the recipe has and that is finished."""
    return next(name for name in names if getattr(recipe, name) and (folder / f"{name}.safetensors").exists())


def _model_state(path: Path) -> dict[str, torch.Tensor]:
    """The model's tensors out of a stage's file, without what only training needed."""
    return _part(load_file(path), "model.")


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def new_model(config: EvfConfig, seed: int) -> EvfSam:
    """A model as it starts, the same from the same seed."""
    set_seed(seed)
    model = build_model(config)
    initialise(model)
    return model


def save(recipe: Recipe, folder: Path, workers: int = 1) -> Path:
    """Write the trained model as a checkpoint in the published layout to ``folder/checkpoint``.

    Without a trained memory the checkpoint is for pictures only and leaves those modules out. ``workers`` processes
    share the scenes on which its presence threshold is chosen.
    """
    last = _last(recipe, folder, ("memory", "photo", "sharper", "finer", "together", "joint"))
    memory = last == "memory"
    config = recipe.model_of(last)
    if not memory and config.segmenter.kind == "sam2":
        config = replace(config, segmenter=replace(config.segmenter, memory=False))
    model = build_model(config)
    state = _model_state(folder / f"{last}.safetensors")
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    facts = {
        "capabilities": ["referring", "semantic", "parts", *(["video"] if memory else [])],
        "vocabulary": sorted({*vocabulary(), *(photo_words() if recipe.photo else ())}),
        "follows_edges": True,  # so few cells a side cut corners
        "self_prompts": True,  # so few lessons in words leave outlines to clicks
        # And doubts where a larger one would be sure; on photographs it doubts too much, and all the way masks of small
        # things grew too large.
        "iou_thresholds": PHOTO_IOU_THRESHOLDS if recipe.photo else 1.0,
        "drops_strays": True,  # a small model wavers between things and takes pieces of several
        "licence": "Apache-2.0",
        "description": f"A small model trained on {SEEN[bool(recipe.photo)]}; bundled with the project.",
    }
    target = folder / "checkpoint"
    save_checkpoint(target, model, folder / "tokenizer", torch.float16, facts)
    facts["presence_threshold"] = presence_threshold(target, recipe.calibration_scenes, workers)
    save_checkpoint(target, model, folder / "tokenizer", torch.float16, facts)
    return target


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """The same recipe with few steps a stage: to see that everything runs."""
    return replace(recipe, calibration_scenes=2, **_each(recipe, lambda stage: replace(stage, steps=steps, warmup=1)))


def enlarged(recipe: Recipe, factor: int) -> Recipe:
    """The same recipe with ``factor`` times as many scenes a step, as a GPU likes it."""
    return replace(recipe, **_each(recipe, lambda stage: replace(stage, scenes=stage.scenes * factor)))


def _each(recipe: Recipe, change: Callable[[StageConfig], StageConfig]) -> dict[str, StageConfig]:
    configs = {name: getattr(recipe, name) for name in STAGES if name != "save"}
    return {name: change(config) for name, config in configs.items() if config}
