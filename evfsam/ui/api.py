"""Endpoints for programs: stable names beside the page. Masks come as files, everything else as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from evfsam import values
from evfsam.errors import VideoError
from evfsam.media.bundle import bundle
from evfsam.media.export import encode_rle
from evfsam.types import Segmentation
from evfsam.ui import answers
from evfsam.ui.comparison import WAYS, figures, pairwise_iou
from evfsam.ui.components import picture_input
from evfsam.ui.downloads import bare, write_files
from evfsam.ui.errors import with_user_errors
from evfsam.ui.followed import Question
from evfsam.ui.kept import DEFAULT, HIGHEST, LOWEST, STEP, Answer
from evfsam.ui.prompts import split_prompts
from evfsam.ui.service import ModelService
from evfsam.ui.tabs import compare, parts, referring, semantic
from evfsam.ui.tabs.common import ON_CLIP, ON_GPU
from evfsam.ui.turns import Client
from evfsam.ui.video_files import masks_files
from evfsam.ui.video_job import FULL, Job
from evfsam.ui.video_prompts import name_objects
from evfsam.ui.video_work import SIDES, clip_of, times_of
from evfsam.video.tracker import DIRECTIONS

MASK_BYTES = 2**28  # of a clip, as run lengths
PUBLIC, PUBLIC_CLIP = ({**how, "api_visibility": "public"} for how in (ON_GPU, ON_CLIP))


def segment(
    service: ModelService, picture: str | None, phrases: str, model: str, threshold: float
) -> tuple[dict[str, Any], list[str]]:
    """Masks of the things that phrases name, as (JSON, files)."""
    threshold = values.number(threshold, "threshold", LOWEST, HIGHEST, default=DEFAULT)
    answer = referring.ask(service, _model(service, model), picture, phrases, thresholds=(threshold,))
    return _answered(service, answer, threshold)


def label(service: ModelService, picture: str | None, categories: str, model: str) -> tuple[dict[str, Any], list[str]]:
    """One label map of categories, as (JSON, files)."""
    names = semantic.categories([], categories)
    answer = semantic.ask(service, _model(service, model), picture, names)
    document, files = _answered(service, answer)
    return {**document, "labelled": round(answer.labels.covered, 6)}, files


def take_apart(
    service: ModelService, picture: str | None, thing: str, names: str, model: str
) -> tuple[dict[str, Any], list[str]]:
    """Masks of the parts of a thing, as (JSON, files)."""
    thing = _text(thing)
    answer = parts.ask(service, _model(service, model), picture, thing, split_prompts(names))
    return _answered(service, answer)


def compare_(
    service: ModelService, picture: str | None, phrases: str, by: str, of: str, model: str
) -> tuple[dict[str, Any], list[str]]:
    """Several answers on one image compared, as (JSON, files)."""
    by, of = values.choice(by, "by", WAYS), _text(of)
    named = split_prompts(of) if of.strip() else []
    for found in compare.compare(service, by, picture, phrases, named, named, _model(service, model)):
        compared = found
    sides = [
        {
            **figures(side),
            **_described(service, side.segmentation, side.candidate.model),
            "phrase": side.candidate.prompt,
        }
        for side in compared.sides
    ]
    return {"sides": sides, "iou": pairwise_iou(compared.sides).tolist()}, write_files(compare.contents(compared))


def track(
    service: ModelService,
    path: str | None,
    phrases: str,
    frame: int,
    direction: str,
    start_s: float,
    end_s: float,
    model: str,
    find_again: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Objects followed through a clip, as (JSON, files)."""
    frame = values.number(frame, "frame", 0, service.limits.frames - 1, whole=True, default=0)
    direction = values.choice(direction, "direction", DIRECTIONS)
    find_again = values.flag(True if find_again is None else find_again, "find_again")
    clip = clip_of(path, start_s, end_s, max(SIDES), service.limits)
    prompts = name_objects(phrases, frame)
    # A program is told about a clip that is too long: it does not see that one was cut.
    info = replace(clip, max_frames=service.limits.frames + 1).open().info
    service.limits.check_seconds(float(info.duration))
    service.limits.check_clip(info.frame_count, len(prompts))
    job = Job.of(Question(clip, _model(service, model), direction, find_again), prompts)
    for step in service.track(job, MASK_BYTES):
        outcome = step  # the last one; no other is kept
    followed = outcome.followed
    if followed.left:
        raise VideoError(FULL)
    scores, warnings = followed.scores(), followed.warnings()
    objects = [
        {
            "object_id": i,
            "phrase": name,
            "scores": [_finite(score) for score in scores[i]],
            "warnings": list(warnings[i]),
        }
        for i, name in job.names.items()
    ]
    document = {
        "model": job.question.model,
        "times_s": list(times_of(followed)),
        "objects": objects,
        "warnings": list(info.notes),
    }
    return document, [followed.video_path, *masks_files(followed)]


def models(service: ModelService) -> list[dict[str, Any]]:
    """The checkpoints on offer, and what each can do."""
    return [
        {
            "name": name,
            "default": name == service.default_model,
            "on_hub": info.on_hub,
            "capabilities": list(info.capabilities),
            "parameters": info.parameters,
            "licence": info.licence,
            "description": info.description,
        }
        for name, info in service.models.items()
    ]


def _model(service: ModelService, name: Any) -> str:
    """The checkpoint that a request names: nothing means the default one. Raises CheckpointError for any other."""
    return service.default_model if name is None or name == "" else service.info(name).name


def _text(value: Any) -> str:
    return "" if value is None else values.prompt_text(value)


