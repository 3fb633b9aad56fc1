"""The recipe of the bundled ReferSAM, for a processor."""

from __future__ import annotations

from dataclasses import replace

from evfsam.modeling.refersam.config import ReferSamConfig, TextConfig
from evfsam.training.bundled_recipes import ASPECTS, TINY_SAM, TINY_VOCABULARY
from evfsam.training.config import Recipe, Source, Stage

_STAGE = Stage(
    name="refersam",
    kind="refersam",
    trains=("encoder", "interactor", "image_encoder", "prompt_encoder", "decoder"),
    losses={"masks": 1.0, "coarse": 1.0, "tokens": 1.0},
    steps=600,
    learning_rate=3e-4,
    images=3,
    prompts=6,
    # So short a training learns names and colours first.
    shares={
        "colour": 0.25,
        "place": 0.15,
        "relation": 0.05,
        "size": 0.03,
        "name": 0.12,
        "stuff": 0.1,
        "things": 0.2,
        "parts": 0.05,
        "absent": 0.05,
    },
    # SAM knows these scenes already.
    rates={"image_encoder": 0.25, "prompt_encoder": 0.25, "decoder": 0.25},
    warmup=20,
)

REFERSAM_TINY = Recipe(
    name="refersam-tiny",
    model=ReferSamConfig(
        segmenter=replace(TINY_SAM, image_size=128),
        text=TextConfig("bert", TINY_VOCABULARY + 8, 160, 2, 4, 320, 64, 1),
        stem_width=32,
        inner_width=96,
        heads=6,
        feed_forward_ratio=1.0,
        groups=((0, 1), (2, 2), (3, 3), (4, 4)),
        extra_layers=1,
    ),
    stages=(
        # First the words alone, on images too small to show anything: EVF-SAM's prompt tokens follow mostly from them.
        replace(
            _STAGE,
            name="words",
            trains=("encoder", "interactor"),
            losses={"tokens": 1.0},
            steps=300,
            image_size=32,
            images=4,
            prompts=16,
        ),
        replace(_STAGE, starts_from=("words",)),
        # The same again, with more that the image does not show.
        replace(
            _STAGE, name="absent", starts_from=("refersam",), shares=_STAGE.shares | {"absent": 0.2}, learning_rate=2e-4
        ),
    ),
    sources=(Source("scenes", 5000),),
    vocabulary=TINY_VOCABULARY,
    aspects=ASPECTS,
    continues="evf-sam-tiny",
)
