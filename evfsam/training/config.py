"""What a training run is made of: frozen, and written beside its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evfsam.modeling.config import EvfConfig

STAGES = ("distil", "segmenter", "grounding", "joint", "together", "finer", "sharper", "photo", "memory", "save")

# Share of phrases of each kind in a batch: hard referring ones most, for they are what the model is for.
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


@dataclass(frozen=True)
class StageConfig:
    """One stage: how long, how fast, how much at once. The rate falls linearly to zero after ``warmup`` steps."""

    steps: int
    learning_rate: float
    scenes: int  # a step
    prompts: int  # a scene
    warmup: int = 200
    weight_decay: float = 0.01
    shares: Mapping[str, float] = field(default_factory=KIND_SHARES.copy)  # of phrases, by kind
    # Share of the pictures that the segmenter sees without colour, where its image encoder learns by words: a decoder
    # that finds the red one by itself leaves the fusion unused.
    grey: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """How a bundled checkpoint is made, in the order of the published lineage; a stage that is None is left out.

    Attributes:
        name: the checkpoint's name.
        model: what is trained.
        vocabulary: size of the tokenizer that is trained on the world's phrases.
        first_seed, scenes: the rendered scenes, ``scenes`` of them.
        clip_frames: frames of rendered clips, one a clip, learned from as scenes are.
        aspects: their widths over their heights, taken in turn.
        distil: the image encoder learns to see as that of the checkpoint that the recipe continues.
        segmenter: the segmenter learns from points and boxes, as SAM did.
        grounding: the encoder learns to ground words in pictures by itself, as BEIT-3 arrives knowing them.
        joint: encoder, projector and mask decoder learn from phrases on frozen image features, as EVF-SAM did.
        together: the same, a little, with the image encoder learning as well.
        finer: encoder and projector go on with a finer copy of the picture, the segmenter frozen.
        sharper: ``together`` again, the segmenter with a finer picture too.
        photo: ``together`` on rendered scenes and photographs.
        memory: SAM-2's memory modules learn to follow things through clips, and the mask decoder to listen to them.
        clips: the rendered clips for ``memory``, of seeds from ``first_seed``.
        coarse_size: side of the copy that the encoder reads in the stages before ``finer``, in pixels; None if it is
            the model's own from the start.
        coarse_layers: layers of the encoder in those stages; None as well.
        coarse_picture: side of the picture that the segmenter reads in the stages before ``sharper``; None as well.
        photographs: samples made of photographs, for ``photo``.
        continues: the checkpoint this one starts from: its words, and what of its segmenter is of the same build; None
            to start from nothing.
        variety: the share of pictures that are learned from in other light or worse, and half as many phrases in
            other words. Features that are cached stay as they are.
        segmenter_rate: the segmenter's learning rate from ``joint`` on, relative to the encoder's.
        calibration_scenes: validation scenes on which the presence threshold is chosen.
        seed: of initialisation and sampling.
    """

    name: str
    model: EvfConfig
    vocabulary: int
    first_seed: int
    scenes: int
    clip_frames: int = 0
    distil: StageConfig | None = None
    segmenter: StageConfig | None = None
    grounding: StageConfig | None = None
    joint: StageConfig | None = None
    together: StageConfig | None = None
    finer: StageConfig | None = None
    sharper: StageConfig | None = None
    photo: StageConfig | None = None
    memory: StageConfig | None = None
    coarse_size: int | None = None
    coarse_layers: int | None = None
    coarse_picture: int | None = None
    clips: int = 0
    photographs: int = 0
    continues: str | None = None
    aspects: tuple[float, ...] = (1.0,)
    variety: float = 0.0
    segmenter_rate: float = 1.0
    calibration_scenes: int = 100
    seed: int = 0

    def model_of(self, stage: str) -> EvfConfig:
        """The model that a stage trains."""
        encoder, segmenter = self.model.encoder, self.model.segmenter
        if STAGES.index(stage) < STAGES.index("finer"):
            size, layers = self.coarse_size or encoder.image_size, self.coarse_layers or encoder.layers
            encoder = replace(encoder, image_size=size, layers=layers)
        if STAGES.index(stage) < STAGES.index("sharper"):
            segmenter = replace(segmenter, image_size=self.coarse_picture or segmenter.image_size)
        return replace(self.model, encoder=encoder, segmenter=segmenter)
