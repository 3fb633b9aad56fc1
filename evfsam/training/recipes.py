"""The recipes of the bundled checkpoints."""

from __future__ import annotations

from dataclasses import replace

from evfsam.modeling.config import Beit3Config, EfficientSamConfig, EvfConfig, Sam2Config, SamConfig
from evfsam.training.config import KIND_SHARES, Recipe, StageConfig

TINY_VOCABULARY = 256  # pieces; the world says about 150 words

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
COARSE_SIZE, COARSE_LAYERS = 128, 5  # of the encoder until the stage ``finer``; the size is of its copy, in px
COARSE_PICTURE = 256  # px, of the segmenter until the stage ``sharper``

# For the end: what is good by then is asked less, what is not more.
HARD_SHARES = KIND_SHARES | {
    "colour": 0.11,
    "relation": 0.19,
    "name": 0.04,
    "stuff": 0.03,
    "things": 0.15,
    "parts": 0.2,
    "absent": 0.17,
}

# Widths over heights, taken in turn: people's pictures are rarely square, and some are panoramas.
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

# For a GPU, with eight times the scenes a step (--batch 8).
EVF_SAM2_TINY = Recipe(
    name="evf-sam2-tiny",
    model=EvfConfig(encoder=TINY_ENCODER, segmenter=TINY_SAM2, multimask=False),
    vocabulary=TINY_VOCABULARY,
    first_seed=0,
    scenes=20000,
    clip_frames=10000,
    aspects=ASPECTS,
    variety=0.3,
    segmenter=StageConfig(steps=2800, learning_rate=8e-4, scenes=4, prompts=8),
    grounding=StageConfig(steps=2600, learning_rate=4e-4, scenes=4, prompts=8),
    joint=StageConfig(steps=1800, learning_rate=3e-4, scenes=4, prompts=8),
    together=StageConfig(steps=6000, learning_rate=4e-4, scenes=3, prompts=6, warmup=100),
    finer=StageConfig(steps=3200, learning_rate=2e-4, scenes=4, prompts=6, warmup=100, shares=HARD_SHARES),
    # Long: scores had risen to its end after 3,400 steps of 40 scenes.
    sharper=StageConfig(steps=4200, learning_rate=6e-4, scenes=4, prompts=6, warmup=100, shares=HARD_SHARES, grey=0.2),
    memory=StageConfig(steps=700, learning_rate=8e-4, scenes=1, prompts=4, warmup=50),
    clips=500,
    coarse_size=COARSE_SIZE,
    coarse_layers=COARSE_LAYERS,
    coarse_picture=COARSE_PICTURE,
)

# Without a GPU: all but the stage that takes most, and two stages shorter, so that two cores end within six hours.
EVF_SAM2_TINY_256 = replace(
    EVF_SAM2_TINY,
    name="evf-sam2-tiny-256",
    model=replace(EVF_SAM2_TINY.model, segmenter=replace(TINY_SAM2, image_size=COARSE_PICTURE)),
    scenes=9000,
    clip_frames=4500,
    together=replace(EVF_SAM2_TINY.together, steps=4800),
    finer=replace(EVF_SAM2_TINY.finer, steps=2400),
    sharper=None,
    coarse_picture=None,
)

# The published models of both families start from one BEIT-3; these from one tiny encoder that knows the words.
EVF_SAM_TINY = Recipe(
    name="evf-sam-tiny",
    model=EvfConfig(encoder=TINY_ENCODER, segmenter=TINY_SAM, multimask=False),
    vocabulary=TINY_VOCABULARY,
    first_seed=0,
    scenes=5000,
    aspects=ASPECTS,
    variety=0.3,
    continues="evf-sam2-tiny",
    distil=StageConfig(steps=1200, learning_rate=1e-3, scenes=8, prompts=1, warmup=100),
    together=StageConfig(steps=3300, learning_rate=4.5e-4, scenes=4, prompts=4, warmup=100, shares=HARD_SHARES),
    segmenter_rate=2.0,  # the words were learned before, the outlines were not
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        EVF_SAM2_TINY,
        EVF_SAM2_TINY_256,
        EVF_SAM_TINY,
        replace(
            EVF_SAM_TINY,
            name="evf-effi-sam-tiny",
            model=replace(EVF_SAM_TINY.model, segmenter=TINY_EFFICIENT_SAM),
        ),
        Recipe(
            name="evf-sam2-tiny-photo",
            model=EvfConfig(encoder=TINY_ENCODER, segmenter=TINY_SAM2, multimask=False),
            vocabulary=TINY_VOCABULARY,
            first_seed=0,
            scenes=7500,
            photographs=6000,
            aspects=ASPECTS,
            continues="evf-sam2-tiny",
            variety=0.3,
            photo=StageConfig(steps=1000, learning_rate=5e-4, scenes=4, prompts=6, warmup=50, shares=HARD_SHARES),
        ),
    )
}
