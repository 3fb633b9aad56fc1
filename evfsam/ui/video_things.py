"""Things of a kind in a clip: "every dog" is one object per dog."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from evfsam.geometry import interior_point
from evfsam.things import read
from evfsam.types import PointPrompt, SpatialPrompt, VideoPrompt
from evfsam.ui.asking import MaskQuestion
from evfsam.ui.files import upload_folder
from evfsam.ui.followed import Question
from evfsam.ui.kept import DEFAULT
from evfsam.ui.service import ModelService
from evfsam.ui.video_prompts import Prompts, ThingPrompt


def one_by_one(service: ModelService, question: Question, prompts: Prompts, frame_index: int) -> Prompts:
    """The prompts with a click per thing in place of each phrase on this frame that asks for all of a kind.

    The frame is asked as a picture is, and the mask is taken apart (:func:`evfsam.things.separate`). A phrase that
    finds nothing stays. Raises EvfSamError as :meth:`ModelService.answer`.
    """
    info = service.info(question.model)
    every = [
        p for p in prompts if p.frame_index == frame_index and p.text and not p.spatial and read(p.text, info).every
    ]
    if not every:
        return prompts
    asked = MaskQuestion(tuple(p.text for p in every), (None,) * len(every), (DEFAULT,))
    upload_folder().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=upload_folder()) as folder:  # where the next start deletes what a killed app left
        path = Path(folder) / "frame.png"
        Image.fromarray(question.clip.open().frame(frame_index)).save(path)
        answer = service.answer(question.model, str(path), asked)
    free = count(1 + max(p.object_id for p in prompts))
    found: dict[int, Prompts] = {}
    for prompt, things in zip(every, answer.things_at(), strict=True):
        ids = (prompt.object_id, *(next(free) for _ in range(len(things) - 1)))
        clicked = (
            _click_on(thing.mask, prompt, i, number, thing.prompt)
            for number, (i, thing) in enumerate(zip(ids, things, strict=False), start=1)
        )
        found[id(prompt)] = tuple(clicked) or (prompt,)
    return tuple(one for prompt in prompts for one in found.get(id(prompt), (prompt,)))


def _click_on(mask: np.ndarray, prompt: VideoPrompt, object_id: int, number: int, category: str) -> ThingPrompt:
    place = np.array([interior_point(mask)], np.float32) + 0.5
    clicks = SpatialPrompt(PointPrompt(place, np.ones(1, np.int64)))
    return ThingPrompt(object_id, "", prompt.frame_index, clicks, prompt.text, f"{category} {number}")
