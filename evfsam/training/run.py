"""A recipe from its first stage to a checkpoint's folder. Every stage resumes where it stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from safetensors.torch import load_file, save_file
from torch import nn

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
from evfsam.training.cache import open_clips, open_features, open_photographs, open_scenes
from evfsam.training.calibration import presence_threshold
from evfsam.training.config import SAVE, Recipe, Source, Stage
from evfsam.training.grounding import GroundingHeads
from evfsam.training.init import continue_from, fit_state, initialise
from evfsam.training.loop import train
from evfsam.training.memory_stage import MemoryStage
from evfsam.training.parts import part_of
from evfsam.training.phrase_stage import PhraseStage, answers_of
from evfsam.training.point_stage import PointStage
from evfsam.training.sampler import Mixture, Sampler


def run(
    recipe: Recipe,
    folder: Path,
    stages: Sequence[str] = (),
    device: str | None = None,
    workers: int = 2,
    root: Path | None = None,
    base: str | Path | None = None,
) -> None:
    """Run the stages of a recipe.

    Started by ``torchrun --nproc_per_node N -m evfsam train``, N processes share the work: N times the batch.

    Args:
        folder: of the run: rendered data, tokenizer, states, metrics, and in the end ``checkpoint/``.
        stages: names, in the recipe's order, or "save"; all of them by default.
        device: "cpu" to keep off a GPU; else accelerate chooses.
        workers: processes that render, choose the presence threshold and, for a GPU, prepare batches.
        root: folder of the data set that the recipe reads, see :mod:`evfsam.data.ccp`.
        base: the checkpoint, by name or folder, that a recipe continues instead of its own choice.

    Raises InputError if a stage is unknown or starts from one that was not run, or if the data set is not there;
    CheckpointError if the checkpoint to continue is not there.
    """
    names = stages or [*(stage.name for stage in recipe.stages), SAVE]
    chosen = [recipe.stage(name) for name in names if name != SAVE]
    base = base or recipe.continues
    base = base and fetch(find(base))
    if any(source.name == "photographs" for source in recipe.sources):
        check_photographs(recipe, root)  # before anything is rendered
    accelerator = make_accelerator(device)
    with accelerator.main_process_first():
        data = prepare_run(recipe, folder, workers, root, base)
    for stage in chosen:
        run_stage(stage, recipe, folder, data, accelerator, base, workers)
        accelerator.wait_for_everyone()
    if SAVE in names and accelerator.is_main_process:
        save(recipe, folder, workers)
    accelerator.wait_for_everyone()


def make_accelerator(device: str | None = None) -> Accelerator:
    """The device, the processes and the precision of a run: bfloat16 on a GPU that has it."""
    # A pre-training-only token and, in some steps, a kind of point prompt get no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # Said explicitly: without a GPU, accelerate would not connect torchrun's processes.
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    # Not on a processor, even one that has it: the small products of the tiny recipes are slower with it.
    half = not on_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return Accelerator(cpu=on_cpu, mixed_precision="bf16" if half else "no", kwargs_handlers=[unused])


def prepare_run(recipe: Recipe, folder: Path, workers: int, root: Path | None, base: Path | None) -> Mixture:
    """The recipe's data and its tokenizer, made unless they are there."""
    size = recipe.model.segmenter.image_size
    datasets = [open_source(source, recipe, folder, size, workers, root) for source in recipe.sources]
    tokenizer_folder = folder / "tokenizer"
    tokenizer_folder.mkdir(parents=True, exist_ok=True)
    if base:
        copy_tokenizer(base, tokenizer_folder)
    elif not (tokenizer_folder / "tokenizer_config.json").exists():
        texts = [text for dataset in datasets for text in dataset.texts()]
        train_tokenizer([*vocabulary(), *texts[:100_000]], tokenizer_folder, recipe.vocabulary, fold_case=True)
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1))
    return Mixture(tuple(datasets), tuple(source.known for source in recipe.sources))


def open_source(source: Source, recipe: Recipe, folder: Path, size: int, workers: int, root: Path | None):
    """The data set of that name."""
    if source.name != "photographs":
        how = (recipe.first_seed, source.count, size, workers, recipe.aspects)
        return open_scenes(folder / "data" / source.name, *how, moving=source.name == "clip_frames")
    return open_photographs(folder / "data" / source.name, root, source.count, size, workers)


def check_photographs(recipe: Recipe, root: Path | None) -> None:
    """Raises InputError if the pack of photographs is not there."""
    if root is None:
        raise InputError(
            f"{recipe.name} learns from photographs: name the folder of the pack (--root), which "
            "python -m evfsam.data.ccp makes from a clone of bearpaw/clothing-co-parsing."
        )
    read_pack(root)


