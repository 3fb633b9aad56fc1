"""A checkpoint small enough for tests: SAM-2 with its memory, and a tokenizer trained on a few phrases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from evfsam.checkpoints.save import save_checkpoint
from evfsam.checkpoints.tokenizer import load_tokenizer, train_tokenizer
from evfsam.modeling.build import build_model
from evfsam.modeling.config import Beit3Config, EvfConfig, Sam2Config, SamConfig
from evfsam.modeling.evf_sam import EvfSam

COLOURS, PLACES = ("red", "green", "blue", "striped"), ("left", "right", "second from the left", "behind the dog")
PHRASES = [
    f"{prefix}{article} {size} {colour} {thing} {place}"
    for prefix in ("", "[semantic] ")
    for article in ("the", "A")
    for size in ("small", "tallest")
    for colour in COLOURS
    for thing in ("car", "person's hat", "zebra")
    for place in PLACES
]
BEIT3 = Beit3Config(width=32, layers=1, heads=2, feed_forward=32, image_size=32, text_positions=24)
SAM2 = Sam2Config(
    image_size=64,
    width=16,
    stages=(1, 1, 2, 1),
    heads=1,
    global_attention_blocks=(3,),
    windows=(4, 4, 2, 2),
    embedding_width=32,
    decoder_feed_forward=32,
    memory_width=16,
    memory_layers=1,
    memory_feed_forward=32,
)
SAM = SamConfig(
    image_size=64, width=16, depth=2, heads=2, global_attention_blocks=(1,), window=2, embedding_width=32,
    decoder_feed_forward=32,
)  # fmt: skip


def write_checkpoint(
    folder: Path, segmenter=SAM2, dtype: torch.dtype = torch.float32, encoder=BEIT3, **extra_config
) -> EvfSam:
    """Write a random model to ``folder`` and return it."""
    train_tokenizer(PHRASES, folder, vocabulary_size=90)
    encoder = replace(encoder, vocabulary=len(load_tokenizer(folder)))
    torch.manual_seed(0)
    model = build_model(EvfConfig(encoder, segmenter, multimask=segmenter.kind == "sam2"))
    save_checkpoint(folder, model, folder, dtype=dtype, extra_config=extra_config)
    return model
