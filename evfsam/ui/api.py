"""What programs may call: stable endpoints beside the page, masks as files and the rest as JSON."""

from __future__ import annotations

from typing import Any

import gradio as gr

from evfsam.media.export import bundle, encode_rle
from evfsam.types import Segmentation
from evfsam.ui import answers
from evfsam.ui.comparison import figures, pairwise_iou
from evfsam.ui.components import picture_input
from evfsam.ui.downloads import bare, write_files
from evfsam.ui.errors import with_user_errors
from evfsam.ui.label_map import exclusive, settle
from evfsam.ui.phrases import split_phrases
from evfsam.ui.service import Answer, ModelService
from evfsam.ui.tabs import compare, parts, referring, semantic, video
from evfsam.ui.tabs.common import ON_GPU
from evfsam.ui.video_job import Job
from evfsam.video.tracker import DIRECTIONS

PUBLIC = {**ON_GPU, "api_visibility": "public"}


def segment(
    service: ModelService, picture: str | None, phrases: str, model: str, threshold: float
) -> tuple[dict[str, Any], list[str]]:
    """Masks of what phrases name, (JSON, files)."""
    answer = referring.ask(service, model or service.default_model, picture, phrases)
    return _answered(answer, answer.at(threshold))


def label(service: ModelService, picture: str | None, categories: str, model: str) -> tuple[dict[str, Any], list[str]]:
    """One label map of categories, (JSON, files)."""
    answer = semantic.ask(service, model or service.default_model, picture, semantic.categories([], categories))
    settled = settle(answer.segmentations)
    document, files = _answered(answer, exclusive(answer.segmentations, settled))
    return {**document, "labelled": round(settled.covered, 6)}, files


def take_apart(
    service: ModelService, picture: str | None, thing: str, names: str, model: str
) -> tuple[dict[str, Any], list[str]]:
    """Masks of a thing's parts, (JSON, files)."""
    answer = parts.ask(service, model or service.default_model, picture, thing, split_phrases(names))
    return _answered(answer, answer.segmentations)


def compare_(
    service: ModelService, picture: str | None, phrases: str, by: str, of: str, model: str
) -> tuple[dict[str, Any], list[str]]:
    """Sides compared on one picture, (JSON, files)."""
    named = split_phrases(of) if of.strip() else []
    *_, found = compare.compare(service, by, picture, phrases, named, named, model or service.default_model)
    sides = [
        {**figures(side), **_described(side.segmentation), "phrase": side.candidate.phrase} for side in found.sides
    ]
    return {"sides": sides, "iou": pairwise_iou(found.sides).tolist()}, compare.files(found)[1]


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
    """Objects followed through a clip, (JSON, files)."""
    clip = video.clip_of(path, start_s, end_s, max(video.SIDES))
    prompts = video.name_objects(phrases, frame)
    job = Job(clip, model or service.default_model, prompts, direction, find_again)
    *_, outcome = video.track(service, job)
    objects = [{"object_id": i, "phrase": name, "scores": list(outcome.scores[i])} for i, name in job.names.items()]
    return {"model": job.model, "times_s": list(outcome.times_s), "objects": objects}, list(outcome.files)


def models(service: ModelService) -> list[dict[str, Any]]:
    """What can be asked, and what each checkpoint can do."""
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


def _answered(answer: Answer, segmentations: list[Segmentation]) -> tuple[dict[str, Any], list[str]]:
    height, width = answer.image.shape[:2]
    document = {
        "picture": {"name": answer.picture_name, "width": width, "height": height},
        "model": answer.model,
        "device": answer.device,
        "precision": answer.precision,
        "encode_seconds": answer.timed.encode_seconds,
        "decode_seconds": answer.timed.decode_seconds,
        "results": [_described(s) for s in segmentations],
    }
    return document, write_files(bundle(answer.image, bare(segmentations), answer.picture_name))


def _described(segmentation: Segmentation) -> dict[str, Any]:
    return {
        "phrase": answers.label_of(segmentation),
        "score": round(segmentation.score, 6),
        "presence": segmentation.presence,
        "area": round(segmentation.area_fraction, 6),
        "box_xyxy": segmentation.box_xyxy,
        "rle": encode_rle(segmentation.mask),
        "warnings": list(segmentation.warnings),
    }


def layout(service: ModelService) -> None:
    """The endpoints; nothing of them is seen on the page."""
    with gr.Column(visible=False):
        picture = picture_input()
        text, names = gr.Textbox(), gr.Textbox()
        # Clients take a component's first value for the default, and none for "has to be given".
        of, model = gr.Textbox(""), gr.Textbox("", label="model, empty for the default one")
        by = gr.Radio(list(compare.WAYS), value=compare.PHRASES)
        threshold = gr.Slider(0.05, 0.95, 0.5, step=0.05)
        film, frame = gr.Video(format=None, sources=["upload"]), gr.Number(0, precision=0)
        direction = gr.Radio(list(DIRECTIONS), value="forward")
        start, end, again = gr.Number(0), gr.Number(0), gr.Checkbox(True)
        document, files, call = gr.JSON(), gr.Files(), gr.Button()

    def on_segment(picture, phrases, model="", threshold=0.5):
        """Mask what phrases name in a picture.

        Args:
            picture: the picture.
            phrases: one a line or with commas between them.
            model: a name from /models, or empty for the default one.
            threshold: probability above which a pixel is inside, 0.05 to 0.95.
        """
        return segment(service, picture, phrases, model, threshold)

    def on_semantic(picture, categories, model=""):
        """Label everything of some categories in a picture, one label a pixel.

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
            phrases: an object each, with commas between them.
            frame: on which they are named, counted from the clip's first.
            direction: "forward", "backward" or "both" from that frame.
            start_s: where the clip begins, in seconds.
            end_s: where it ends, 0 for the end of the video.
            model: a name from /models, or empty for the default one.
            find_again: ask for things by their words on every frame, to find what comes back into sight.
        """
        return track(service, video, phrases, int(frame), direction, start_s, end_s, model, bool(find_again))

    def on_models():
        """The checkpoints on offer and what each can do."""
        return models(service)

    def offer(handler, name, inputs, outputs, **how):
        handler = with_user_errors(handler)
        handler.__name__ = name  # under which language models find it; Gradio reads it off the function
        call.click(handler, inputs, outputs, api_name=name, **how)

    found = [document, files]
    offer(on_segment, "segment", [picture, text, model, threshold], found, **PUBLIC)
    offer(on_semantic, "semantic", [picture, text, model], found, **PUBLIC)
    offer(on_parts, "parts", [picture, text, names, model], found, **PUBLIC)
    offer(on_compare, "compare", [picture, text, by, of, model], found, **PUBLIC)
    offer(on_track, "track", [film, text, frame, direction, start, end, model, again], found, **PUBLIC)
    offer(on_models, "models", None, document, api_visibility="public")
