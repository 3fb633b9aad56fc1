"""The end of a run: a checkpoint in the published layout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.refersam import build_refersam, save_refersam
from evfsam.checkpoints.registry import describe_folder
from evfsam.checkpoints.save import save_checkpoint
from evfsam.data.ccp import words as photo_words
from evfsam.data.sample import Sample
from evfsam.data.scenes import VALIDATION, vocabulary
from evfsam.data.scenes.dataset import SceneDataset
from evfsam.errors import InputError
from evfsam.modeling.build import build_model
from evfsam.modeling.refersam.config import ReferSamConfig
from evfsam.predictor import Predictor
from evfsam.processing.text import WORD
from evfsam.refine.refinement import Refinement
from evfsam.refine.rejection import presence_logits
from evfsam.runtime import choose_runtime
from evfsam.training.config import Recipe
from evfsam.training.sampler import Mixture, readable

# Of the prompts that name something, at most this share may be rejected. Some kinds are rejected more often than the
# mean, and an empty mask for a thing that is there costs more than a mask too many, which people see.
REJECTED = 0.035


def save(recipe: Recipe, folder: Path, data: Mixture, base: Path | None = None) -> Path:
    """Write the last stage that was run as a checkpoint in the published layout to ``folder/checkpoint``.

    SAM-2's memory is left out unless it was trained, or came with weights whose image encoder did not change since.

    Args:
        base: the checkpoint that the recipe continues.
    """
    done = [stage for stage in recipe.stages if (folder / f"{stage.name}.safetensors").exists()]
    if not done:
        raise InputError(f"No stage of {recipe.name} was run in {folder}: leave --stages out to run all of them.")
    last, config = done[-1], recipe.model_of(done[-1])
    if isinstance(config, ReferSamConfig):
        model = build_refersam(config)
        state = load_file(folder / f"{last.name}.safetensors")
        model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in state.items()})
        return save_refersam(folder / "checkpoint", model, folder / "tokenizer")
    came_trained = (base or recipe.foundation) and not any("image_encoder" in stage.trains for stage in done)
    if config.segmenter.kind == "sam2" and last.kind != "memory" and not came_trained:
        config = replace(config, segmenter=replace(config.segmenter, memory=False))
    model = build_model(config)
    state = load_file(folder / f"{last.name}.safetensors")
    model.load_state_dict({name: state[f"model.{name}"] for name in model.state_dict()})
    facts, refinement = checkpoint_facts(recipe, data, base)
    tracks = config.segmenter.kind == "sam2" and config.segmenter.memory
    facts["capabilities"] = [*(able for able in facts["capabilities"] if able != "video"), *(["video"] * tracks)]
    target = folder / "checkpoint"

    def write() -> None:
        save_checkpoint(
            target, model, folder / "tokenizer", torch.float16, facts | {"refinement": refinement.to_config()}
        )

    write()
    if refinement.reject_below is not None:
        refinement = replace(refinement, reject_below=presence_threshold(target, calibration_samples(recipe, data)))
        write()
    return target


def checkpoint_facts(recipe: Recipe, data: Mixture, base: Path | None) -> tuple[dict[str, object], Refinement]:
    """What a checkpoint's ``config.json`` says beside the model. ``reject_below`` is yet to be chosen, unless None."""
    names = [source.name for source in recipe.sources]
    if not all(source.made_here for source in recipe.sources):
        facts = {
            "capabilities": ["referring", *(["semantic", "parts"] if len(names) > 3 else [])],
            "trained_on": ["photographs"],
            "licence": "unknown",
            "description": f"Trained on {', '.join(names)} by the recipe {recipe.name}",
        }
        if base is None and not recipe.foundation:  # its own tokenizer and its own few words
            said = {word.lower() for text in data.texts() for word in WORD.findall(text)} - {"semantic"}
            facts |= {"capabilities": ["referring", "semantic"], "vocabulary": sorted(said)}
        if base is None:
            return facts, recipe.refinement
        info = describe_folder(base)
        facts |= {"capabilities": list(info.capabilities), "licence": info.licence}
        facts["trained_on"] = list(dict.fromkeys([*info.trained_on, "photographs"]))
        facts["description"] = f"{info.name}, fine-tuned on {', '.join(names)}"
        if info.vocabulary:
            said = {word.lower() for text in data.texts() for word in WORD.findall(text)}
            facts["vocabulary"] = sorted({*info.vocabulary, *said} - {"semantic"})
        return facts, info.refinement
    photographs = "photographs" in names
    seen = "rendered scenes and street photographs" if photographs else "rendered scenes"
    facts = {
        "capabilities": ["referring", "semantic", "parts"],
        "trained_on": ["drawn scenes", *(["photographs"] if photographs else [])],
        "vocabulary": sorted({*vocabulary(), *(photo_words() if photographs else ())}),
        "licence": "Apache-2.0",
        "description": f"A small model trained on {seen}; bundled with the project.",
    }
    return facts, recipe.refinement


def calibration_samples(recipe: Recipe, data: Mixture) -> Iterator[Sample]:
    """Validation scenes if all data are rendered; otherwise some of the training samples, evenly spread."""
    if all(source.made_here for source in recipe.sources):
        scenes = SceneDataset(VALIDATION[: recipe.calibration_scenes])
        return (scenes[i] for i in range(len(scenes)))
    step = max(1, len(data) // recipe.calibration_scenes)
    return (data[i] for i in range(0, len(data), step))


def presence_threshold(checkpoint: Path, samples: Iterable[Sample]) -> float | None:
    """The highest threshold, 0..1, that rejects at most :data:`REJECTED` of what is there.

    None if no prompt of the samples is absent: a model that never saw absent prompts predicts presence for all.

    Args:
        checkpoint: folder of the published layout.
        samples: what the model is asked about.
    """
    predictor, presences, absent = Predictor(load_checkpoint(checkpoint), choose_runtime("cpu")), [], False
    for sample in samples:
        there = [prompt.text for prompt in sample.prompts if prompt.mask.any() and readable(prompt.text)]
        absent |= not all(prompt.mask.any() for prompt in sample.prompts)
        if there:
            masks, _ = predictor.decode(predictor.encode(sample.image), there, [None] * len(there))
            presences += presence_logits(masks).sigmoid().tolist()
    if not absent or not presences:
        return None
    return math.floor(10_000 * float(np.quantile(presences, REJECTED))) / 10_000
