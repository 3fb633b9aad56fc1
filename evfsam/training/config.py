"""A training run as rows of data: a recipe, its stages, its sources. Frozen, and written beside the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evfsam.errors import InputError
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.refersam.config import ReferSamConfig
from evfsam.refine.refinement import Refinement

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

    The optimizer is AdamW. The learning rate rises for ``warmup`` steps and falls linearly to zero at the last step.

    Attributes:
        name: of the stage; its weights go to ``<name>.safetensors``.
        kind: "points" (images without words), "phrases", "memory" (clips), or "refersam" (phrases).
        trains: parts of the model that learn, of :data:`evfsam.training.parts.PARTS`; the others are frozen.
        losses: weight of each loss. Of "points": "points" (point and box prompts), "features" (equal the features
            of the checkpoint that the recipe continues). Of "phrases": "masks", "grounding" (which image tokens a
            prompt covers), "corrections" (a click after the answer), "points", "kept" (answer as the checkpoint that
            the recipe continues). Of "memory": "clips", "masks", "points". Of "refersam": "masks", "coarse", "tokens".
        steps: optimizer steps.
        images, prompts: images that one process reads at a time, and prompts of each.
        batch: images in an optimizer step, over all processes; gradients are accumulated until they are read. None for
            one reading by each process.
        starts_from: earlier stages. The first gives the whole model, each of the others only the parts that it
            trained. Empty to start from the recipe's initial weights.
        image_size, encoder_size, encoder_layers: side of the segmenter's and of the encoder's image in pixels, and
            the encoder's depth; None for the model's own.
        mask_losses: weights inside "masks", see :func:`evfsam.training.losses.mask_losses`.
        full_size: "masks" is computed at each image's own size, as in the official code, not at the decoder's.
        rates: learning rate of a part, relative to ``learning_rate``.
        shares: of prompts by kind; None to take up to ``prompts`` different ones of each image.
        mirror: share of images that are mirrored; "left" becomes "right" in their prompts.
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
    full_size: bool = False
    mirror: float = 0.0
    grey: float = 0.0
    cached_features: bool = False
    batch: int | None = None
    warmup: int = 200
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)

    def accumulation(self, processes: int) -> int:
        """How many readings make an optimizer step. Raises InputError if ``batch`` is no multiple of a reading."""
        reading = self.images * processes
        if self.batch is None:
            return 1
        if self.batch % reading:
            raise InputError(
                f"A batch of {self.batch} images cannot be made of {processes} processes with {self.images} images "
                f"each: choose --images so that their product divides {self.batch}."
            )
        return self.batch // reading


@dataclass(frozen=True)
class Source:
    """A data set that a recipe learns from.

    Attributes:
        name: "scenes", "clip_frames" (rendered), "photographs" (composed of Clothing Co-Parsing), or "name:split" as
            :func:`evfsam.data.registry.open_dataset` reads it.
        count: samples of it; None for all.
        weight: how often an image is drawn from it, relative to the other sources. None in all of them to draw every
            sample equally often.
        known: the checkpoint that the recipe continues has learned it, so the loss "kept" counts on it.
    """

    name: str
    count: int | None = None
    known: bool = False
    weight: float | None = None

    @property
    def made_here(self) -> bool:
        """Whether training renders or composes it, rather than read it."""
        return self.name in ("scenes", "clip_frames", "photographs")


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is made.

    Attributes:
        name: of the recipe and of its run's folder.
        model: what is trained; None for the model of the checkpoint that the recipe continues.
        stages: in their order.
        sources: the data, of which images are drawn at random.
        vocabulary: size of the tokenizer that is trained on the prompts; unused where a tokenizer is given.
        aspects: widths of rendered scenes over their heights, taken in turn.
        clips: rendered clips for a stage of kind "memory".
        continues: the checkpoint this one starts from: its tokenizer, its encoder, and those modules of its
            segmenter that are of the same build. None to start from random weights, or from foundation models.
        foundation: starts from SAM's or SAM-2's and BEIT-3's published files.
        varied: share of images that are learned from in other light or quality; half as many prompts are reworded.
        calibration_scenes: validation scenes on which the presence threshold is chosen.
        first_seed: of the rendered scenes.
        seed: of initialisation and sampling.
        refinement: of the checkpoint, beside the presence threshold.
    """

    name: str
    model: EvfConfig | ReferSamConfig | None
    stages: tuple[Stage, ...]
    sources: tuple[Source, ...]
    vocabulary: int = 0
    aspects: tuple[float, ...] = (1.0,)
    clips: int = 0
    continues: str | None = None
    foundation: bool = False
    varied: float = 0.0
    calibration_scenes: int = 100
    first_seed: int = 0
    seed: int = 0
    refinement: Refinement = Refinement()

    @property
    def renders_all(self) -> bool:
        """Whether all of its data are rendered, so that nothing has to be fetched."""
        return bool(self.sources) and all(source.name in ("scenes", "clip_frames") for source in self.sources)

    def stage(self, name: str) -> Stage:
        """Raises InputError for a name that no stage has."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        known = ", ".join([*(stage.name for stage in self.stages), SAVE])
        raise InputError(f"The recipe {self.name} has no stage {name!r}; choose from {known}.")

    def model_of(self, stage: Stage) -> EvfConfig | ReferSamConfig:
        """The model that a stage trains."""
        if isinstance(self.model, ReferSamConfig):  # its ViT reads images of any size
            return self.model
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
            few = tuple(replace(source, count=min(source.count or samples, samples)) for source in self.sources)
            recipe = replace(recipe, sources=few, clips=min(self.clips, samples))
        return recipe
