"""Images in other light or quality and prompts in other words, so that a checkpoint stands what people bring."""

from __future__ import annotations

import cv2
import numpy as np

from evfsam.data.sample import Prompt
from evfsam.evaluation.wordings import paraphrase, slip, word_order

DARKEST, BRIGHTEST = 0.35, 1.6  # of the image's own light


def vary_image(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other light always; now and then noise, a blur, or JPEG artefacts. uint8 (H, W, 3), a new array."""
    values = image.astype(np.float32)
    grey = values.mean(-1, keepdims=True)
    values = grey + (values - grey) * rng.uniform(0.6, 1.3)
    values = values * np.exp(rng.uniform(np.log(DARKEST), np.log(BRIGHTEST))) * rng.uniform(0.95, 1.05, 3)
    if rng.random() < 0.3:
        values += rng.normal(0, rng.uniform(3, 25), values.shape)
    if rng.random() < 0.2:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 0.008 * max(values.shape[:2])))
    varied = np.clip(values, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
        varied = cv2.imdecode(cv2.imencode(".jpg", varied, quality)[1], cv2.IMREAD_COLOR)
    return varied


def vary_prompt(prompt: Prompt, rng: np.random.Generator) -> str:
    """The text in other words or another order, or with a spelling slip; the same text where it has no other."""
    reword = (paraphrase, word_order, slip)[rng.integers(3)]
    return reword(prompt, rng) or prompt.text