def _answered(service: ModelService, answer: Answer, threshold: float = DEFAULT) -> tuple[dict[str, Any], list[str]]:
    """An answer with its masks cut at ``threshold``, as (JSON, files)."""
    rows: list[dict[str, Any]] = []
    client, things, name = Client(), answer.things_at(threshold), Path(answer.picture_path).name

    def described() -> Iterator[Segmentation]:
        for i, found in enumerate(answer.at(threshold)):
            client.check()
            lost = answer.labels.lost[i] if answer.labels else 0.0
            rows.append(_described(service, found, answer.model, lost))
            rows[-1]["things"] = [_measured(thing) for thing in things[i]]
            yield found

    files = write_files(bundle(answer.image, bare(described()), name, things))
    height, width = answer.size_hw
    document = {
        "picture": {"name": name, "width": width, "height": height},
        "model": answer.model,
        "device": answer.device,
        "precision": answer.precision,
        "encode_seconds": answer.encode_seconds,
        "decode_seconds": answer.decode_seconds,
        "results": rows,
    }
    return document, files


def _described(service: ModelService, found: Segmentation, model: str, lost: float = 0.0) -> dict[str, Any]:
    return {
        "phrase": answers.label_of(found),
        **_measured(found),
        "warnings": list(answers.notes(found, service.info(model), lost)),
    }


def _measured(found: Segmentation) -> dict[str, Any]:
    return {
        "score": _finite(found.score),
        "presence": _finite(found.presence),
        "area": round(found.area_fraction, 6),
        "box_xyxy": found.box_xyxy,
        "rle": encode_rle(found.mask),
    }


def _finite(value: float | None) -> float | None:
    """Rounded for JSON, which has no NaN: null stands for it."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _raw(component: Component) -> Component:
    """The component, handing on the values of requests unchanged: the endpoint checks them and says what is wrong."""
    component.preprocess = lambda value: value
    return component


def layout(service: ModelService) -> None:
    """The endpoints; the page shows none of their components."""
    with gr.Column(visible=False):
        picture = picture_input()
        text, names = _raw(gr.Textbox()), _raw(gr.Textbox())
        # Clients take a component's first value for the default, and none for "has to be given".
        of, model = _raw(gr.Textbox("")), _raw(gr.Textbox("", label="model, empty for the default one"))
        by = _raw(gr.Radio(list(WAYS), value=compare.PROMPTS))
        threshold = _raw(gr.Slider(LOWEST, HIGHEST, DEFAULT, step=STEP))
        film, frame = gr.Video(format=None, sources=["upload"]), _raw(gr.Number(0, precision=0))
        direction = _raw(gr.Radio(list(DIRECTIONS), value="forward"))
        start, end, again = _raw(gr.Number(0)), _raw(gr.Number(0)), _raw(gr.Checkbox(True))
        document, files, call = gr.JSON(), gr.Files(), gr.Button()

    def on_segment(picture, phrases, model="", threshold=0.5):
        """Mask the things that phrases name in a picture.

        Args:
            picture: the picture.
            phrases: one per line, or with commas between them.
            model: a name from /models, or empty for the default one.
            threshold: a pixel is inside where its probability is above this, 0.05 to 0.95.
        """
        return segment(service, picture, phrases, model, threshold)

    def on_semantic(picture, categories, model=""):
        """Label everything of some categories in a picture, at most one label per pixel.

        Args:
            picture: the picture.
            categories: with commas between them.
            model: a name from /models, or empty for the default one.
        """
        return label(service, picture, categories, model)

    def on_parts(picture, thing, parts, model=""):
        """Mask the parts of a kind of thing in a picture.

        Args:
            picture: the picture.
            thing: "car", or empty for the parts of anything.
            parts: with commas between them.
            model: a name from /models, or empty for the default one.
        """
        return take_apart(service, picture, thing, parts, model)

    def on_compare(picture, phrases, by="phrases", of="", model=""):
        """Compare two to four checkpoints, phrases or precisions on one picture.

        Args:
            picture: the picture.
            phrases: what to find; two to four, with commas, to compare phrases.
            by: "checkpoints", "phrases" or "precisions".
            of: the checkpoints or precisions to compare, with commas between them.
            model: for phrases and precisions, a name from /models, or empty for the default one.
        """
        return compare_(service, picture, phrases, by, of, model)

    def on_track(video, phrases, frame=0, direction="forward", start_s=0, end_s=0, model="", find_again=True):
        """Follow objects through a video; the files are the overlaid video, masks as PNG and COCO JSON.

        Args:
            video: the video.
            phrases: one per object, with commas between them.
            frame: the frame on which they are named, counted from the first frame of the clip.
            direction: "forward", "backward" or "both" from that frame.
            start_s: where the clip begins, in seconds.
            end_s: where it ends, 0 for the end of the video.
            model: a name from /models, or empty for the default one.
            find_again: ask for objects by their words on every frame, to find what comes back into sight.
        """
        return track(service, video, phrases, frame, direction, start_s, end_s, model, find_again)

    def on_models():
        """The checkpoints on offer and what each can do."""
        return models(service)

    def offer(handler, name, inputs, outputs, **how):
        handler = with_user_errors(handler)
        handler.__name__ = name  # Gradio offers it to language models under this name
        call.click(handler, inputs, outputs, api_name=name, **how)

    found = [document, files]
    offer(on_segment, "segment", [picture, text, model, threshold], found, **PUBLIC)
    offer(on_semantic, "semantic", [picture, text, model], found, **PUBLIC)
    offer(on_parts, "parts", [picture, text, names, model], found, **PUBLIC)
    offer(on_compare, "compare", [picture, text, by, of, model], found, **PUBLIC)
    offer(on_track, "track", [film, text, frame, direction, start, end, model, again], found, **PUBLIC_CLIP)
    offer(on_models, "models", None, document, api_visibility="public")
