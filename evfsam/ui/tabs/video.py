"""Name it once, follow it through a clip, correct it where it goes wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence

import gradio as gr

from evfsam import values
from evfsam.errors import VideoError
from evfsam.ui import video_work
from evfsam.ui.errors import with_user_errors
from evfsam.ui.examples import ExampleClip, example_gallery, picked, read_clips
from evfsam.ui.followed import Question, Session
from evfsam.ui.head import Head
from evfsam.ui.prompts import split_prompts
from evfsam.ui.service import ModelService
from evfsam.ui.tabs import common
from evfsam.ui.tabs.video_effects import effects_panel
from evfsam.ui.timeline import progress_html, scores_html
from evfsam.ui.video_files import with_archive
from evfsam.ui.video_job import Job, Step
from evfsam.video.tracker import DIRECTIONS

PROGRESS_S = 0.25  # between two updates of the page: a browser draws slower than a small model tracks
TAB = "video"
EMPTY = common.empty_stage(
    "Name it once, follow it through",
    "Bring a clip, name what to follow, look at the first mask,",
    "then let it run. Sound, length and frame rate stay.",
)
HOW_TO_CORRECT = (
    "Masks are shown on every frame that was followed. A click or other words on a frame correct it from there."
)


class Widgets:
    """The tab's components, in the order of the page."""

    def __init__(self, examples: list[ExampleClip], notice: str):
        self.session, self.job = gr.State(Session(), time_to_live=3600), gr.State(time_to_live=3600)
        with gr.Row(equal_height=False):
            with common.question_column():
                self._question(examples, notice)
            with common.answer_column():
                self._answer()
        self.clip = [self.video, self.start, self.end, self.side]
        self.question = [*self.clip, self.direction, self.again]

    def _question(self, examples: list[ExampleClip], notice: str) -> None:
        self.able = common.line(notice)
        self.video = gr.Video(
            label="Video", format=None, sources=["upload", "webcam"], height=330, buttons=[], elem_id="video-file"
        )
        self.facts = common.line()
        self.prompts = gr.Textbox(
            label="What to follow",
            info="One object, or several with commas between them. “every dog” follows dogs one by one.",
            placeholder="the red car, the dog",
            elem_id="video-phrases",
        )
        with gr.Accordion("Start, end, size, direction", open=False, visible=False) as self.options:
            self._options()
        with gr.Row():
            self.look = gr.Button("Preview", min_width=120, elem_id="video-look")
            self.go = gr.Button("Follow", variant="primary", min_width=120, elem_id="video-ask")
        self.cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="video-cancel")
        self.scan = gr.Button("Find where it appears", visible=False, elem_id="video-scan")
        self.gallery = example_gallery([(e, ", ".join(e.follow)) for e in examples], "video-examples")

    def _options(self) -> None:
        with gr.Row():
            self.start = gr.Number(0, minimum=0, label="Start (s)", min_width=100, elem_id="video-start")
            self.end = gr.Number(0, minimum=0, label="End (s), 0 for the end", min_width=100, elem_id="video-end")
        self.side = gr.Radio(list(video_work.SIDES), value=720, label="Long side, at most (pixels)")
        self.direction = gr.Radio(
            list(DIRECTIONS), value="forward", label="Follow from that frame", elem_id="video-direction"
        )
        self.again = gr.Checkbox(
            True,
            label="Keep asking for things by their words",
            info="Finds what comes back into sight, with checkpoints that can say that something is not there.",
            elem_id="video-again",
        )

    def _answer(self) -> None:
        self.result = gr.Video(
            label="Followed",
            format=None,
            interactive=False,
            visible=False,
            autoplay=True,
            loop=True,
            buttons=["download"],
            elem_id="video-result",
        )
        self.status = gr.HTML("", elem_id="video-status", elem_classes=["evf-flush"])
        with gr.Row(visible=False, elem_id="video-frames") as self.framing:
            self.frame = gr.Slider(
                0, 1, 0, step=1, label="Frame", info=HOW_TO_CORRECT, scale=4, min_width=320, elem_id="video-frame"
            )
            self.use = gr.Button("Show the player's frame", size="sm", min_width=100, scale=1, elem_id="video-use")
        self.view = common.viewer(EMPTY, "video-view", refining=True)
        self.plot = common.line()
        self.kept = common.downloads_panel(TAB, "Video, masks as PNG, COCO JSON")
        self.effects = effects_panel(self.session)


def layout(service: ModelService, head: Head) -> common.Linked:
    """The tab's contents."""
    examples = read_clips()
    w = Widgets(examples, video_work.notice_html(service, service.default_model))
    _bring(w, service, head)
    chosen = _example(w, examples, head)
    _correct(w, service, head, chosen)
    _follow(w, service, head)
    return common.Linked(TAB, [w.prompts], lambda query: [query.get("ask", "")])


