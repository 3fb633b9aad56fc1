"""Images in other light or quality, or mirrored, and prompts in other words, so that a checkpoint copes with users'
images and texts."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np

from evfsam.data.sample import Prompt, Sample
from evfsam.evaluation.wordings import paraphrase, slip, word_order

_SIDES = re.compile(r"\b(left|right)(?=$|[^A-Za-z]|most\b|hand\b|side\b|wards?\b)", re.IGNORECASE)
# What is wrong in a mirror and has no opposite here: writing, numbers, clocks, "right behind", other languages' sides.
_NOT_MIRRORED = re.compile(
    r"\b(clockwise|anticlockwise|counter-?clockwise|east|west|lefty|righty|letters?|words?|text|written|writing|reads?|"
    r"says|saying|numbers?|digits?|clock|o'?clock|logo|signs?|right (?:behind|above|below|under|next|at|by|now|in "
    r"front|angle|there|here|before|after|on|across)|all right|izquierd[ao]s?|derech[ao]s?|gauche|droite?|links|"
    r"linke[nrs]?|rechts|rechte[nrs]?|sinistr[ao]|destr[ao]|esquerd[ao]s?|direit[ao]s?)\b|[0-9\"]|[^\x00-\x7f]",
    re.IGNORECASE,
)

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


def mirrored(sample: Sample) -> Sample:
    """The sample as in a mirror, with "left" and "right" exchanged in its prompts.

    Returns the sample itself if a prompt may not be true of the mirror image: one with a number or writing, or one in
    another language than English.
    """
    if any(_NOT_MIRRORED.search(prompt.text) for prompt in sample.prompts):
        return sample
    prompts = tuple(
        replace(prompt, text=mirrored_text(prompt.text), mask=_flip(prompt.mask), ignore=_flip(prompt.ignore))
        for prompt in sample.prompts
    )
    facts = dict(sample.facts)
    if "part_map" in facts:
        facts["part_map"] = _flip(facts["part_map"])
    return replace(sample, image=_flip(sample.image), prompts=prompts, facts=facts)


def mirrored_text(text: str) -> str:
    """ "the left dog" -> "the right dog", "Leftmost" -> "Rightmost"."""

    def other(match: re.Match) -> str:
        word = match[1]
        side = "right" if word.lower() == "left" else "left"
        return side.upper() if word.isupper() else side.capitalize() if word[0].isupper() else side

    return _SIDES.sub(other, text)


def _flip(pixels: np.ndarray | None) -> np.ndarray | None:
    return None if pixels is None else np.ascontiguousarray(pixels[:, ::-1])
