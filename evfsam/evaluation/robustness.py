"""The same prompts on a worse image, or in other words."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from evfsam.data.sample import Sample
from evfsam.evaluation.answerers import Answerer, Masks, segment
from evfsam.evaluation.wordings import WORDINGS
from evfsam.predictor import Predictor
from evfsam.refine.refinement import Refinement

Spoil = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Through JPEG of quality 30."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with a standard deviation of 20 of 255."""
    return _to_bytes(image + rng.normal(0, 20, image.shape))


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur with a sigma of 0.6 % of the longer side: about 2 px of 320."""
    return cv2.GaussianBlur(image, (0, 0), 0.006 * max(image.shape[:2]))


def darker(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the light."""
    return _to_bytes(image * 0.5)


def brighter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """1.4 times the light."""
    return _to_bytes(image * 1.4)


SPOILED: dict[str, Spoil] = {"jpeg": jpeg, "noise": noise, "blur": blur, "darker": darker, "brighter": brighter}


def spoiled_image(predictor: Predictor, name: str) -> Answerer:
    """The model on an image that was changed by the function ``name`` of :data:`SPOILED`."""

    def answer(sample: Sample, other: Callable) -> Masks:
        image = SPOILED[name](sample.image, _rng(sample, list(SPOILED).index(name)))
        return segment(predictor, image, [prompt.text for prompt in sample.prompts])

    return answer


def other_words(predictor: Predictor, name: str) -> Answerer:
    """The model on texts that the function ``name`` of ``WORDINGS`` has reworded.

    It has no answer where the text has no other wording, and where the target is empty.
    """

    def answer(sample: Sample, other: Callable) -> Masks:
        rng = _rng(sample, 100 + list(WORDINGS).index(name))
        texts = [WORDINGS[name](prompt, rng) if prompt.mask.any() else None for prompt in sample.prompts]
        changed = [i for i, text in enumerate(texts) if text is not None]
        masks: list[np.ndarray | None] = [None] * len(texts)
        for i, mask in zip(changed, segment(predictor, sample.image, [texts[i] for i in changed]), strict=True):
            masks[i] = mask
        return masks

    return answer


def without(predictor: Predictor, name: str) -> Answerer:
    """The model without one of its refinements, a field of :class:`~evfsam.refine.refinement.Refinement`."""
    kept = predictor.info.refinement
    plainer = predictor.with_refinement(replace(kept, **{name: getattr(Refinement(), name)}))
    return lambda sample, other: segment(plainer, sample.image, [prompt.text for prompt in sample.prompts])


def _rng(sample: Sample, number: int) -> np.random.Generator:
    """The same for a sample and a change, whoever asks in whatever order."""
    seed = sample.facts.get("seed")
    return np.random.default_rng([zlib.crc32(sample.name.encode()) if seed is None else seed, number])


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)