def state_of(service: ModelService, asked: Sequence) -> tuple[Question, Session]:
    """The question that the components ask, and what was done with its clip. Raises InputError for wrong values.

    ``asked``: the values of the clip's components, the model and the session.
    """
    path, start, end, side, direction, again, model, session = asked
    clip = video_work.clip_of(path, start, end, side, service.limits)
    return Question(clip, model, direction, bool(again)), session.of(clip)


def shown(session: Session, question: Question, frame: int) -> tuple:
    """The values of :func:`_shown_in`: the session, its frame, what was not found, and what can be done next."""
    html = video_work.frame_html(question.clip, session.now, frame, session)
    label = video_work.follow_label(question, session.now) if session.now.prompts else "Follow"
    missing = video_work.missing(session.now, frame)
    lost = [f"Nothing found on this frame: {', '.join(missing)}. Choose another frame."] if missing else []
    return (
        session,
        html,
        video_work.notices_html(lost),
        gr.update(visible=bool(missing)),
        gr.update(value=label),
    )


KEEP = common.keep(lambda session: with_archive(session.now.followed))


def _shown_in(w: Widgets) -> list:
    return [w.session, w.view, w.status, w.scan, w.go]


def _bring(w: Widgets, service: ModelService, head: Head) -> None:
    """A clip, or another part of it, starts clean."""

    def on_clip(path, start, end, side, session):
        hidden, visible = gr.update(visible=False), gr.update(visible=True)
        reset = gr.update(visible=False, value=None), hidden, hidden, hidden, "", gr.update(value="Follow")
        if not path:
            return "", gr.update(maximum=1, value=0), EMPTY, hidden, hidden, *reset
        clip = video_work.clip_of(path, start, end, side, service.limits)
        text, count = video_work.describe(clip)
        html = video_work.frame_html(clip, session.of(clip).now, 0)
        return text, gr.update(maximum=max(count - 1, 1), value=0), html, visible, visible, *reset

    def on_brought(path, start, end, side, model, own):
        return head.route_clip(video_work.clip_of(path, start, end, side, service.limits), model, own)

    def on_model(model):
        return video_work.notice_html(service, model)

    outputs = [w.facts, w.frame, w.view, w.framing, w.options, w.result, w.kept.panel, w.effects, w.scan, w.plot, w.go]
    for event in (w.video.change, w.start.change, w.end.change, w.side.change):
        event(with_user_errors(on_clip), [*w.clip, w.session], outputs, **common.FREE)
    brought = with_user_errors(on_brought), [*w.clip, *head.inputs], head.outputs
    gr.on([w.video.upload, w.video.stop_recording], *brought, **common.FREE)
    head.model.change(with_user_errors(on_model), head.model, w.able, **common.FREE)


def _example(w: Widgets, examples: list[ExampleClip], head: Head):
    def on_example(model, own, event: gr.EventData):
        example = picked(examples, event)
        return *head.route(False, model, own), str(example.file), ", ".join(example.follow)

    return w.gallery.select(on_example, head.inputs, [*head.outputs, w.video, w.prompts], queue=False, **common.FREE)


