"""Questions and mask logits as JSON, between the page and the replicas of :mod:`evfsam.batch.serve`.

Images travel as files of a known format, arrays as bytes of a known length. Nothing is unpickled.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from evfsam import values
from evfsam.errors import EvfSamError, InputError
from evfsam.media.images import open_image
from evfsam.processing.inputs import spatial_prompts
from evfsam.types import MaskLogits, PointPrompt, SpatialPrompt

MOST_BYTES = 2**28  # of a question
UNREADABLE = 'Send JSON: {"image": an image file in base64, "prompts": [texts], "points": [...], "boxes": [...]}.'
Asked = tuple[list[str], list[SpatialPrompt | None]]


def write_question(
    image: bytes, prompts: Sequence[str], spatial: Sequence[SpatialPrompt | None], whole: bool = True
) -> bytes:
    """JSON of an image file and its prompts, points and boxes; ``whole`` as in :meth:`Predictor.encode`."""
    points = [by_hand and by_hand.points for by_hand in spatial]
    question = {
        "image": base64.b64encode(image).decode("ascii"),
        "prompts": list(prompts),
        "points": [one and {"coords": one.coords.tolist(), "labels": one.labels.tolist()} for one in points],
        "boxes": [by_hand and by_hand.box for by_hand in spatial],
        "whole": whole,
    }
    return json.dumps(question).encode()


def read_question(body: bytes) -> tuple[bytes, np.ndarray, bool, Asked]:
    """The inverse of :func:`write_question`: the image file, the image, whether it is whole, and what is asked.

    Raises InputError for anything else, and for what a predictor would refuse.
    """
    try:
        question = json.loads(body)
        image = base64.b64decode(question["image"], validate=True)
        prompts, whole = question["prompts"], question.get("whole", True)
        points, boxes = (question.get(name) or [None] * len(prompts) for name in ("points", "boxes"))
        points = [one and PointPrompt(np.asarray(one["coords"]), np.asarray(one["labels"])) for one in points]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(UNREADABLE) from None
    opened, prompts, whole = open_image(image), values.prompts(prompts), values.flag(whole, "whole")
    return image, opened, whole, (prompts, spatial_prompts(points, boxes, len(prompts), opened.shape[:2]))


def write_masks(masks: MaskLogits, warnings: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Mask logits of P prompts and their warnings, JSON-ready. Logits stay float32."""
    low_res = masks.low_res_masks.float().cpu().contiguous().numpy()
    scores = masks.object_score_logits
    return {
        "shape": list(low_res.shape),
        "low_res_masks": base64.b64encode(low_res.astype("<f4").tobytes()).decode("ascii"),
        "iou_predictions": masks.iou_predictions.float().tolist(),
        "object_score_logits": None if scores is None else scores.float().flatten().tolist(),
        "warnings": [list(own) for own in warnings],
    }


def read_masks(answer: Any, prompts: int) -> tuple[MaskLogits, list[tuple[str, ...]]]:
    """The inverse of :func:`write_masks`. Raises EvfSamError for anything else, or for another number of prompts."""
    try:
        count, height, width = answer["shape"]
        logits = np.frombuffer(base64.b64decode(answer["low_res_masks"]), "<f4").reshape(count, height, width)
        ious, scores = torch.tensor(answer["iou_predictions"]), answer["object_score_logits"]
        warnings = [tuple(map(str, own)) for own in answer["warnings"]]
        if not count == prompts == len(ious) == len(warnings) or (scores is not None and len(scores) != count):
            raise ValueError("another number of prompts")
        scores = None if scores is None else torch.tensor(scores)
        return MaskLogits(torch.from_numpy(logits.copy()), ious, scores), warnings
    except (ValueError, TypeError, KeyError) as error:
        raise EvfSamError(
            f"The server's answer cannot be read ({error}): use the same version on both sides."
        ) from None
