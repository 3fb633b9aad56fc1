"""What a user does with a clip: look at a frame, ask, correct, follow. Plain functions from one state to the next."""

from __future__ import annotations

import zlib
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from evfsam import values
from evfsam.checkpoints.registry import video_warning
from evfsam.errors import InputError, VideoError
from evfsam.types import SpatialPrompt
from evfsam.ui import viewer
from evfsam.ui.clicking import with_drag, without
from evfsam.ui.followed import Clip, Followed, Question, Session, Work
from evfsam.ui.limits import Limits
from evfsam.ui.prompts import split_prompts, with_quotes
from evfsam.ui.service import ModelService
from evfsam.ui.video_job import Job, Step, rows_of
from evfsam.ui.video_prompts import ask_again, clicks_at, name_objects, phrases_of, with_clicks
from evfsam.ui.video_things import one_by_one
from evfsam.video.follow import Leg

SCAN_EVERY = 5  # frames, from one look to the next
SIDES = (480, 720, 1080)
NAMED_ELSEWHERE = "Named on another frame; a click here corrects it from here on."


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
        f"{float(info.fps):.4g} frames per second",
        f"{float(info.duration):.1f} s, {info.frame_count} frames",
        "with sound" if info.has_audio else "no sound",
    ]
    return f'<p class="evf-status">{" · ".join(facts)}</p>{notices_html(info.notes)}', info.frame_count


def notices_html(sentences) -> str:
    return "".join(f'<p class="evf-notice">{escape(with_quotes(sentence))}</p>' for sentence in sentences)


def notice_html(service: ModelService, model: str) -> str:
    """A notice as HTML if a checkpoint does not track."""
    told_so = video_warning(service.info(model))
    return notices_html([told_so] if told_so else [])


def require_video(service: ModelService, model: str) -> None:
    """Raises VideoError for a checkpoint that does not track."""
    if told_so := video_warning(service.info(model)):
        raise VideoError(told_so)


def frame_html(clip: Clip, work: Work, frame_index: int, session: Session | None = None) -> str:
    """One frame with all masks that are known on it, as HTML; no model is needed.

    ``session``: its past can be undone, its future redone; None while there is neither.
    """
    frame_index = values.number(frame_index, "frame", 0, whole=True)
    image = clip.open().frame(frame_index)
    rows = rows_of(work.names, lambda i: work.at(i, frame_index), image.shape[:2], missing=NAMED_ELSEWHERE)
    marks = [clicks_at(work.prompts, i, frame_index) for i in work.names]
    # Zoom stays as it is on all frames of a clip, a chosen row as long as the objects are the same.
    source = f"{Path(clip.path).name} {clip.start_s} {clip.end_s} {clip.max_long_side}"
    key = str(zlib.crc32(repr((source, work.names)).encode()))
    return viewer.stage(image, f"frame {frame_index}", rows, marks, key, history=session or Session(), source=source)


def look(service: ModelService, question: Question, work: Work, text: str, frame_index: int) -> Work:
    """Ask for phrases on a frame: the first question, or a correction by words of what was followed."""
    frame_index = values.number(frame_index, "frame", 0, whole=True)
    require_video(service, question.model)
    asked = ask_again(work.prompts, text, frame_index) if work.followed else name_objects(text, frame_index)
    prompts = one_by_one(service, question, asked, frame_index)
    # Nothing that other words or another model found may stay.
    looks = {place: kept for place, kept in work.looks.items() if work.followed and place[1] != frame_index}
    return _looked(service, question, Work(prompts, looks, work.followed), frame_index)


def click(
    service: ModelService, question: Question, work: Work, frame_index: int, row: Any, drag: Any, belongs: bool
) -> Work:
    """A click or a drag on a frame corrects the object of a row; without a row it brings one more object."""
    frame_index = values.number(frame_index, "frame", 0, whole=True)
    object_id = 1 + max(work.names, default=0) if row is None else _object_at(work, row)
    before = clicks_at(work.prompts, object_id, frame_index)
    clicks = with_drag(before, belongs, drag, question.clip.open().info.size_hw)
    return _looked(service, question, _clicked(work, object_id, frame_index, clicks), frame_index)