def _correct(w: Widgets, service: ModelService, head: Head, chosen) -> None:
    """Frames, words, clicks, undo."""
    most = service.limits.kept_bytes

    def then(question, session, frame, work):
        return shown(session.then(work, most), question, frame)

    def on_frame(path, start, end, side, session, frame):
        if not path:
            return EMPTY
        clip = video_work.clip_of(path, start, end, side, service.limits)
        session = session.of(clip)
        return video_work.frame_html(clip, session.now, frame, session)

    def on_use(path: gr.Video, start, end, side):
        clip = video_work.clip_of(path.value, start, end, side, service.limits)
        position = values.number(path.playback_position, "position", default=0)
        return clip.open().index_at(max(0.0, position - clip.start_s))

    def on_look(*inputs):
        *asked, frame, text = inputs
        question, session = state_of(service, asked)
        work = video_work.look(service, question, session.now, text, frame)
        return then(question, session, frame, work)

    def on_click(event: gr.EventData, *inputs):
        *asked, frame = inputs
        question, session = state_of(service, asked)
        row, drag, beside = (event._data.get(name) for name in ("value", "index", "beside"))
        work = video_work.click(service, question, session.now, frame, row, drag, not beside)
        return then(question, session, frame, work)

    def on_delete(event: gr.EventData, *inputs):
        *asked, frame = inputs
        question, session = state_of(service, asked)
        row, mark = event._data.get("value"), event._data.get("index")
        work = video_work.remove_mark(service, question, session.now, frame, row, mark)
        return then(question, session, frame, work)

    def on_clear(*inputs):
        *asked, frame = inputs
        question, session = state_of(service, asked)
        return then(question, session, frame, video_work.remove_marks(service, question, session.now, frame))

    def on_step(question, session, frame):
        followed = session.now.followed
        result = gr.update(value=followed.video_path, visible=True) if followed else gr.update(visible=False)
        return *shown(session, question, frame), result

    def on_undo(*inputs):
        *asked, frame = inputs
        question, session = state_of(service, asked)
        return on_step(question, session.undo(), frame)

    def on_redo(*inputs):
        *asked, frame = inputs
        question, session = state_of(service, asked)
        return on_step(question, session.redo(), frame)

    def on_scan(path, start, end, side, model, text):
        prompt, at = split_prompts(text)[0], 0
        clip = video_work.clip_of(path, start, end, side, service.limits)
        for at, found in service.scan(model, clip, prompt, video_work.SCAN_EVERY):
            yield at, f'<p class="evf-status">Looked at frame {at} …</p>', gr.skip()
            if found:
                yield at, f'<p class="evf-status">Found on frame {at}.</p>', gr.update(visible=False)
                return
        raise VideoError(f"{prompt!r} was found on no frame: choose other words or another clip.")

    outputs, asked = _shown_in(w), [*w.question, head.model, w.session, w.frame]
    quick = {"show_progress": "minimal", **common.ON_GPU}
    at_frame = with_user_errors(on_frame), [*w.clip, w.session, w.frame], w.view
    gr.on([w.frame.input, w.frame.release, w.frame.change], *at_frame, trigger_mode="always_last", **common.FREE)
    w.use.click(with_user_errors(on_use), w.clip, w.frame, **common.FREE)
    scanned = w.scan.click(
        with_user_errors(on_scan),
        [*w.clip, head.model, w.prompts],
        [w.frame, w.status, w.scan],
        **{"show_progress": "minimal", **common.ON_CLIP},
    )
    for event in (w.look.click, w.prompts.submit, chosen.success, scanned.success):
        event(with_user_errors(on_look), [*asked, w.prompts], outputs, **quick)
    w.view.select(with_user_errors(on_click), asked, outputs, **common.MARK)
    w.view.delete(with_user_errors(on_delete), asked, outputs, **common.MARK)
    w.view.clear(with_user_errors(on_clear), asked, outputs, **common.MARK)
    for event, handler in ((w.view.undo, on_undo), (w.view.retry, on_redo)):
        stepped = event(with_user_errors(handler), asked, [*outputs, w.result], **common.STEP)
        stepped.success(KEEP, w.session, w.kept.outputs, **common.FREE)


def _follow(w: Widgets, service: ModelService, head: Head) -> None:
    """Run, show progress, cancel, and show what came of it."""

    def on_start(*inputs):
        *asked, frame, text = inputs
        question, session = state_of(service, asked)
        job = video_work.next_job(service, question, session.now, text, frame)
        return job, gr.update(visible=True, value="Cancel", interactive=True), gr.update(interactive=False)

    def on_go(job, session):
        if not isinstance(job, Job):
            raise VideoError("Choose a clip and say what to follow: then it can be followed.")
        hidden, told_at = gr.update(visible=False), 0.0
        for step in service.track(job):
            if not isinstance(step, Step):
                outcome = step
                continue
            html, now = video_work.step_html(step), time.monotonic()
            if html is not None or now - told_at > PROGRESS_S:
                told_at = now
                html = gr.skip() if html is None else html
                yield gr.skip(), html, progress_html(step), hidden, "", hidden
        followed = outcome.followed
        session = session.of(job.question.clip).then(video_work.after(followed), service.limits.kept_bytes)
        plotted = scores_html(followed.names, video_work.times_of(followed), followed.scores())
        video = gr.update(value=followed.video_path, visible=True)
        told = video_work.done_html(followed, outcome.notices)
        yield session, gr.skip(), told, video, plotted, gr.update(visible=True)

    def on_cancel(job):
        if job is not None:
            service.stop(job)
        return gr.update(value="Finishing what is done …", interactive=False)

    def on_end(*inputs):
        *asked, frame = inputs
        question, session = state_of(service, asked)
        _, html, _, _, label = shown(session, question, frame)
        return html, {**label, "interactive": True}, gr.update(visible=False)

    def on_failed():
        return gr.update(interactive=True), gr.update(visible=False)

    asked, free = [*w.question, head.model, w.session, w.frame], {"queue": False, **common.FREE}
    started = w.go.click(with_user_errors(on_start), [*asked, w.prompts], [w.job, w.cancel, w.go], **free)
    outputs = [w.session, w.view, w.status, w.result, w.plot, w.effects]
    slow = {"show_progress": "minimal", **common.ON_CLIP}
    went = started.success(with_user_errors(on_go), [w.job, w.session], outputs, **slow)
    went.failure(on_failed, None, [w.go, w.cancel], **free)
    # The stage shows the slider's frame again: clicks land where one looks.
    ended = went.success(with_user_errors(on_end), asked, [w.view, w.go, w.cancel], **free)
    w.cancel.click(on_cancel, w.job, w.cancel, **free)
    ended.success(KEEP, w.session, w.kept.outputs, **common.FREE)
