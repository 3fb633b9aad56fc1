"""Who answers the prompts of a sample: the model, the model with something taken away, or the truth as a hint.

An answerer is called with a sample and a function that reads another sample. It returns one mask per prompt, bool of
the truth's shape, or None where it has no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evfsam.data.sample import Sample, VideoSample
from evfsam.errors import InputError
from evfsam.geometry import box_of, interior_point
from evfsam.predictor import EncodedImage, Predictor
from evfsam.processing.text import clean_prompt
from evfsam.refine.refinement import Refinement
from evfsam.systems.base import System
from evfsam.types import PointPrompt, SpatialPrompt, VideoPrompt
from evfsam.video.tracker import VideoTracker

Masks = Sequence[np.ndarray | None]
Answerer = Callable[[Any, Callable[[], Any]], Masks]  # a Sample or a VideoSample, as the probe is made for
Make = Callable[[Any], Answerer]  # of a Predictor, or of another system

PROMPTS_AT_ONCE = 32


def segment(
    predictor: Predictor,
    image: np.ndarray | EncodedImage,
    texts: Sequence[str],
    hints: Sequence[SpatialPrompt] | None = None,
) -> list[np.ndarray]:
    """One mask per text, bool (H, W), as :meth:`Predictor.segment` gives it to users.

    Real data sets hold a few texts that users are told to type again, such as "?". They are answered by an empty mask.

    Args:
        predictor: the model.
        image: uint8 (H, W, 3), or what the predictor made of it.
        texts: the prompts; may be empty where there are hints.
        hints: points and a box per text.
    """
    encoded = image if isinstance(image, EncodedImage) else predictor.encode(image)
    masks = [np.zeros(encoded.geometry.original_size_hw, bool)] * len(texts)
    usable = [i for i, text in enumerate(texts) if hints is not None or _is_usable(text)]
    for start in range(0, len(usable), PROMPTS_AT_ONCE):
        some = usable[start : start + PROMPTS_AT_ONCE]
        points = None if hints is None else [hints[i].points for i in some]
        boxes = None if hints is None else [hints[i].box for i in some]
        results = predictor.iter_segment(encoded, [texts[i] for i in some], points, boxes)
        for i, result in zip(some, results, strict=True):
            masks[i] = result.mask
    return masks


def point_prompt(points: Sequence[tuple[float, float, int]]) -> PointPrompt:
    """Points (x, y, label), label 1 on the object and 0 beside it, in pixels."""
    rows = np.array(points, np.float32)
    return PointPrompt(rows[:, :2], rows[:, 2].astype(np.int64))


def _is_usable(text: str) -> bool:
    try:
        clean_prompt(text)
    except InputError:
        return False
    return True


def model(predictor: Predictor) -> Answerer:
    """The model as users get it. Objects of clips are tracked from their text on the first frame.

    Systems beside EVF-SAM track nothing: they answer frame by frame.
    """

    def answer(sample: Sample | VideoSample, other: Callable) -> Masks:
        if isinstance(sample, VideoSample):
            if isinstance(predictor, System):
                return frame_by_frame(predictor)(sample, other)
            return _track_texts(predictor, sample, redetect=True)
        return segment(predictor, sample.image, [prompt.text for prompt in sample.prompts])

    return answer


def without_refinements(predictor: Predictor) -> Answerer:
    """The model without any refinement: the paper's answers."""
    return model(predictor.with_refinement(Refinement()))


def no_rejection(predictor: Predictor) -> Answerer:
    """The model without rejection: a low presence empties no mask."""
    return model(_without_rejection(predictor))


def _without_rejection(predictor: Predictor) -> Predictor:
    return predictor.with_refinement(replace(predictor.info.refinement, reject_below=None))


def swapped_image(predictor: Predictor) -> Answerer:
    """Ablation: the multimodal encoder sees another sample's image, the segmenter the right one.

    If that changes little, the text alone does the work and early fusion is unused. No prompt is rejected
    here, so compare with :func:`no_rejection`.
    """
    predictor = _without_rejection(predictor)

    def answer(sample: Sample, other: Callable[[], Sample]) -> Masks:
        swapped = replace(predictor.encode(sample.image), encoder_pixels=predictor.encode(other().image).encoder_pixels)
        return segment(predictor, swapped, [prompt.text for prompt in sample.prompts])

    return answer


def oracle(predictor: Predictor, box: bool = True, point: bool = True) -> Answerer:
    """The segmenter prompted by the true box, a point inside the true mask, or both, without text.

    It has no answer where the target is empty.
    """

    def answer(sample: Sample, other: Callable) -> Masks:
        masks: list[np.ndarray | None] = [None] * len(sample.prompts)
        there = [i for i, prompt in enumerate(sample.prompts) if prompt.mask.any()]
        hints = [true_hint(sample.prompts[i].mask, box, point) for i in there]
        for i, mask in zip(there, segment(predictor, sample.image, [""] * len(there), hints), strict=True):
            masks[i] = mask
        return masks

    return answer


def true_hint(target: np.ndarray, box: bool = True, point: bool = True) -> SpatialPrompt:
    """The bounding box of a mask, bool (H, W), not empty, and its point farthest from any edge."""
    x, y = interior_point(target)
    return SpatialPrompt(point_prompt([(x + 0.5, y + 0.5, 1)]) if point else None, box_of(target) if box else None)


def memory_only(predictor: Predictor) -> Answerer:
    """Tracking from the text on the first frame by the memory alone, as published."""
    return lambda sample, other: _track_texts(predictor, sample, redetect=False)


def tracked_box(predictor: Predictor) -> Answerer:
    """Tracking by the memory alone from the true box on the first frame that shows the object."""

    def answer(sample: VideoSample, other: Callable) -> Masks:
        prompts = []
        for number, prompt in enumerate(sample.prompts):
            seen = np.flatnonzero(prompt.mask.any((1, 2)))
            if len(seen):
                hint = true_hint(prompt.mask[seen[0]], point=False)
                prompts.append(VideoPrompt(number, frame_index=int(seen[0]), spatial=hint))
        return _track(predictor, sample, prompts, redetect=False)

    return answer


def frame_by_frame(predictor: Predictor) -> Answerer:
    """Each frame by itself: the text is segmented as in an image, nothing is tracked."""

    def answer(sample: VideoSample, other: Callable) -> Masks:
        texts = [prompt.text for prompt in sample.prompts]
        return list(np.stack([segment(predictor, frame, texts) for frame in sample.frames], axis=1))

    return answer


def _track_texts(predictor: Predictor, sample: VideoSample, redetect: bool) -> Masks:
    texts = [(i, prompt.text) for i, prompt in enumerate(sample.prompts) if _is_usable(prompt.text)]
    return _track(predictor, sample, [VideoPrompt(i, text) for i, text in texts], redetect)


def _track(predictor: Predictor, sample: VideoSample, prompts: Sequence[VideoPrompt], redetect: bool) -> Masks:
    """Masks, bool (T, H, W), one per prompt of the sample; object ids are the numbers of its prompts."""
    masks = [np.zeros_like(prompt.mask) for prompt in sample.prompts]
    if not prompts:
        return masks
    for frame in VideoTracker(predictor).track(iter(sample.frames), prompts, redetect=redetect):
        for found in frame.objects:
            masks[found.object_id][frame.index] = found.mask
    return masks
