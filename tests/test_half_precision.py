"""Half precision: every segmenter runs in it, and the bundled checkpoint's masks stay what they are in float32."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.registry import bundled_models
from evfsam.data.scenes import ABSENT, TEST, expressions, make_scene, render
from evfsam.modeling.config import EfficientSamConfig
from evfsam.predictor import Predictor
from evfsam.runtime import Runtime
from evfsam.types import PointPrompt
from tests.checkpoints.small import SAM, SAM2, write_checkpoint

EFFICIENT = EfficientSamConfig(image_size=64, width=16, depth=1, heads=2, embedding_width=32, decoder_feed_forward=32)
HALVES = [torch.bfloat16, torch.float16]
SCENES, PHRASES_A_SCENE = 24, 5  # one in a hundred phrases wavers between two things, and is answered with the other


def predictor(source, dtype: torch.dtype) -> Predictor:
    """On the CPU, so that this needs no GPU."""
    return Predictor(load_checkpoint(source, dtype=dtype), Runtime(torch.device("cpu"), dtype))


# One mask a prompt: of three that are random, rounding may choose another.
SAM2_ONE_MASK = replace(SAM2, extra_masks=False)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("segmenter", [SAM2_ONE_MASK, SAM, EFFICIENT], ids=lambda s: s.kind)
def test_words_points_and_boxes_in_half_precision(tmp_path, segmenter, dtype):
    write_checkpoint(tmp_path, segmenter)
    picture = np.random.RandomState(0).randint(0, 255, (40, 60, 3), dtype=np.uint8)
    points = [None, PointPrompt(np.array([[20.0, 10.0]]), np.array([1])), None]
    boxes = [None, None, (5, 5, 30, 30)]
    prompts = ["the small red car", "the zebra", ""]
    exact, half = (predictor(tmp_path, d).segment(picture, prompts, points, boxes) for d in (torch.float32, dtype))
    for a, b in zip(exact, half, strict=True):
        assert b.mask_logits.dtype == np.float32 and b.mask_logits.shape == (40, 60)
        spread = np.abs(a.mask_logits).max()
        assert np.abs(a.mask_logits - b.mask_logits).max() < 0.1 * spread


def scenes_and_phrases():
    """Pictures of the test scenes with phrases of every kind that name something in them."""
    for seed in TEST[:SCENES]:
        scene = make_scene(seed)
        phrases = [expression.text for expression in expressions(scene) if expression.kind != ABSENT]
        chosen = random.Random(seed).sample(phrases, min(PHRASES_A_SCENE, len(phrases)))
        yield render(scene, (256, 256)).image, chosen


@pytest.mark.skipif(not bundled_models(), reason="no checkpoint is bundled")
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_masks_of_the_bundled_checkpoint_agree(dtype):
    """Mean IoU of the masks in half precision and in float32, over phrases that name something in the picture.

    A phrase that names nothing has a mask of a few pixels or none, whose IoU is that of chance.
    """
    source = bundled_models()[0].name
    exact, half = predictor(source, torch.float32), predictor(source, dtype)
    ious = []
    for picture, phrases in scenes_and_phrases():
        for a, b in zip(exact.segment(picture, phrases), half.segment(picture, phrases), strict=True):
            either = (a.mask | b.mask).sum()
            ious.append((a.mask & b.mask).sum() / either if either else 1.0)
    print(f"mean IoU with float32 over {len(ious)} masks: {np.mean(ious):.4f}, least {np.min(ious):.4f}")
    assert np.mean(ious) >= 0.99
