"""The three doors of the project as one function each: a question in, a mask or a sentence out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from evfsam.__main__ import main
from evfsam.errors import EvfSamError
from evfsam.media.export import decode_rle
from evfsam.predictor import Predictor
from evfsam.types import PointPrompt
from tests.media.stills import encoded


@dataclass(frozen=True)
class Question:
    """What somebody asks.

    Attributes:
        image: an array or a PIL image (Python alone), or the bytes of a file.
        prompt: text; anything else is for Python and HTTP alone.
        points: (coords, labels), or None. Python and the command line alone.
        box: four numbers, or None. Python and the command line alone.
        threshold: of the mask. The command line and HTTP alone.
    """

    image: Any
    prompt: Any
    points: tuple[Any, Any] | None = None
    box: Any = None
    threshold: Any = 0.5


class RefusedError(Exception):
    """The sentence with which a question was refused."""


Door = Callable[[Question], np.ndarray]  # bool (H, W); raises RefusedError


def python_door(predictor: Predictor) -> Door:
    def ask(question: Question) -> np.ndarray:
        points = None if question.points is None else [PointPrompt(*question.points)]
        boxes = None if question.box is None else [question.box]
        try:
            return predictor.segment(question.image, [question.prompt], points, boxes)[0].mask
        except EvfSamError as error:
            raise RefusedError(str(error)) from error

    return ask


def command_line_door(folder: Path, read_streams: Callable[[], Any]) -> Door:
    """``read_streams`` is ``capsys.readouterr``."""

    def ask(question: Question) -> np.ndarray:
        image, out = folder / "picture.png", folder / "out"
        image.write_bytes(question.image)
        options = [f"--threshold={question.threshold}"]
        if question.points is not None:
            coords, labels = question.points
            options += [f"--point={x},{y},{label}" for (x, y), label in zip(coords, labels, strict=True)]
        if question.box is not None:
            options.append("--box=" + ",".join(map(str, question.box)))
        code = main(["segment", str(image), "--device", "cpu", "-o", str(out), *options, "-p", question.prompt])
        told = read_streams()
        if code:
            assert code == 2 and "Traceback" not in told.err, told.err
            raise RefusedError(told.err.removeprefix("evfsam: ").removesuffix("\n"))
        ((row,),) = [entry["results"] for entry in json.loads((out / "result.json").read_text())["pictures"]]
        mask = decode_rle(row["rle"])
        if row["box_xyxy"]:  # what was not found gives no file
            assert np.array_equal(np.asarray(Image.open(out / row["mask"])) > 127, mask)
        return mask

    return ask


def http_door(url: str) -> Door:
    def ask(question: Question) -> np.ndarray:
        upload = {"files": ("picture.png", question.image)}
        path = httpx.post(f"{url}gradio_api/upload", files=upload, timeout=60).json()[0]
        picture = {"path": path, "meta": {"_type": "gradio.FileData"}}
        kind, answer = call(url, "segment", [picture, question.prompt, "", question.threshold])
        if kind == "error":
            raise RefusedError(answer["error"])
        (row,) = answer[0]["results"]
        return decode_rle(row["rle"])

    return ask


def call(url: str, endpoint: str, values: Sequence[Any]) -> tuple[str, Any]:
    """("complete" or "error", the answer) of an endpoint. Values are sent as Python's json writes them: NaN as NaN."""
    where = f"{url}gradio_api/call/{endpoint}"
    headers = {"Content-Type": "application/json"}
    sent = httpx.post(where, content=json.dumps({"data": values}), headers=headers, timeout=60)
    assert sent.status_code == 200, sent.text
    told = httpx.get(f"{where}/{sent.json()['event_id']}", timeout=120).text
    kind, data = next(e for e in re.findall(r"event: (\w+)\ndata: (.*)", told) if e[0] in ("complete", "error"))
    return kind, json.loads(data)


def png(image: np.ndarray) -> bytes:
    return encoded(Image.fromarray(image), "png")
