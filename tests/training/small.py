"""Recipes shrunk until a step takes some hundredths of a second."""

from __future__ import annotations

from dataclasses import replace

from evfsam.modeling.config import Beit3Config, EfficientSamConfig, EvfConfig, SamConfig
from evfsam.training.config import Recipe
from evfsam.training.recipes import RECIPES
from tests.random_tracker import WITH_MEMORY

STEPS, SCENES = 3, 4
ENCODER = Beit3Config(width=32, layers=3, heads=2, feed_forward=64, vocabulary=264, image_size=96, text_positions=66)
SEGMENTERS = {
    "sam2": replace(WITH_MEMORY.segmenter, image_size=128, extra_masks=False),
    # A finer image than its teacher's.
    "sam": SamConfig(
        image_size=192,
        width=32,
        depth=2,
        heads=2,
        global_attention_blocks=(1,),
        window=4,
        embedding_width=32,
        decoder_feed_forward=32,
    ),
    "efficient_sam": EfficientSamConfig(
        image_size=128, width=32, depth=2, heads=2, embedding_width=32, decoder_feed_forward=32
    ),
}


def small(name: str = "evf-sam2-tiny", **changes) -> Recipe:
    """A bundled recipe with all its stages, few steps, few scenes and a tiny model."""
    recipe = RECIPES[name].shortened(STEPS, SCENES)
    model = EvfConfig(ENCODER, SEGMENTERS[recipe.model.segmenter.kind], multimask=False)
    coarse = {"image_size": 64, "encoder_size": 64, "encoder_layers": 2}
    stages = []
    for stage in recipe.stages:
        sizes = {field: size for field, size in coarse.items() if getattr(stage, field)}
        stages.append(replace(stage, learning_rate=1e-3, images=min(stage.images, 2), prompts=3, **sizes))
    few = [replace(source, count=2 if source.name == "clip_frames" else SCENES) for source in recipe.sources]
    facts = {"calibration_scenes": 1, "clips": min(recipe.clips, 1)}
    return replace(recipe, model=model, stages=tuple(stages), sources=tuple(few), **facts | changes)
