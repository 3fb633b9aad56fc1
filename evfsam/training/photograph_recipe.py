"""The recipe of the bundled checkpoint for photographs, which starts from ImageNet features."""

from __future__ import annotations

from dataclasses import replace

from evfsam.modeling.config import Beit3Config, EvfConfig
from evfsam.refine.refinement import Refinement
from evfsam.training.bundled_recipes import ALL_LOSSES, TINY_SAM2, WORDS
from evfsam.training.config import Recipe, Source, Stage
from evfsam.training.parts import SEGMENTER

COCO_VOCABULARY = 700  # 80 categories, stuff, and the words around them

# ImageNet features in the segmenter and, with the same weights, under the multimodal encoder; they stay as they are.
# Few photographs have all their categories annotated, so what it sees is composed.
EVF_SAM2_TINY_COCO = Recipe(
    name="evf-sam2-tiny-coco",
    model=EvfConfig(
        encoder=Beit3Config(
            width=192,
            layers=4,
            heads=6,
            feed_forward=512,
            vocabulary=COCO_VOCABULARY + 8,
            image_size=320,
            patch_size=32,
            text_positions=34,
            stem="trunk",
        ),
        segmenter=replace(TINY_SAM2, image_size=320, trunk="efficientnet_lite0"),
        multimask=False,
    ),
    stages=(
        Stage(
            name="segmenter",
            kind="points",
            trains=SEGMENTER,
            losses={"points": 1.0},
            steps=2000,
            learning_rate=8e-4,
            images=4,
            prompts=8,
            shares=None,
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
            shares=None,
        ),
        Stage(
            name="joint",
            kind="phrases",
            trains=(*WORDS, *SEGMENTER),
            losses=ALL_LOSSES,
            steps=4000,
            learning_rate=4e-4,
            images=4,
            prompts=8,
            starts_from=("segmenter", "grounding"),
            shares=None,
        ),
        Stage(
            name="memory",
            kind="memory",
            trains=("memory", "decoder"),
            losses={"clips": 1.0, "masks": 0.5, "points": 0.5},
            steps=1000,
            learning_rate=8e-4,
            images=1,
            prompts=4,
            starts_from=("joint",),
            rates={"decoder": 0.3},
            warmup=50,
            shares=None,
        ),
    ),
    sources=(Source("coco:composed"),),
    vocabulary=COCO_VOCABULARY,
    clips=500,
    varied=0.3,
    refinement=Refinement(reject_below=0.5, guided_filter=True, zoom=True, text_threshold=0.35),
)
