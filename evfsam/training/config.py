"""A training run as rows of data: a recipe, its stages, its sources. Frozen, and written beside the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evfsam.errors import InputError
from evfsam.modeling.config import EvfConfig
from evfsam.refine.refinement import Refinement

KINDS = ("points", "phrases", "memory")  # of stages
SAVE = "save"  # comes after the last stage

# Share of prompts of each kind in a batch. Hard referring ones are asked most: they are what the model is for.
KIND_SHARES = {
    "colour": 0.15,
    "place": 0.17,
    "relation": 0.17,
    "size": 0.08,
    "name": 0.06,
    "stuff": 0.07,
    "things": 0.10,
    "parts": 0.10,
    "absent": 0.10,
}

# BCE and dice are the paper's (section 4.1); the two others teach the decoder's scores and are small.
MASK_LOSSES = {"bce": 1.0, "dice": 1.0, "iou_head": 0.1, "presence": 0.5}


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe: what learns, from which losses, how long and how fast.

    The learning rate rises for ``warmup`` steps and falls linearly to zero at the last step.

    Attributes:
        name: of the stage; its weights go to ``<name>.safetensors``.
        kind: "points" (images without words), "phrases", or "memory" (clips).
        trains: parts of the model that learn, of :data:`evfsam.training.parts.PARTS`; the others are frozen.
        losses: weight of each loss. Of "points": "points" (point and box prompts), "features" (equal the features
            of the checkpoint that the recipe continues). Of "phrases": "masks", "grounding" (which image tokens a
            prompt covers), "corrections" (a click after the answer), "points", "kept" (answer as the checkpoint that
            the recipe continues). Of "memory": "clips", "masks", "points".
        steps: optimizer steps.
        images, prompts: images in a batch, and prompts of each.
        starts_from: earlier stages. The first gives the whole model, each of the others only the parts that it
            trained. Empty to start from the recipe's initial weights.
        image_size, encoder_size, encoder_layers: side of the segmenter's and of the encoder's image in pixels, and
            the encoder's depth; None for the model's own.
        mask_losses: weights inside "masks", see :func:`evfsam.training.losses.mask_losses`.
        rates: learning rate of a part, relative to ``learning_rate``.
        shares: of prompts by kind; None to take up to ``prompts`` different ones of each image.
        grey: share of images that the segmenter sees without colour. A decoder that finds the red one by itself
            would leave the fusion of image and text unused.
        cached_features: the image encoder is frozen and its features of every image are kept on disk.
    """

    name: str
    kind: str
    trains: tuple[str, ...]
    losses: Mapping[str, float]
    steps: int
    learning_rate: float
    images: int
    prompts: int
    starts_from: tuple[str, ...] = ()
    image_size: int | None = None
    encoder_size: int | None = None
    encoder_layers: int | None = None
    mask_losses: Mapping[str, float] = field(default_factory=MASK_LOSSES.copy)
    rates: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] | None = field(default_factory=KIND_SHARES.copy)
    grey: float = 0.0
    cached_features: bool = False
    warmup: int = 200
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Source:
    """A data set that a recipe learns from.

    Attributes:
        name: "scenes", "clip_frames" (rendered), or "photographs" (composed of Clothing Co-Parsing).
        count: samples of it.
        known: the checkpoint that the recipe continues has learned it, so the loss "kept" counts on it.
    """

    name: str
    count: int
    known: bool = False


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is made.

    Attributes:
        name: of the recipe and of its run's folder.
        model: what is trained.
        stages: in their order.
        sources: the data; an image is drawn from all of them together, each equally often.
        vocabulary: size of the tokenizer that is trained on the prompts; unused with ``continues``.
        aspects: widths of rendered scenes over their heights, taken in turn.
        clips: rendered clips for a stage of kind "memory".
        continues: the checkpoint this one starts from: its tokenizer, its encoder, and those modules of its
            segmenter that are of the same build. None to start from random weights.
        varied: share of images that are learned from in other light or quality; half as many prompts are reworded.
        calibration_scenes: validation scenes on which the presence threshold is chosen.
        first_seed: of the rendered scenes.
        seed: of initialisation and sampling.
        refinement: of the checkpoint, beside the presence threshold.
    """

    name: str
    model: EvfConfig
    stages: tuple[Stage, ...]
    sources: tuple[Source, ...]
    vocabulary: int
    aspects: tuple[float, ...] = (1.0,)
    clips: int = 0
    continues: str | None = None
    varied: float = 0.0
    calibration_scenes: int = 100
    first_seed: int = 0
    seed: int = 0
    refinement: Refinement = Refinement()

    def stage(self, name: str) -> Stage:
        """Raises InputError for a name that no stage has."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        known = ", ".join([*(stage.name for stage in self.stages), SAVE])
        raise InputError(f"The recipe {self.name} has no stage {name!r}; choose from {known}.")

    def model_of(self, stage: Stage) -> EvfConfig:
        """The model that a stage trains."""
        encoder, segmenter = self.model.encoder, self.model.segmenter
        size, layers = stage.encoder_size or encoder.image_size, stage.encoder_layers or encoder.layers
        return replace(
            self.model,
            encoder=replace(encoder, image_size=size, layers=layers),
            segmenter=replace(segmenter, image_size=stage.image_size or segmenter.image_size),
        )

    def each_stage(self, **changes) -> Recipe:
        """The same recipe with some fields of every stage changed."""
        return replace(self, stages=tuple(replace(stage, **changes) for stage in self.stages))

    def scaled(self, factor: int) -> Recipe:
        """The same recipe with ``factor`` times as many images in a batch."""
        return replace(self, stages=tuple(replace(stage, images=stage.images * factor) for stage in self.stages))

    def shortened(self, steps: int | None = None, samples: int | None = None) -> Recipe:
        """The same recipe with few steps in every stage and few samples, to see that everything runs."""
        recipe = self
        if steps:
            recipe = replace(recipe.each_stage(steps=steps, warmup=1), calibration_scenes=2)
        if samples:
            few = tuple(replace(source, count=min(source.count, samples)) for source in self.sources)
            recipe = replace(recipe, sources=few, clips=min(self.clips, samples))
        return recipe
