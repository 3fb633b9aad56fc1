"""As ``random_model``, with memory modules: it can track."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.save import save_checkpoint
from evfsam.modeling.evf_sam import EvfSam
from tests.random_model import CONFIG, save_random_model

WITH_MEMORY = dataclasses.replace(
    CONFIG,
    segmenter=dataclasses.replace(
        CONFIG.segmenter, memory=True, memory_width=16, memory_layers=1, memory_feed_forward=32
    ),
)


def set_presence(model: EvfSam, logit: float) -> None:
    """Make a random model sure that every object is there, or is not."""
    head = model.visual_model.sam_mask_decoder.pred_obj_score_head.layers[-1]
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(logit)


def save_random_tracker(folder: Path, presence_logit: float = 10.0) -> Path:
    """Write a checkpoint named after its folder, which sees every object everywhere."""
    checkpoint = load_checkpoint(save_random_model(folder, config=WITH_MEMORY))
    set_presence(checkpoint.model, presence_logit)
    capabilities = {"capabilities": ["referring", "video"]}
    return save_checkpoint(folder, checkpoint.model, folder, torch.float32, extra_config=capabilities)