def run_stage(
    stage: Stage,
    recipe: Recipe,
    folder: Path,
    data: Mixture,
    accelerator: Accelerator,
    base: Path | None,
    workers: int = 0,
) -> None:
    """Train one stage and write its weights to ``folder/<stage>.safetensors``."""
    config = recipe.model_of(stage)
    origin = build_and_fill(base).eval().to(accelerator.device) if base else None
    model = new_model(config, recipe.seed)
    heads = GroundingHeads(config.encoder)
    if origin:
        continue_from(model, origin)
    load_stages(stage, recipe, folder, model, heads)
    model.to(accelerator.device)
    sampler = Sampler(data, config, load_tokenizer(folder / "tokenizer"), recipe.varied)
    if stage.kind == "points":
        module = PointStage(model, stage, sampler, recipe.seed, origin and features_of(origin))
    elif stage.kind == "memory":
        with accelerator.main_process_first():
            size = config.segmenter.image_size
            clips = open_clips(folder / "data" / "clips", recipe.first_seed, recipe.clips, size, workers)
        module = MemoryStage(model, stage, sampler, recipe.seed, clips)
    else:
        features = None
        if stage.cached_features:
            weights_id = str((folder / f"{stage.starts_from[0]}.safetensors").stat().st_mtime_ns)
            with accelerator.main_process_first():
                features = open_features(folder / "data" / "features", model, data, weights_id)
        # A checkpoint that reads other sizes of an image cannot be asked about these.
        teach = answers_of(origin) if origin and origin.config.pixels == config.pixels else None
        module = PhraseStage(model, stage, sampler, recipe.seed, heads, features, teach)
    ahead = workers if accelerator.device.type == "cuda" else 0
    train(module, folder, accelerator, ahead)
    if accelerator.is_main_process:
        state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        save_file(state, folder / f"{stage.name}.safetensors")


def features_of(model: EvfSam):
    """A checkpoint's image features without gradients, as :class:`PointStage` wants them from its teacher."""

    @torch.no_grad()
    def teach(pixels: torch.Tensor) -> torch.Tensor:
        return model.encode_image(pixels).image_embeddings

    return teach


def load_stages(stage: Stage, recipe: Recipe, folder: Path, model: EvfSam, heads: nn.Module) -> None:
    """Give a model and its grounding heads the weights that a stage starts from."""
    for number, name in enumerate(stage.starts_from):
        path = folder / f"{name}.safetensors"
        if not path.exists():
            raise InputError(f"Stage {stage.name} starts from {name}, which was not run: add it to --stages.")
        state = load_file(path)
        if number:
            state = {key: value for key, value in state.items() if part_of(key) in recipe.stage(name).trains}
        of_heads = {key.removeprefix("heads."): value for key, value in state.items() if key.startswith("heads.")}
        of_model = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
        if of_heads:
            heads.load_state_dict(of_heads)
        model.load_state_dict(model.state_dict() | fit_state(of_model, model.config))


def new_model(config: EvfConfig, seed: int) -> EvfSam:
    """A model with its initial weights, the same from the same seed."""
    set_seed(seed)
    model = build_model(config)
    initialise(model)
    return model


def save(recipe: Recipe, folder: Path, workers: int = 1) -> Path:
    """Write the last stage that was run as a checkpoint in the published layout to ``folder/checkpoint``.

    Without a trained memory the checkpoint is for images only and leaves those modules out.

    Args:
        workers: processes that share the scenes on which the presence threshold is chosen.
    """
    done = [stage for stage in recipe.stages if (folder / f"{stage.name}.safetensors").exists()]
    if not done:
        raise InputError(f"No stage of {recipe.name} was run in {folder}: leave --stages out to run all of them.")
    last, config = done[-1], recipe.model_of(done[-1])
    if last.kind != "memory" and config.segmenter.kind == "sam2":
        config = replace(config, segmenter=replace(config.segmenter, memory=False))
    model = build_model(config)
    state = load_file(folder / f"{last.name}.safetensors")
    model.load_state_dict({name: state[f"model.{name}"] for name in model.state_dict()})
    photographs = any(source.name == "photographs" for source in recipe.sources)
    seen = "rendered scenes and street photographs" if photographs else "rendered scenes"
    facts = {
        "capabilities": ["referring", "semantic", "parts", *(["video"] if last.kind == "memory" else [])],
        "vocabulary": sorted({*vocabulary(), *(photo_words() if photographs else ())}),
        "licence": "Apache-2.0",
        "description": f"A small model trained on {seen}; bundled with the project.",
        "refinement": recipe.refinement.to_config(),
    }
    target = folder / "checkpoint"
    save_checkpoint(target, model, folder / "tokenizer", torch.float16, facts)
    threshold = presence_threshold(target, recipe.calibration_scenes, workers)
    facts["refinement"] = replace(recipe.refinement, reject_below=threshold).to_config()
    save_checkpoint(target, model, folder / "tokenizer", torch.float16, facts)
    return target
