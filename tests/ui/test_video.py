"""What a user does with a clip, without a browser: look, follow, correct, cancel, take back, and save."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evfsam.data.scenes import render
from evfsam.data.scenes.clips import make_clip
from evfsam.errors import EvfSamError
from evfsam.media.video import VideoReader
from evfsam.media.video_effects import BLURRED, COLOURED, EFFECTS, REMOVED
from evfsam.media.video_writer import open_writer
from evfsam.ui import video_files, video_job, video_work
from evfsam.ui.followed import Clip, KeptObject, Question, Session, Work
from evfsam.ui.limits import Limits
from evfsam.ui.timeline import progress_html
from evfsam.ui.video_job import Job, Outcome, Step
from evfsam.ui.video_prompts import ask_again, name_objects, names_of, with_clicks

FRAMES = 8
AT = [30.0, 20.0, 30.0, 20.0]  # a click


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """The path of a short clip, 96 x 64 pixels."""
    path, clip = tmp_path_factory.mktemp("film") / "clip.mp4", make_clip(900001, FRAMES, 1.5)
    with open_writer(path, Fraction(10)) as writer:
        for t in range(FRAMES):
            writer.write(render(clip.frame(t), (64, 96)).image, Fraction(t, 10), Fraction(1, 10))
    return str(path)


@pytest.fixture
def clip(film, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(video_work, "require_video", lambda *_: None)  # random weights track, but claim nothing
    return video_work.clip_of(film, 0, 0, 720, Limits())


def run(service, job, stop_after=None) -> Outcome:
    """Do a job; cancel it after so many steps."""
    steps = []
    for step in service.track(job):
        steps.append(step)
        if len(steps) == stop_after:
            service.stop(job)
    assert isinstance(steps[-1], Outcome)
    return steps[-1]


@pytest.fixture
def question(clip):
    return Question(clip, "first")


@pytest.fixture
def followed(service, question):
    return run(service, Job.of(question, name_objects("the dog, the sky", 1))).followed


def test_what_will_be_done_is_said_first(clip):
    text, count = video_work.describe(clip)
    assert "96 × 64" in text and "8 frames" in text and "no sound" in text and count == FRAMES
    smaller = video_work.describe(Clip(clip.path, 0.2, 0.6, 48))
    assert smaller[1] == 4 and "48 x 32 instead of 96 x 64" in smaller[0]


def test_no_video():
    with pytest.raises(EvfSamError, match="Choose a video first"):
        video_work.clip_of(None, 0, 0, 720, Limits())


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_following_writes_every_frame(service, question, direction):
    job = Job.of(replace(question, direction=direction), name_objects("the dog, the red ball", 3))
    *steps, outcome = service.track(job)
    assert steps[0].done == 1 and steps[-1].done == steps[-1].total == (5 if direction == "forward" else 9)
    assert [row.label for row in next(s for s in steps if s.rows).rows] == ["the dog", "the red ball"]
    followed, first = outcome.followed, 3 if direction == "forward" else 0
    assert set(followed.scores()) == {1, 2} and len(followed.scores()[1]) == FRAMES
    assert [sorted(kept) for kept in followed.masks.values()] == [list(range(first, FRAMES))] * 2
    assert VideoReader(followed.video_path).info.frame_count == FRAMES


def test_everything_that_was_followed_can_be_kept(followed):
    archive, files = video_files.with_archive(followed)
    document = json.loads(Path(files[2]).read_text())
    assert [category["name"] for category in document["categories"]] == ["the dog", "the sky"]
    with zipfile.ZipFile(files[1]) as masks, zipfile.ZipFile(archive) as everything:
        seen = [kept for kept in followed.masks.values() if any(one.counts for one in kept.values())]
        assert len(masks.namelist()) == len(seen) * FRAMES
        for name in masks.namelist():
            mask = np.asarray(Image.open(masks.open(name)))
            known = followed.known(int(name[:2]), int(name[-10:-4]))
            assert np.array_equal(mask > 0, np.zeros(mask.shape, bool) if known is None else known)
        inside = everything.namelist()
        assert inside == ["clip.overlay.mp4", "clip.coco.json", *(f"masks/{name}" for name in masks.namelist())]
        assert not [name for name in inside if name.endswith(".zip")]
    assert video_files.with_archive(None) == (None, [])


def test_going_away_leaves_nothing_behind(service, question, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    work = service.track(Job.of(question, name_objects("the dog", 0)))
    next(work)
    work.close()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_frame_shows_its_objects_before_and_after(service, question, followed):
    looked = video_work.look(service, question, Work(), "the dog, the sky", 2)
    html = video_work.frame_html(question.clip, looked, 2)
    assert html.count("<li>") == 2 and "96 by 64" in html
    assert "Named on another frame" in video_work.frame_html(question.clip, looked, 5)
    for index in (1, 5, FRAMES - 1):
        html = video_work.frame_html(question.clip, video_work.after(followed), index)
        assert "Named on another frame" not in html
        areas = [followed.known(i, index).mean() for i in (1, 2)]
        assert all(f'data-area="{area:.6f}"' in html for area in areas if area)
    assert "Named on another frame" in video_work.frame_html(question.clip, video_work.after(followed), 0)


def test_a_correction_changes_one_object_from_its_frame_on(service, question, followed):
    work = video_work.after(followed)
    assert video_work.follow_label(question, work) == "Follow"
    work = video_work.click(service, question, work, 5, "1", AT, True)
    assert video_work.follow_label(question, work) == "Follow again from frame 5"
    html = video_work.frame_html(question.clip, work, 5)
    assert ">the dog<" in html and ">the sky<" in html and 'class="plus"' in html
    job = video_work.next_job(service, question, work, "the dog, the sky", 0)
    again = run(service, job).followed
    assert again.masks[1] == followed.masks[1]
    assert all(again.masks[2][i] is followed.masks[2][i] for i in range(1, 5))
    assert again.masks[2][5] == work.looks[2, 5]  # what was looked at is what is followed
    assert again.new_bytes < followed.new_bytes and not again.left
    assert VideoReader(again.video_path).info.frame_count == FRAMES


def test_other_words_on_a_later_frame_are_a_correction(service, question, followed):
    work = video_work.look(service, question, video_work.after(followed), "the dog, the sea", 4)
    assert work.names == {1: "the dog", 2: "the sea"} and set(work.looks) == {(2, 4)}
    job = video_work.next_job(service, question, work, "the dog, the sea", 4)
    assert [dict(leg.starts) for leg in job.legs] == [{2: 4}] and job.before is followed


def test_a_cancelled_run_keeps_what_was_done_and_goes_on(service, question, followed):
    prompts = name_objects("the dog, the sky", 1)
    part = run(service, Job.of(question, prompts), stop_after=4)
    assert part.followed.stop == 5 and VideoReader(part.followed.video_path).info.frame_count == 5
    assert all(len(scores) == 5 for scores in part.followed.scores().values())
    work = video_work.after(part.followed)
    assert "the result has 5 of 8 frames" in video_work.done_html(part.followed, ())
    assert video_work.follow_label(question, work) == "Go on from frame 5"
    job = video_work.next_job(service, question, work, "", 0)
    rest = run(service, job).followed
    assert rest.stop == FRAMES and not rest.left and VideoReader(rest.video_path).info.frame_count == FRAMES
    for object_id, kept in rest.masks.items():
        assert sorted(kept) == sorted(followed.masks[object_id])
        assert all(kept[i] is part.followed.masks[object_id][i] for i in range(1, 5))


def test_another_question_is_followed_as_a_whole(service, question, followed):
    other = replace(question, find_again=False)
    assert video_work.follow_label(other, video_work.after(followed)) == "Follow"
    assert video_work.next_job(service, other, video_work.after(followed), "the dog, the sky", 1).before is None
    assert video_work.next_job(service, question, video_work.after(followed), "a tree", 3).before is None


def test_too_many_masks_end_a_run_with_what_fits(service, question):
    job = Job.of(question, name_objects("the dog", 0))
    (*_, outcome) = video_job.run(job, service._track(job), lambda: False, most_bytes=1)
    assert outcome.followed.stop == 1 and outcome.followed.left and video_job.FULL in outcome.notices


def test_steps_are_taken_back_and_made_again():
    first, second = (Work(name_objects(text, 0)) for text in ("the dog", "the sky"))
    session = Session().then(first, 10**6).then(second, 10**6)
    assert session.past and not session.future
    assert session.undo().now is first and session.undo().redo() == session and session.undo().undo().now is first


def test_what_a_session_keeps_is_bounded():
    kept = KeptObject("x" * 1000, 0.5, 0.5)
    session = Session()
    for i in range(12):
        session = session.then(Work(name_objects("the dog", 0), {(1, i): kept}), 4 * kept.nbytes)
        assert sum(len(work.looks) for work in (session.now, *session.past)) <= 4
    assert session.past


def test_prompts_change_as_the_user_says():
    prompts = name_objects("the dog, the sky", 2)
    clicked = with_clicks(prompts, 2, 5, "clicks", has_mask=True)
    assert [(p.object_id, p.text, p.frame_index) for p in clicked] == [(1, "the dog", 2), (2, "the sky", 2), (2, "", 5)]
    assert with_clicks(clicked, 2, 5, None, has_mask=True) == prompts
    assert with_clicks(prompts, 2, 5, "clicks", has_mask=False)[-1].text == "the sky"
    assert with_clicks(prompts, 1, 2, "clicks", has_mask=True)[0] == replace(prompts[0], spatial="clicks")
    told = {
        "the dog, the sea": {1: "the dog", 2: "the sea"},
        "the dog, the sky, a tree": {1: "the dog", 2: "the sky", 3: "a tree"},
        "the sky": {2: "the sky"},
    }
    for text, names in told.items():
        assert names_of(ask_again(prompts, text, 6)) == names
    assert [p.frame_index for p in ask_again(prompts, "the dog, the sky", 6)] == [2, 2, 6, 6]


def test_other_words_are_looked_for_anew(service, question):
    first = video_work.look(service, question, Work(), "the dog, the sky", 0)
    second = video_work.look(service, question, first, "the dog, the sea", 0)
    assert second.looks == video_work.look(service, question, Work(), "the dog, the sea", 0).looks != first.looks


def test_a_frame_that_is_asked_lies_where_the_next_start_deletes_it(service, question, clip, tmp_path, monkeypatch):
    asked, answer = [], service.answer
    monkeypatch.setattr(service, "answer", lambda model, path, *rest: asked.append(path) or answer(model, path, *rest))
    video_work.look(service, question, Work(), "every dog", 2)
    assert all(Path(path).is_relative_to(tmp_path) and not Path(path).exists() for path in asked) and asked


def test_all_of_a_kind_are_followed_one_by_one(service, question):
    work = video_work.look(service, question, Work(), "the sky, every dog", 2)
    things = [i for i, name in work.names.items() if name != "the sky"]
    assert work.names == {1: "the sky", **{i: f"dog {number}" for number, i in enumerate(things, start=1)}}
    assert things and set(work.looks) == {(i, 2) for i in work.names}
    job = video_work.next_job(service, question, work, "the sky, every dog", 2)
    assert job.prompts is work.prompts
    assert names_of(video_work.next_job(service, question, Work(), "the sky, every dog", 2).prompts) == work.names
    assert names_of(ask_again(work.prompts, "the sky, every dog", 5)) == work.names
    assert names_of(ask_again(work.prompts, "every dog", 5)) == {i: work.names[i] for i in things}
    without = video_work.remove_mark(service, question, work, 2, str(len(things)), "0")  # the last one's only mark
    assert list(without.names) == [1, *things[:-1]]


def test_a_click_without_a_row_brings_one_more_object(service, question):
    work = video_work.click(service, question, Work(), 3, None, AT, True)
    assert work.names == {1: "object 1"} and set(work.looks) == {(1, 3)}
    job = video_work.next_job(service, question, work, "", 3)
    assert [dict(leg.starts) for leg in job.legs] == [{1: 3}]
    with pytest.raises(EvfSamError, match="nothing to correct yet"):
        video_work.click(service, question, Work(), 3, "0", AT, True)
    work = video_work.remove_marks(service, question, work, 3)
    assert work.prompts == () and work.looks == {}


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_background_is_another(followed, effect):
    *steps, (_, _, path) = video_files.effect_file(followed, effect, "#00ff00")
    assert [done for done, _, _ in steps] == list(range(1, FRAMES + 1))
    reader, shown = VideoReader(path), followed.question.clip.open()
    assert reader.info.frame_count == FRAMES and Path(path).suffix == (".webm" if effect == REMOVED else ".mp4")
    for index in (0, FRAMES - 1):
        image, real = reader.frame(index).astype(int), shown.frame(index).astype(int)
        outside = (
            ~np.any([followed.known(i, index) for i in (1, 2) if index], axis=0) if index else np.ones((64, 96), bool)
        )
        if effect == COLOURED and outside.all():
            assert abs(image - (0, 255, 0)).mean() < 12
        if effect == BLURRED and outside.all():
            assert abs(np.diff(image, axis=1)).mean() < abs(np.diff(real, axis=1)).mean()


def test_an_effect_that_nobody_waits_for_leaves_nothing(followed, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    work = video_files.effect_file(followed, BLURRED, "#ffffff")
    next(work)
    work.close()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("colour", "rgb"),
    [("#00b140", (0, 177, 64)), ("rgba(0, 176.6, 64.2, 1)", (0, 177, 64)), ("white", (255, 255, 255))],
)
def test_colours_as_pages_write_them(colour, rgb):
    assert video_files.colour_of(colour) == rgb


@pytest.mark.parametrize("arguments", [("removed", "not a colour"), ("turned off", "#ffffff")])
def test_effects_that_cannot_be_made(followed, arguments):
    with pytest.raises(EvfSamError):
        next(video_files.effect_file(followed, *arguments))


def test_a_checkpoint_without_memory_says_so(service, question):
    with pytest.raises(EvfSamError, match="was not made for video; use evf-sam2"):
        list(service.track(Job.of(replace(question, model="second"), name_objects("the dog", 0))))


def test_progress_says_frames_and_time_left():
    html = progress_html(Step(20, 80, 5.0))
    assert "20 of 80 frames" in html and "15 s left" in html and 'aria-valuenow="25"' in html
    assert "about 5 min left" in progress_html(Step(1, 11, 30.0))
