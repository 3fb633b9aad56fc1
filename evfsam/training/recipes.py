"""All recipes by name; those of the paper and of fine-tuning stand here."""

from __future__ import annotations

from dataclasses import replace

from evfsam.modeling.config import EvfConfig
from evfsam.training.bundled_recipes import (
    EVF_EFFI_SAM_TINY,
    EVF_SAM2_TINY,
    EVF_SAM2_TINY_256,
    EVF_SAM2_TINY_PHOTO,
    EVF_SAM_TINY,
)
from evfsam.training.config import Recipe, Source, Stage
from evfsam.training.photograph_recipe import EVF_SAM2_TINY_COCO
from evfsam.training.refersam_recipe import REFERSAM_TINY

# The paper's training (arXiv 2406.20076, section 4.1 and table 4). The encoder learns, the image encoder is frozen.
# Of SAM, the prompt encoder (only its "no mask" embedding gets a gradient) and the decoder learn; of SAM-2, neither.
# Warm-up, betas and weight decay are not in the paper: they are LISA's (train_ds.py), to which the authors point.
PAPER_STAGE = Stage(
    name="evf",
    kind="phrases",
    trains=("encoder", "projector"),
    losses={"masks": 1.0},
    mask_losses={"bce": 1.0, "dice": 1.0},
    full_size=True,
    steps=15000,
    learning_rate=1e-4,
    images=16,
    batch=128,
    prompts=3,
    shares=None,
    warmup=100,
    weight_decay=0.0,
    betas=(0.9, 0.95),
)
REFERRING_SOURCES = tuple(Source(f"{name}:train", weight=1.0) for name in ("refcoco", "refcoco+", "refcocog"))
# Weights as in the authors' readers: 1 for Objects365, 3 for the referring sets together; others are not published.
MULTITASK_SOURCES = (
    *REFERRING_SOURCES,
    *(Source(f"{name}:train", weight=1.0) for name in ("objects365", "ade20k", "pascal-part", "partimagenet", "atr")),
)

PAPER_SAM2 = Recipe(
    name="paper-sam2",
    model=EvfConfig.official("sam2", "large", "large"),
    stages=(PAPER_STAGE,),
    sources=REFERRING_SOURCES,
    foundation=True,
)
PAPER_SAM = replace(
    PAPER_SAM2,
    name="paper-sam",
    model=EvfConfig.official("sam", "huge", "large"),
    stages=(replace(PAPER_STAGE, trains=("encoder", "projector", "prompt_encoder", "decoder")),),
)

# Any checkpoint, bundled or published, on one's own data (--model, --data). The image encoder does not change, so
# SAM-2's memory still fits it. Mirroring is the augmentation that cured overfitting (EVF-SAM issue 26).
FINETUNE = Recipe(
    name="finetune",
    model=None,
    stages=(
        Stage(
            name="finetune",
            kind="phrases",
            trains=("encoder", "projector", "decoder"),
            losses={"masks": 1.0},
            steps=1000,
            learning_rate=1e-4,
            images=4,
            prompts=3,
            shares=None,
            mirror=0.5,
            warmup=50,
            rates={"decoder": 0.3},
        ),
    ),
    sources=(),
    calibration_scenes=40,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        EVF_SAM2_TINY,
        EVF_SAM2_TINY_256,
        EVF_SAM_TINY,
        EVF_EFFI_SAM_TINY,
        EVF_SAM2_TINY_PHOTO,
        EVF_SAM2_TINY_COCO,
        REFERSAM_TINY,
        PAPER_SAM,
        PAPER_SAM2,
        replace(PAPER_SAM, name="paper-sam-multitask", sources=MULTITASK_SOURCES),
        replace(PAPER_SAM2, name="paper-sam2-multitask", sources=MULTITASK_SOURCES),
        FINETUNE,
    )
}
