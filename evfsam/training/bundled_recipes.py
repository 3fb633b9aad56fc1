"""The recipes of the bundled checkpoints: tiny models, trained from nothing on rendered scenes."""

from __future__ import annotations

from dataclasses import replace

from evfsam.modeling.config import Beit3Config, EfficientSamConfig, EvfConfig, Sam2Config, SamConfig
from evfsam.refine.refinement import Refinement
from evfsam.training.config import KIND_SHARES, Recipe, Source, Stage
from evfsam.training.parts import SEGMENTER

TINY_VOCABULARY = 256  # pieces; the rendered world says about 150 words

TINY_ENCODER = Beit3Config(
    width=160,
    layers=7,
    heads=4,
    feed_forward=640,
    vocabulary=TINY_VOCABULARY + 8,  # pieces, and the special tokens around them
    image_size=256,
    patch_size=16,
    text_positions=66,
)

# For the end: kinds that score well by then are asked less, the others more.
HARD_SHARES = KIND_SHARES | {
    "colour": 0.11,
    "relation": 0.19,
    "name": 0.04,
    "stuff": 0.03,
    "things": 0.15,
    "parts": 0.2,
    "absent": 0.17,
}

# Widths over heights, taken in turn: people's images are rarely square, and some are panoramas.
ASPECTS = (1.0, 1.0, 1.0, 4 / 3, 3 / 4, 16 / 9, 2 / 3, 3.0, 1 / 3)

TINY_SAM2 = Sam2Config(
    image_size=384,
    width=32,
    stages=(1, 2, 3, 1),
    heads=1,
    global_attention_blocks=(5,),
    windows=(8, 4, 8, 8),
    embedding_width=128,
    decoder_feed_forward=512,
    extra_masks=False,
    memory_width=32,
    memory_layers=2,
    memory_feed_forward=256,
)

TINY_SAM = SamConfig(
    image_size=384,
    patch_size=16,
    width=192,
    depth=5,
    heads=6,
    global_attention_blocks=(2, 4),
    window=8,
    embedding_width=128,
    decoder_feed_forward=512,
)

# EfficientSAM's Ti is 192 wide and 12 blocks deep; the authors of EVF-SAM released no weights with it.
TINY_EFFICIENT_SAM = EfficientSamConfig(
    image_size=384, width=192, depth=5, heads=3, embedding_width=128, decoder_feed_forward=512
)

WORDS = ("encoder", "projector", "heads")
SAM2_SEGMENTER = ("trunk", *SEGMENTER)
# Every stage with masks also trains point prompts on the same images. Without them the decoder forgot boxes, and the
# outlines for text prompts stayed poor.
ALL_LOSSES = {"masks": 1.0, "grounding": 0.3, "corrections": 0.5, "points": 0.5}
FROZEN_SEGMENTER = {"masks": 1.0, "grounding": 0.3, "corrections": 0.5}

# A small model has few mask cells, so its outlines cut corners. It also mixes pieces of several things, so a second
# decoding with a point helps. ``reject_below`` is chosen again when the model is saved.
SMALL_MODEL = Refinement(reject_below=0.5, point_refinement=True, guided_filter=True)

COARSE = {"image_size": 256, "encoder_size": 128, "encoder_layers": 5}  # quicker to learn from, at first
TINY_STAGES = (
    Stage(
        name="segmenter",
        kind="points",
        trains=SAM2_SEGMENTER,
        losses={"points": 1.0},
        steps=2800,
        learning_rate=8e-4,
        images=4,
        prompts=8,
        **COARSE,
    ),
    Stage(
        name="grounding",
        kind="phrases",
        trains=("encoder", "heads"),
        losses={"grounding": 1.0},
        steps=2600,
        learning_rate=4e-4,
        images=4,
        prompts=8,
        **COARSE,
    ),
    Stage(
        name="joint",
        kind="phrases",
        trains=(*WORDS, "decoder"),
        losses=ALL_LOSSES,
        steps=1800,
        learning_rate=3e-4,
        images=4,
        prompts=8,
        starts_from=("segmenter", "grounding"),
        cached_features=True,
        **COARSE,
    ),
    Stage(
        name="all-256",
        kind="phrases",
        trains=(*WORDS, *SAM2_SEGMENTER),
        losses=ALL_LOSSES,
        steps=6000,
        learning_rate=4e-4,
        images=3,
        prompts=6,
        starts_from=("joint",),
        warmup=100,
        **COARSE,
    ),
    Stage(
        name="encoder-256",
        kind="phrases",
        trains=WORDS,
        losses=FROZEN_SEGMENTER,
        steps=3200,
        learning_rate=2e-4,
        images=4,
        prompts=6,
        starts_from=("all-256",),
        warmup=100,
        shares=HARD_SHARES,
        cached_features=True,
        image_size=256,
    ),
    # Long: scores had risen to its end after 3,400 steps of 40 images.
    Stage(
        name="all-384",
        kind="phrases",
        trains=(*WORDS, *SAM2_SEGMENTER),
        losses=ALL_LOSSES,
        steps=4200,
        learning_rate=6e-4,
        images=4,
        prompts=6,
        starts_from=("encoder-256",),
        warmup=100,
        shares=HARD_SHARES,
        grey=0.2,
    ),
    Stage(
        name="memory",
        kind="memory",
        trains=("memory", "decoder"),
        losses={"clips": 1.0, "masks": 0.5, "points": 0.5},
        steps=700,
        learning_rate=8e-4,
        images=1,
        prompts=4,
        starts_from=("all-384",),
        rates={"decoder": 0.3},
        warmup=50,
    ),
)

