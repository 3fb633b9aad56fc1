"""A recipe from its first stage to a checkpoint's folder. Every stage resumes where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from safetensors.torch import load_file, save_file
from torch import nn

from evfsam.checkpoints.fetch import fetch
from evfsam.checkpoints.load import build_and_fill
from evfsam.checkpoints.registry import find
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.errors import InputError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.refersam.config import ReferSamConfig
from evfsam.training.cache import open_clips, open_features, open_moving_photographs
from evfsam.training.config import SAVE, Recipe, Stage
from evfsam.training.export import save
from evfsam.training.foundation import Foundation, load_foundation
from evfsam.training.grounding import GroundingHeads
from evfsam.training.imagenet import fold_into, imagenet_weights
from evfsam.training.init import continue_from, fit_state, initialise
from evfsam.training.loop import train
from evfsam.training.memory_stage import MemoryStage
from evfsam.training.parts import part_of
from evfsam.training.phrase_stage import PhraseStage, answers_of
from evfsam.training.point_stage import PointStage
from evfsam.training.refersam_stage import refersam_stage
from evfsam.training.sampler import Mixture, Sampler
from evfsam.training.sources import claim, open_source, prepare_run


def run(
    recipe: Recipe,
    folder: Path,
    stages: Sequence[str] = (),
    device: str | None = None,
    workers: int = 2,
    root: Path | None = None,
    base: str | Path | None = None,
    foundation: Foundation | None = None,
    tensorboard: bool = False,
) -> None:
    """Run the stages of a recipe.

    Started by ``torchrun --nproc_per_node N -m evfsam train``, N processes share the work: N times the batch, or, where
    the stage fixes its batch, less accumulation.

    Args:
        folder: of the run: rendered data, tokenizer, states, metrics, and in the end ``checkpoint/``.
        stages: names, in the recipe's order, or "save"; all of them by default.
        device: "cpu" to keep off a GPU; else accelerate chooses.
        workers: processes that render and, for a GPU, prepare batches.
        root: folder of the data sets that the recipe reads.
        base: the checkpoint, by name or folder, that a recipe continues instead of its own choice.
        foundation: files of the foundation models, for a recipe that starts from them.
        tensorboard: also write the metrics for TensorBoard.

    Raises InputError if a stage is unknown or starts from one that was not run, if a data set is not there, or if the
    folder holds another run;
    CheckpointError if the checkpoint to continue or a file of a foundation model is not there.
    """
    names = stages or [*(stage.name for stage in recipe.stages), SAVE]
    chosen = [recipe.stage(name) for name in names if name != SAVE]
    if recipe.foundation and foundation is None:
        raise InputError(
            f"{recipe.name} starts from foundation models: name their files by --segmenter-weights, "
            "--encoder-weights and --tokenizer."
        )
    base = base or recipe.continues
    said = str(base or "")
    base = base and fetch(find(base))
    if recipe.model is None:
        if base is None:
            raise InputError(f"{recipe.name} continues a checkpoint: name it by --model.")
        recipe = replace(recipe, model=build_and_fill(base).config)
    sources = [open_source(source, recipe, folder, root, workers) for source in recipe.sources]
    accelerator = make_accelerator(device, folder if tensorboard else None)
    with accelerator.main_process_first():
        claim(folder, recipe, said)
        data = prepare_run(recipe, folder, [make() for make in sources], base or foundation)
    start = base or foundation
    for stage in chosen:
        run_stage(stage, recipe, folder, data, accelerator, start, workers, root)
        accelerator.wait_for_everyone()
    if SAVE in names and accelerator.is_main_process:
        save(recipe, folder, data, base)
    accelerator.wait_for_everyone()
    accelerator.end_training()


def make_accelerator(device: str | None = None, tensorboard: Path | None = None) -> Accelerator:
    """The device, the processes and the precision of a run: bfloat16 on a GPU that has it, unless accelerate's own
    configuration says otherwise.
    """
    # A pre-training-only token and, in some steps, a kind of point prompt get no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # Said explicitly: without a GPU, accelerate would not connect torchrun's processes.
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    # Not on a processor, even one that has it: the small products of the tiny recipes are slower with it.
    half = not on_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    how = {"mixed_precision": os.environ.get("ACCELERATE_MIXED_PRECISION", "bf16" if half else "no")}
    if tensorboard:
        if find_spec("tensorboard") is None:
            raise InputError("--tensorboard needs the package: python -m pip install tensorboard.")
        how |= {"log_with": "tensorboard", "project_dir": str(tensorboard)}
    accelerator = Accelerator(cpu=on_cpu, kwargs_handlers=[unused], **how)
    if tensorboard:
        accelerator.init_trackers("tensorboard")
    return accelerator


def run_stage(
    stage: Stage,
    recipe: Recipe,
    folder: Path,
    data: Mixture,
    accelerator: Accelerator,
    start: Path | Foundation | None,
    workers: int = 0,
    root: Path | None = None,
) -> None:
    """Train one stage and write its weights to ``folder/<stage>.safetensors``."""
    config = recipe.model_of(stage)
    if _finished(folder, stage):
        return
    if "grounding" in stage.losses and (config.encoder.kind != "beit3" or config.encoder.fusion == "text"):
        raise InputError(
            f"Stage {stage.name} trains image tokens of BEIT-3: leave its loss grounding out, or --encoder."
        )
    base = start if isinstance(start, Path) else None
    origin = build_and_fill(base).eval() if base else None
    if isinstance(config, ReferSamConfig):
        _learn(refersam_stage(stage, recipe, folder, data, origin, accelerator.device), folder, accelerator, workers)
        return
    if origin and "features" in stage.losses:  # cell for cell what the teacher sees, so at its size
        size = origin.config.segmenter.image_size
        config = replace(config, segmenter=replace(config.segmenter, image_size=size))
    model = new_model(config, recipe.seed, start if isinstance(start, Foundation) else None)
    heads = GroundingHeads(config.encoder)
    if origin:
        continue_from(model, origin)
        # On the device only where it teaches: a large one would take memory that training needs.
        origin = origin.to(accelerator.device) if {"features", "kept"} & set(stage.losses) else None
    load_stages(stage, recipe, folder, model, heads)
    model.to(accelerator.device)
    sampler = Sampler(data, config, load_tokenizer(folder / "tokenizer"), recipe.varied)
    if stage.kind == "points":
        module = PointStage(model, stage, sampler, recipe.seed, origin and features_of(origin))
    elif stage.kind == "memory":
        with accelerator.main_process_first():
            size = config.segmenter.image_size
            if recipe.renders_all or root is None:
                clips = open_clips(folder / "data" / "clips", recipe.first_seed, recipe.clips, size, workers)
            else:
                clips = open_moving_photographs(folder / "data" / "clips", root, recipe.clips, size, workers)
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
    _learn(module, folder, accelerator, workers)


def _learn(module: nn.Module, folder: Path, accelerator: Accelerator, workers: int) -> None:
    """Train the module of a stage and write its weights."""
    train(module, folder, accelerator, workers if accelerator.device.type == "cuda" else 0)
    if accelerator.is_main_process:
        state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        save_file(state, folder / f"{module.stage.name}.safetensors")


def features_of(model: EvfSam) -> Callable:
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


def new_model(config: EvfConfig, seed: int, foundation: Foundation | None = None) -> EvfSam:
    """A model with its initial weights, the same from the same seed."""
    set_seed(seed)
    model = build_model(config)
    if foundation:
        load_foundation(model, foundation)  # and the projector as the package makes it, as in the official code
    else:
        initialise(model)
        if config.shares_trunk:
            fold_into(model.visual_model.image_encoder.trunk, imagenet_weights())
    return model


def _finished(folder: Path, stage: Stage) -> bool:
    path = folder / stage.name / "step.json"
    done = path.exists() and json.loads(path.read_text())["step"] == stage.steps
    return done and (folder / f"{stage.name}.safetensors").exists()
