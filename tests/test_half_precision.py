"""Half precision: every segmenter runs, and the bundled checkpoint's masks are nearly those of float32."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.registry import bundled_models
from evfsam.data.scenes import ABSENT, TEST, expressions, make_scene, render
from evfsam.geometry import mask_iou
from evfsam.modeling.config import EfficientSamConfig
from evfsam.predictor import Predictor
from evfsam.runtime import Runtime
from evfsam.types import PointPrompt
from tests.checkpoints.small import SAM, SAM2, write_checkpoint

EFFICIENT = EfficientSamConfig(image_size=64, width=16, depth=1, heads=2, embedding_width=32, decoder_feed_forward=32)
HALVES = [torch.bfloat16, torch.float16]
SCENES, PROMPTS_PER_SCENE = 6, 5  # about 1 % of the prompts fit two objects almost equally, and get the other one


def predictor(source, dtype: torch.dtype) -> Predictor:
    """On the CPU, so that this needs no GPU."""
    return Predictor(load_checkpoint(source, dtype=dtype), Runtime(torch.device("cpu"), dtype))


# One mask per prompt: rounding may choose another one of three random masks.
SAM2_ONE_MASK = replace(SAM2, extra_masks=False)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("segmenter", [SAM2_ONE_MASK, SAM, EFFICIENT], ids=lambda s: s.kind)
def test_words_points_and_boxes_in_half_precision(tmp_path, segmenter, dtype):
    write_checkpoint(tmp_path, segmenter)
    image = np.random.RandomState(0).randint(0, 255, (40, 60, 3), dtype=np.uint8)
    points = [None, PointPrompt(np.array([[20.0, 10.0]]), np.array([1])), None]
    boxes = [None, None, (5, 5, 30, 30)]
    prompts = ["the small red car", "the zebra", ""]
    exact, half = (predictor(tmp_path, d).segment(image, prompts, points, boxes) for d in (torch.float32, dtype))
    for a, b in zip(exact, half, strict=True):
        assert b.mask_logits.dtype == np.float32 and b.mask_logits.shape == (40, 60)
        spread = np.abs(a.mask_logits).max()
        assert np.abs(a.mask_logits - b.mask_logits).max() < 0.1 * spread


def scenes_and_prompts():
    """Images of test scenes with prompts of every kind, except absent ones."""
    for seed in TEST[:SCENES]:
        scene = make_scene(seed)
        prompts = [expression.text for expression in expressions(scene) if expression.kind != ABSENT]
        chosen = random.Random(seed).sample(prompts, min(PROMPTS_PER_SCENE, len(prompts)))
        yield render(scene, (256, 256)).image, chosen


@pytest.mark.skipif(not bundled_models(), reason="no checkpoint is bundled")
@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)], ids=str
)  # a CPU is slow in float16
def test_masks_of_the_bundled_checkpoint_agree(dtype):
    """Mean IoU of masks in half precision and in float32.

    Absent prompts are left out: their masks have few pixels or none, so the IoU would be random.
    """
    source = bundled_models()[0].name
    exact, half = predictor(source, torch.float32), predictor(source, dtype)
    ious = []
    for image, prompts in scenes_and_prompts():
        for a, b in zip(exact.segment(image, prompts), half.segment(image, prompts), strict=True):
            ious.append(mask_iou(a.mask, b.mask))
    print(f"mean IoU with float32 over {len(ious)} masks: {np.mean(ious):.4f}, least {np.min(ious):.4f}")
    assert np.mean(ious) >= 0.99
