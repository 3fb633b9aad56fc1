"""A tiny model with random weights, saved in a folder of the published layout."""

from __future__ import annotations

from pathlib import Path

import torch

from evfsam.checkpoints.save import save_checkpoint
from evfsam.checkpoints.tokenizer import train_tokenizer
from evfsam.data.scenes import expressions, make_scene
from evfsam.modeling.build import build_model
from evfsam.modeling.config import Beit3Config, EvfConfig, Sam2Config, SamConfig

CONFIG = EvfConfig(
    Beit3Config(width=32, layers=2, heads=2, feed_forward=64, vocabulary=512, image_size=32, text_positions=64),
    Sam2Config(
        image_size=64,
        width=16,
        stages=(1, 1, 2, 1),
        heads=1,
        global_attention_blocks=(3,),
        window_position_size=(4, 4),
        windows=(4, 4, 4, 2),
        embedding_width=32,
        decoder_feed_forward=32,
        memory=False,
    ),
    multimask=False,
)
SMALL_SAM = SamConfig(
    image_size=64,
    width=32,
    depth=2,
    heads=2,
    global_attention_blocks=(1,),
    window=2,
    embedding_width=32,
    decoder_feed_forward=64,
)


def save_random_model(folder: Path, seed: int = 0, config: EvfConfig = CONFIG) -> Path:
    """Write a checkpoint named after its folder; the same seed gives the same weights."""
    train_tokenizer((e.text for s in range(20) for e in expressions(make_scene(s))), folder, 200)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(config)
    return save_checkpoint(folder, model, folder, extra_config={"capabilities": ["referring", "semantic", "parts"]})
