"""One checkpoint behind Ray Serve: replicas that grow with the load, and a batch per image.

    serve run evfsam.batch.serve:build model=evf-sam2-tiny max_replicas=4
    python app.py --server http://localhost:8000

Or ask it without the page: POST /segment takes ``{"image": an image file in base64, "prompts": ["the red car"]}``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ray import serve
from starlette.responses import JSONResponse

from evfsam import values
from evfsam.batch.wire import MOST_BYTES, UNREADABLE, read_question, write_masks
from evfsam.errors import EvfSamError, InputError
from evfsam.media.export import encode_rle
from evfsam.predictor import Predictor
from evfsam.together import decode_together

MOST_TOGETHER = 32  # questions in a batch
MOST_AT_ONCE = 2 * MOST_TOGETHER  # questions in a replica; Ray never counts more


def build(options: dict[str, str]) -> serve.Application:
    """The application that ``serve run`` starts.

    Args:
        options: model, device and precision as ``Predictor.from_pretrained`` takes them; gpus and cpus per replica (0
            and 1); and those of :func:`scaling`.

    Raises InputError for an option that is unknown or cannot be used.
    """
    known = {"model", "device", "precision", "gpus", "cpus", *scaling({})}
    if unknown := sorted(options.keys() - known):
        raise InputError(f"There is no option {values.shown(unknown[0])}: choose from {', '.join(sorted(known))}.")
    needs = {f"num_{kind}": _number(options, kind, default, 0) for kind, default in (("cpus", 1), ("gpus", 0))}
    how = [options.get(name) for name in ("model", "device", "precision")]
    deployment = Segmenter.options(autoscaling_config=scaling(options), ray_actor_options=needs)
    return deployment.bind(how[0], how[1] or "auto", how[2] or "auto")


def scaling(options: Mapping[str, str]) -> dict[str, float]:
    """When replicas come and go, as Ray Serve's ``autoscaling_config``.

    Args:
        options: min_replicas and max_replicas (1 and 1). target_ongoing_requests (4): Ray wants so many replicas that
            each has this many. upscale_delay_s and downscale_delay_s (30 and 600): how long it waits before it acts.

    Raises InputError for values that cannot be used.
    """
    least = int(_number(options, "min_replicas", 1, 0, whole=True))
    most = max(1, least)
    return {
        "min_replicas": least,
        "max_replicas": int(_number(options, "max_replicas", most, most, whole=True)),
        "target_ongoing_requests": _number(options, "target_ongoing_requests", 4, 0.1, MOST_AT_ONCE),
        "upscale_delay_s": _number(options, "upscale_delay_s", 30, 0),
        "downscale_delay_s": _number(options, "downscale_delay_s", 600, 0),
    }


def _number(
    options: Mapping[str, str],
    name: str,
    default: float,
    low: float,
    high: float = values.LARGEST,
    whole: bool = False,
) -> float:
    return values.number(options.get(name, default), name, low, high, whole=whole, text=True)


@serve.deployment(max_ongoing_requests=MOST_AT_ONCE)
class Segmenter:
    """A replica: one checkpoint, and the questions that have come since its last batch."""

    def __init__(self, model: str | None, device: str, precision: str):
        self.predictor = Predictor.from_pretrained(model, device, precision)

    async def __call__(self, request: Any) -> JSONResponse:
        """GET / describes the model. POST /segment gives masks as JSON, /decode mask logits for the page."""
        path = request.url.path
        if request.method == "GET" and path == "/":
            pixels = asdict(self.predictor.model.config.pixels)
            return JSONResponse({"model": self.predictor.info.name, "pixels": pixels})
        if request.method != "POST" or path not in ("/segment", "/decode"):
            return JSONResponse({"error": "Send POST /segment or GET /."}, 404)
        try:
            question = await asyncio.to_thread(read_question, await _body(request))
            answer = await self.answer((*question, path == "/segment"))
        except EvfSamError as error:
            return JSONResponse({"error": str(error)}, 400)
        if isinstance(answer, EvfSamError):
            return JSONResponse({"error": str(answer)}, 400)
        if isinstance(answer, Exception):
            raise answer
        return JSONResponse(answer)

    @serve.batch(max_batch_size=MOST_TOGETHER, batch_wait_timeout_s=0.005)
    async def answer(self, questions: list[tuple]) -> list[dict[str, Any] | Exception]:
        """Answers in the order of the questions. What comes meanwhile waits for the next batch."""
        return await asyncio.to_thread(self._answer, questions)

    def _answer(self, questions: Sequence[tuple]) -> list[dict[str, Any] | Exception]:
        by_image: dict[bytes, list[int]] = defaultdict(list)
        for i, (file, *_) in enumerate(questions):
            by_image[hashlib.blake2b(file, digest_size=16).digest()].append(i)
        answers: list[dict[str, Any] | Exception] = [EvfSamError("It was not answered.")] * len(questions)
        for rows in by_image.values():
            try:
                _, image, whole, *_ = questions[rows[0]]
                encoded = self.predictor.encode(image, whole)
                parts = decode_together(self.predictor, encoded, [questions[i][3] for i in rows])
            except Exception as error:
                parts = [error] * len(rows)
            for i, part in zip(rows, parts, strict=True):
                try:
                    answers[i] = (
                        part if isinstance(part, Exception) else self._written(encoded, *questions[i][3:], *part)
                    )
                except Exception as error:
                    answers[i] = error
        return answers

    def _written(self, encoded, asked, full_size: bool, masks, rows: range, warnings) -> dict[str, Any]:
        if not full_size:
            return write_masks(masks.rows([*rows]), [warnings[row] for row in rows])
        results = []
        for row, prompt, by_hand in zip(rows, *asked, strict=True):
            found = self.predictor.finish(masks, row, encoded, prompt, warnings[row], by_hand)
            results.append(
                {
                    "phrase": prompt,
                    "score": found.score,
                    "presence": found.presence,
                    "area": found.area_fraction,
                    "box_xyxy": found.box_xyxy,
                    "rle": encode_rle(found.mask),
                    "warnings": list(found.warnings),
                }
            )
        return {"model": self.predictor.info.name, "results": results}


async def _body(request: Any) -> bytes:
    """The body of a request. Raises InputError if it is too long."""
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > MOST_BYTES:
            raise InputError(f"This question is longer than {MOST_BYTES:,} bytes: send a smaller image.")
    if not body:
        raise InputError(UNREADABLE)
    return bytes(body)
