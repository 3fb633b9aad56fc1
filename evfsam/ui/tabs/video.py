"""Name it once, follow it through a clip."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape

import gradio as gr
import numpy as np

from evfsam import values
from evfsam.checkpoints.registry import video_warning
from evfsam.errors import InputError, VideoError
from evfsam.media.palette import colour_of
from evfsam.types import VideoPrompt
from evfsam.ui import video_job, viewer
from evfsam.ui.clicking import ADD, REMOVE, with_drag
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import example_gallery, picked, read_clips
from evfsam.ui.head import Head
from evfsam.ui.limits import Limits
from evfsam.ui.phrases import split_phrases
from evfsam.ui.service import ModelService
from evfsam.ui.tabs import common
from evfsam.ui.timeline import progress_html, scores_html
from evfsam.ui.video_job import Clip, Job, Outcome, Step
from evfsam.ui.viewer import Row
from evfsam.video.tracker import DIRECTIONS

PROGRESS_S = 0.25  # between two updates of the page: a browser draws slower than a small model tracks
TAB = "video"
EMPTY = common.empty_stage(
    "Name it once, follow it through",
    "Bring a clip, name what to follow, look at the first mask,",
    "then let it run. Sound, length and frame rate stay.",
)
SIDES = (480, 720, 1080)
CANCELLED = '<p class="evf-status">Cancelled; nothing was kept.</p>'
SCAN_EVERY = 5  # frames


def clip_of(path: str | None, start_s: float | None, end_s: float | None, max_long_side: int, limits: Limits) -> Clip:
    """The part of a video that is worked on; an ``end_s`` of 0 or None is the end of the file.

    Raises InputError if there is no video, and for numbers that cannot be used.
    """
    if not path:
        raise InputError("Choose a video first: upload or record one.")
    start = values.number(start_s, "start_s", 0, default=0)
    end = values.number(end_s, "end_s", 0, default=0)
    if end and end <= start:
        raise InputError(f"The clip ends at {end:g} s, before it starts at {start:g} s: choose a later end.")
    side = values.number(max_long_side, "size", 16, max(SIDES), whole=True)
    return Clip(path, start, end or None, side, limits.frames)


def describe(clip: Clip) -> tuple[str, int]:
    """The facts of a clip as HTML, and its number of frames. Raises VideoError."""
    info = clip.open().info
    height, width = info.size_hw
    facts = [
        f"{width} × {height}",
        f"{float(info.fps):.4g} frames a second",
        f"{float(info.duration):.1f} s, {info.frame_count} frames",
        "with sound" if info.has_audio else "no sound",
    ]
    notices = "".join(f'<p class="evf-notice">{escape(note)}</p>' for note in info.notes)
    return f'<p class="evf-status">{" · ".join(facts)}</p>{notices}', info.frame_count


def notice_html(service: ModelService, model: str) -> str:
    """A notice as HTML if a checkpoint does not track."""
    told_so = video_warning(service.info(model))
    return f'<p class="evf-notice">{escape(told_so)}</p>' if told_so else ""


def require_video(service: ModelService, model: str) -> None:
    """Raises VideoError for a checkpoint that does not track."""
    if told_so := video_warning(service.info(model)):
        raise VideoError(told_so)


def name_objects(text: str, frame_index: int) -> tuple[VideoPrompt, ...]:
    """One object per phrase, all named on one frame. Raises InputError if there is none."""
    frame_index = values.number(frame_index, "frame", 0, whole=True)
    return tuple(VideoPrompt(i, phrase, frame_index) for i, phrase in enumerate(split_phrases(text), start=1))


def frame_html(
    service: ModelService,
    model: str,
    clip: Clip,
    prompts: Sequence[VideoPrompt],
    frame_index: int,
    followed: str | None = None,
) -> tuple[str, list[str]]:
    """One frame with what its prompts find there, as HTML, and the objects that they do not find.

    ``followed``: the COCO JSON of the last run, for objects that have no prompt on this frame.
    """
    frame_index = values.number(frame_index, "frame", 0, whole=True)
    service.limits.check_clip(0, len({p.object_id for p in prompts}))
    image = clip.open().frame(frame_index)
    here = [p for p in prompts if p.frame_index == frame_index]
    names = {p.object_id: p.text for p in prompts if p.text}
    found = {o.object_id: o for o in service.preview(model, image, here).objects} if here else {}
    tracked = video_job.read_frame(followed, frame_index) if followed else {}
    nothing = np.zeros(image.shape[:2], bool)
    rows, marks, missing = [], [], []
    for place, (object_id, phrase) in enumerate(names.items()):
        marks.append(video_job.clicks_at(prompts, object_id, frame_index))
        if object_id not in found and object_id in tracked:
            mask, score = tracked[object_id]
            rows.append(Row(phrase, mask, colour_of(place), score))
            continue
        if object_id not in found:
            note = ("Named on another frame; a click here corrects it from here on.",)
            rows.append(Row(phrase, nothing, colour_of(place), None, note))
            continue
        # A prompt that corrects has no text of its own.
        rows.append(replace(video_job.object_row(found[object_id], place), label=phrase))
        if not found[object_id].visible:
            missing.append(phrase)
    return viewer.stage(image, f"frame {frame_index}", rows, marks, refining=True), missing


def step_html(step: Step) -> str | None:
    """The preview of a step, None if it brings none."""
    if step.image is None:
        return None
    return viewer.stage(step.image, "the frame at work", step.rows)


def track(service: ModelService, job: Job) -> Iterator[Step | Outcome]:
    """Do the job. Raises EvfSamError if it cannot be done, or if there is none."""
    if not isinstance(job, Job):
        raise VideoError("Choose a clip and say what to follow: then it can be followed.")
    yield from service.track(job)


def find_first(service: ModelService, model: str, clip: Clip, phrase: str) -> Iterator[tuple[int, bool]]:
    """(frame index, found) of every fifth frame up to the first on which a phrase finds something."""
    yield from service.scan(model, clip, phrase, SCAN_EVERY)


def layout(service: ModelService, head: Head) -> common.Linked:
    """The tab's contents."""
    model = head.model
    prompts, running, followed = gr.State(()), gr.State(""), gr.State()
    examples = read_clips()
    with gr.Row(equal_height=False):
        with common.question_column():
            able = common.line(notice_html(service, service.default_model))
            video = gr.Video(
                label="Video", format=None, sources=["upload", "webcam"], height=330, buttons=[], elem_id="video-file"
            )
            facts = common.line()
            phrases = gr.Textbox(
                label="What to follow",
                info="One object, or several with commas between them.",
                placeholder="the red car, the dog",
                elem_id="video-phrases",
            )
            with gr.Group(visible=False) as framing:
                frame = gr.Slider(0, 1, 0, step=1, label="Frame on which to name it", elem_id="video-frame")
                use = gr.Button("Use the frame shown by the player", size="sm", elem_id="video-use")
            with gr.Accordion("Start, end, size, direction", open=False):
                with gr.Row():
                    start = gr.Number(0, minimum=0, label="Start (s)", min_width=100, elem_id="video-start")
                    end = gr.Number(0, minimum=0, label="End (s), 0 for the end", min_width=100, elem_id="video-end")
                side = gr.Radio(list(SIDES), value=720, label="Long side, at most (pixels)")
                direction = gr.Radio(list(DIRECTIONS), value="forward", label="Follow from that frame")
                again = gr.Checkbox(
                    True,
                    label="Keep asking for things by their words",
                    info="Finds what comes back into sight, with checkpoints that can say that something is not there.",
                    elem_id="video-again",
                )
                transparent = gr.Checkbox(label="Also make a transparent WebM of the cut-outs (slow)")
            with gr.Row():
                look = gr.Button("Preview", min_width=120, elem_id="video-look")
                go = gr.Button("Follow", variant="primary", min_width=120, elem_id="video-ask")
            cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="video-cancel")
            scan = gr.Button("Find where it appears", visible=False, elem_id="video-scan")
            gallery = example_gallery([(e, ", ".join(e.follow)) for e in examples], "video-examples")
        with common.answer_column():
            result = gr.Video(
                label="Followed",
                format=None,
                interactive=False,
                visible=False,
                autoplay=True,
                loop=True,
                elem_id="video-result",
            )
            view = common.viewer(EMPTY, "video-view", refining=True)
            inside = gr.Radio(
                [ADD, REMOVE],
                value=ADD,
                label="What I click on the frame …",
                info="Clicks correct the masks of the frame above; on a later frame they correct the track.",
                visible=False,
                elem_id="video-inside",
            )
            status = gr.HTML("", elem_id="video-status", elem_classes=["evf-flush"])
            plot = common.line()
            kept = common.downloads_panel(TAB, "Video, masks as PNG, COCO JSON")

    clip_inputs = [video, start, end, side]

    def on_clip(path, start, end, side):
        if not path:
            return "", gr.update(maximum=1, value=0), EMPTY, (), None, gr.update(visible=False)
        clip = clip_of(path, start, end, side, service.limits)
        text, count = describe(clip)
        html, _ = frame_html(service, "", clip, (), 0)
        slider = gr.update(maximum=max(count - 1, 1), value=0)
        return text, slider, html, (), None, gr.update(visible=True)

    def on_frame(path, start, end, side, model, frame, prompts, followed):
        clip = clip_of(path, start, end, side, service.limits)
        return frame_html(service, model, clip, prompts, frame, followed)[0]

    def on_use(path: gr.Video, start, end, side):
        clip = clip_of(path.value, start, end, side, service.limits)
        position = values.number(path.playback_position, "position", default=0)
        return clip.open().index_at(max(0.0, position - clip.start_s))

    def shown(clip, model, named, frame, followed=None):
        html, missing = frame_html(service, model, clip, named, frame, followed)
        note = f"Nothing found on this frame: {', '.join(missing)}. Choose another frame." if missing else ""
        notice = f'<p class="evf-notice">{escape(note)}</p>' if note else ""
        return named, html, notice, gr.update(visible=bool(missing)), gr.update(visible=True), followed

    def on_look(path, start, end, side, model, text, frame):
        require_video(service, model)
        return shown(clip_of(path, start, end, side, service.limits), model, name_objects(text, frame), frame)

    def on_click(path, start, end, side, model, frame, prompts, followed, inside, event: gr.EventData):
        names = list({p.object_id: p for p in prompts})
        row = event._data["value"]
        if not names or (row is None and len(names) > 1):
            raise InputError("Look at the first mask, then choose the object to correct by its row.")
        frame = values.number(frame, "frame", 0, whole=True)
        row = values.number(row, "row", 0, len(names) - 1, whole=True, default=0, text=True)
        clip, object_id = clip_of(path, start, end, side, service.limits), names[row]
        before = video_job.clicks_at(prompts, object_id, frame)
        belongs = inside == ADD and not event._data.get("beside")
        clicks = with_drag(before, belongs, event._data["index"], clip.open().info.size_hw)
        return shown(clip, model, video_job.corrected(prompts, object_id, frame, clicks), frame, followed)

    def on_scan(path, start, end, side, model, text):
        phrase, at = split_phrases(text)[0], 0
        for at, found in find_first(service, model, clip_of(path, start, end, side, service.limits), phrase):
            yield at, f'<p class="evf-status">Looked at frame {at} …</p>', gr.skip()
            if found:
                yield at, f'<p class="evf-status">Found on frame {at}.</p>', gr.update(visible=False)
                return
        raise VideoError(f"{phrase!r} was found on no frame: choose other words or another clip.")

    def on_start(path, start, end, side, model, text, frame, prompts, direction, again, transparent):
        require_video(service, model)
        clip = clip_of(path, start, end, side, service.limits)
        asked = name_objects(text, frame)
        same = [p.text for p in asked] == [p.text for p in prompts if p.text]
        job = Job(clip, model, prompts if same else asked, direction, bool(again), bool(transparent))
        service.limits.check_clip(len(clip.open()), len(job.names))
        cancel_again = gr.update(visible=True, value="Cancel", interactive=True)
        return job, job.prompts, cancel_again, gr.update(interactive=False)

    def on_go(job):
        hidden = gr.update(visible=False)
        told_at = 0.0
        for step in track(service, job):
            if not isinstance(step, Step):
                outcome = step
                continue
            html, now = step_html(step), time.monotonic()
            if html is not None or now - told_at > PROGRESS_S:
                told_at = now
                html = gr.skip() if html is None else html
                yield html, progress_html(step), hidden, "", None, hidden, gr.skip(), gr.skip()
        video = gr.update(value=outcome.video_path, visible=True)
        plotted = scores_html(job.names, outcome.times_s, outcome.scores)
        panel = gr.update(visible=True, open=False)
        notes = "".join(
            f'<p class="evf-notice">{escape(note)}</p>' for told in outcome.warnings.values() for note in told
        )
        # Last of all: the page forgets the zip of a panel that it has not drawn yet if another update follows.
        masks = outcome.files[video_job.JSON_PLACE]
        yield gr.skip(), notes, video, plotted, masks, panel, video_job.archive(outcome), list(outcome.files)

    def on_example(event: gr.EventData):
        example = picked(examples, event)
        return str(example.file), ", ".join(example.follow)

    def on_model(model):
        return notice_html(service, model)

    def on_end(job):
        # Only now: progress that was still under way would have replaced it.
        told = gr.skip() if job else CANCELLED
        return told, gr.update(visible=False), gr.update(interactive=True)

    quick = {"show_progress": "minimal", **common.ON_GPU}
    slow = {"show_progress": "minimal", **common.ON_CLIP}
    model.change(with_user_errors(on_model), model, able, **common.FREE)
    chosen = gallery.select(on_example, None, [video, phrases], queue=False, **common.FREE)
    for event in (video.change, start.change, end.change, side.change):
        event(with_user_errors(on_clip), clip_inputs, [facts, frame, view, prompts, followed, framing], **common.FREE)
    at_frame = with_user_errors(on_frame), [*clip_inputs, model, frame, prompts, followed], view
    gr.on([frame.input, frame.release], *at_frame, trigger_mode="always_last", **quick)
    used = use.click(with_user_errors(on_use), clip_inputs, frame, **common.FREE)
    used.success(*at_frame, **quick)
    previewed = [prompts, view, status, scan, inside, followed]
    for event in (look.click, phrases.submit, chosen.success):
        event(with_user_errors(on_look), [*clip_inputs, model, phrases, frame], previewed, **quick)
    clicked = [*clip_inputs, model, frame, prompts, followed, inside]
    view.select(with_user_errors(on_click), clicked, previewed, **{**quick, "show_progress": "hidden"})
    scanned = scan.click(with_user_errors(on_scan), [*clip_inputs, model, phrases], [frame, status, scan], **slow)
    scanned.success(with_user_errors(on_look), [*clip_inputs, model, phrases, frame], previewed, **quick)
    started = go.click(
        with_user_errors(on_start),
        [*clip_inputs, model, phrases, frame, prompts, direction, again, transparent],
        [running, prompts, cancel, go],
        queue=False,
        **common.FREE,
    )
    outputs = [view, status, result, plot, followed, *kept.outputs]
    went = started.success(with_user_errors(on_go), running, outputs, **slow)
    went.then(on_end, running, [status, cancel, go], queue=False, **common.FREE)
    went.success(*at_frame, **quick)  # the stage shows the slider's frame again: clicks land where one looks
    cancel.click(lambda: None, None, running, cancels=[went], queue=False, **common.FREE)
    return common.Linked(TAB, [phrases], lambda query: [query.get("ask", "")])