# For a GPU, with eight times the images in a batch (--batch 8).
EVF_SAM2_TINY = Recipe(
    name="evf-sam2-tiny",
    model=EvfConfig(encoder=TINY_ENCODER, segmenter=TINY_SAM2, multimask=False),
    stages=TINY_STAGES,
    sources=(Source("scenes", 20000), Source("clip_frames", 10000)),
    vocabulary=TINY_VOCABULARY,
    aspects=ASPECTS,
    clips=500,
    varied=0.3,
    refinement=SMALL_MODEL,
)


def _on_a_processor(stage: Stage) -> Stage:
    shorter = {"all-256": 4800, "encoder-256": 2400}
    starts_from = ("encoder-256",) if stage.name == "memory" else stage.starts_from
    image_size = 256 if stage.name == "memory" else stage.image_size
    return replace(stage, steps=shorter.get(stage.name, stage.steps), starts_from=starts_from, image_size=image_size)


# Without a GPU: all but the longest stage, and two stages shorter.
EVF_SAM2_TINY_256 = replace(
    EVF_SAM2_TINY,
    name="evf-sam2-tiny-256",
    model=replace(EVF_SAM2_TINY.model, segmenter=replace(TINY_SAM2, image_size=256)),
    stages=tuple(_on_a_processor(stage) for stage in TINY_STAGES if stage.name != "all-384"),
    sources=(Source("scenes", 9000), Source("clip_frames", 4500)),
)

# The published models of both families start from one BEIT-3; these from one tiny encoder that knows the words.
EVF_SAM_TINY = Recipe(
    name="evf-sam-tiny",
    model=EvfConfig(encoder=TINY_ENCODER, segmenter=TINY_SAM, multimask=False),
    stages=(
        Stage(
            name="distil",
            kind="points",
            trains=("image_encoder",),
            losses={"features": 1.0},
            steps=1200,
            learning_rate=1e-3,
            images=8,
            prompts=1,
            warmup=100,
        ),
        Stage(
            name="all",
            kind="phrases",
            trains=(*WORDS, *SEGMENTER),
            losses=ALL_LOSSES,
            steps=3300,
            learning_rate=4.5e-4,
            images=4,
            prompts=4,
            starts_from=("distil",),
            rates=dict.fromkeys(SEGMENTER, 2.0),  # the words were learned before, the outlines were not
            warmup=100,
            shares=HARD_SHARES,
        ),
    ),
    sources=(Source("scenes", 5000),),
    vocabulary=TINY_VOCABULARY,
    aspects=ASPECTS,
    varied=0.3,
    continues="evf-sam2-tiny",
    refinement=SMALL_MODEL,
)

EVF_EFFI_SAM_TINY = replace(
    EVF_SAM_TINY,
    name="evf-effi-sam-tiny",
    model=replace(EVF_SAM_TINY.model, segmenter=TINY_EFFICIENT_SAM),
)

EVF_SAM2_TINY_PHOTO = Recipe(
    name="evf-sam2-tiny-photo",
    model=EVF_SAM2_TINY.model,
    stages=(
        Stage(
            name="photographs",
            kind="phrases",
            trains=(*WORDS, *SAM2_SEGMENTER),
            losses=ALL_LOSSES | {"kept": 1.0},
            steps=1000,
            learning_rate=5e-4,
            images=4,
            prompts=6,
            warmup=50,
            shares=HARD_SHARES,
        ),
    ),
    sources=(Source("scenes", 7500, known=True), Source("photographs", 6000)),
    vocabulary=TINY_VOCABULARY,
    aspects=ASPECTS,
    varied=0.3,
    continues="evf-sam2-tiny",
    # On photographs it doubts too much, and all the way masks of small things grew too large; tried on validation
    # scenes and photographs: 0, 0.3, 0.5, 0.7, 1.
    refinement=SMALL_MODEL,
)