def remove_mark(service: ModelService, question: Question, work: Work, frame_index: int, row: Any, mark: Any) -> Work:
    """A frame's clicks on the object of a row without one of them: the index of a point, or "box"."""
    frame_index = values.number(frame_index, "frame", 0, whole=True)
    object_id = _object_at(work, row)
    clicks = without(clicks_at(work.prompts, object_id, frame_index), mark)
    return _looked(service, question, _clicked(work, object_id, frame_index, clicks), frame_index)


def remove_marks(service: ModelService, question: Question, work: Work, frame_index: int) -> Work:
    """A frame without any clicks."""
    for object_id in [p.object_id for p in work.prompts if p.frame_index == frame_index and p.spatial]:
        work = _clicked(work, object_id, frame_index, None)
    return _looked(service, question, work, frame_index)


def _object_at(work: Work, row: Any) -> int:
    names = list(work.names)
    if not names:
        raise InputError("There is nothing to correct yet: type what to follow, then press Preview.")
    return names[values.number(row, "row", 0, len(names) - 1, whole=True, text=True)]


def _clicked(work: Work, object_id: int, frame_index: int, clicks: SpatialPrompt | None) -> Work:
    has_mask = work.followed is not None and frame_index in work.followed.masks.get(object_id, ())
    prompts = with_clicks(work.prompts, object_id, frame_index, clicks, has_mask)
    looks = {place: kept for place, kept in work.looks.items() if place != (object_id, frame_index)}
    return Work(prompts, looks, work.followed)


def _looked(service: ModelService, question: Question, work: Work, frame_index: int) -> Work:
    """The state with what the prompts of a frame find there, unless that is known."""
    require_video(service, question.model)
    followed = work.followed if work.followed and work.followed.question == question else None
    job = Job.of(question, work.prompts, followed).on(frame_index)
    known = [i for i, at in work.looks if at == frame_index]
    if followed:
        same = [p for p in work.prompts if any(p is other for other in followed.prompts)]
        known += [p.object_id for p in same if p.frame_index == frame_index]
    legs = (Leg({i: at for i, at in leg.starts.items() if i not in known}, leg.reverse) for leg in job.legs)
    job = replace(job, legs=tuple(leg for leg in legs if leg.starts))
    found = service.first_frame(job) if job.legs else {}
    return replace(work, looks={**work.looks, **{(i, frame_index): kept for i, kept in found.items()}})


def missing(work: Work, frame_index: int) -> list[str]:
    """The words of the objects that were looked for on a frame and not found."""
    return [
        work.names[i]
        for (i, at), kept in work.looks.items()
        if at == frame_index and i in work.names and not kept.counts
    ]


def next_job(service: ModelService, question: Question, work: Work, text: str, frame_index: int) -> Job:
    """What "Follow" does now. Raises EvfSamError for what cannot be followed."""
    require_video(service, question.model)
    asked = dict.fromkeys(phrases_of(work.prompts).values())
    same = bool(work.prompts) and (not text.strip() or split_prompts(text) == list(asked))
    prompts = work.prompts if same else one_by_one(service, question, name_objects(text, frame_index), frame_index)
    job = Job.of(question, prompts, work.followed if same else None)
    service.limits.check_clip(len(question.clip.open()), len(job.names))
    return job


def follow_label(question: Question, work: Work) -> str:
    """What the button for :func:`next_job` says."""
    job = Job.of(question, work.prompts, work.followed)
    if job.before is None:
        return "Follow"
    if job.before.prompts == work.prompts:
        return f"Go on from frame {job.first}"
    return f"Follow again from frame {job.first}"


def after(followed: Followed) -> Work:
    """The state after a run."""
    return Work(followed.prompts, {}, followed)


def done_html(followed: Followed, notices: tuple[str, ...]) -> str:
    """What came of a run, as HTML."""
    if not followed.left:
        return notices_html(notices)
    first = followed.left[-1].first
    told = f"Cancelled: the result has {followed.stop} of {followed.frames} frames."
    if followed.stop == followed.frames:
        told = f"Cancelled: frames from {first} on are as they were before."
    return notices_html([f"{told} “Go on from frame {first}” does the rest.", *notices])


def step_html(step: Step) -> str | None:
    """The preview of a step, None if it brings none."""
    if step.image is None:
        return None
    return viewer.stage(step.image, "the frame at work", step.rows)


def times_of(followed: Followed) -> tuple[float, ...]:
    """When each frame of the result is shown, in seconds from the clip's start."""
    reader = followed.question.clip.open()
    return tuple(float(reader.time_of(index)[0]) for index in range(followed.stop))
