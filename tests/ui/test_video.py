"""The video tab's handlers without a browser, on a rendered clip."""

from __future__ import annotations

import json
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evfsam.data.scenes import render
from evfsam.data.scenes.clips import make_clip
from evfsam.errors import EvfSamError
from evfsam.media.video import VideoReader
from evfsam.media.video_writer import open_writer
from evfsam.types import PointPrompt, SpatialPrompt
from evfsam.ui import video_job
from evfsam.ui.limits import Limits
from evfsam.ui.tabs import video
from evfsam.ui.video_job import Job, Outcome, Step

FRAMES = 8


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
    return video.clip_of(film, 0, 0, 720, Limits())


def test_what_will_be_done_is_said_first(clip):
    text, count = video.describe(clip)
    assert "96 × 64" in text and "8 frames" in text and "no sound" in text and count == FRAMES
    smaller = video.describe(video_job.Clip(clip.path, 0.2, 0.6, 48))
    assert smaller[1] == 4 and "48 x 32 instead of 96 x 64" in smaller[0]


def test_no_video():
    with pytest.raises(EvfSamError, match="Choose a video first"):
        video.clip_of(None, 0, 0, 720, Limits())


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_following_writes_every_frame(service, clip, direction):
    job = Job(clip, "first", video.name_objects("the dog, the red ball", 3), direction)
    *steps, outcome = video.track(service, job)
    assert steps[0].done == 1 and steps[-1].done == steps[-1].total
    assert [row.label for row in next(s for s in steps if s.rows).rows] == ["the dog", "the red ball"]
    assert isinstance(outcome, Outcome) and len(outcome.times_s) == FRAMES
    assert set(outcome.scores) == {1, 2} and len(outcome.scores[1]) == FRAMES
    assert VideoReader(outcome.video_path).info.frame_count == FRAMES
    document = json.loads(Path(outcome.files[2]).read_text())
    assert [category["name"] for category in document["categories"]] == ["the dog", "the red ball"]
    with zipfile.ZipFile(video_job.archive(outcome)) as archive:
        assert archive.namelist() == [Path(path).name for path in outcome.files]
    with zipfile.ZipFile(outcome.files[1]) as masks:
        assert len(masks.namelist()) == 2 * FRAMES
        with masks.open(masks.namelist()[-1]) as file:
            assert set(np.unique(np.asarray(Image.open(file)))) <= {0, 255}


def test_going_away_leaves_nothing_behind(service, clip, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    work = video.track(service, Job(clip, "first", video.name_objects("the dog", 0)))
    next(work)
    work.close()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_frame_shows_its_objects(service, clip):
    prompts = video.name_objects("the dog, the sky", 2)
    html, _ = video.frame_html(service, "first", clip, prompts, 2)
    assert html.count("<li>") == 2 and "96 by 64" in html
    later, missing = video.frame_html(service, "first", clip, prompts, 5)
    assert "Named on another frame" in later and missing == []


def test_every_frame_of_what_was_followed_shows_its_masks(service, clip):
    prompts = video.name_objects("the dog, the sky", 0)
    *_, outcome = video.track(service, Job(clip, "first", prompts))
    followed = outcome.files[video_job.JSON_PLACE]
    with zipfile.ZipFile(outcome.files[1]) as masks:
        for name, (mask, _) in zip(
            sorted(masks.namelist())[-2:], video_job.read_frame(followed, 7).values(), strict=True
        ):
            with masks.open(name) as file:
                assert mask.shape == np.asarray(Image.open(file)).shape
    html, missing = video.frame_html(service, "first", clip, prompts, 5, followed)
    assert "Named on another frame" not in html and missing == []
    shares = [f"{mask.mean():.6f}" for mask, _ in video_job.read_frame(followed, 5).values()]
    assert all(f'data-area="{share}"' in html for share in shares)
    assert video_job.read_frame(followed, FRAMES) == {}
    clicks = SpatialPrompt(PointPrompt(np.array([[30.0, 20.0]], np.float32), np.array([1])))
    html, _ = video.frame_html(service, "first", clip, video_job.corrected(prompts, 2, 5, clicks), 5, followed)
    assert ">the dog<" in html and ">the sky<" in html  # a correction keeps the name


def test_clicks_correct_later_frames():
    prompts = video.name_objects("the dog, the sky", 2)
    clicks = SpatialPrompt(PointPrompt(np.array([[1.0, 2.0]]), np.array([1])))
    prompts = video_job.corrected(prompts, 2, 5, clicks)
    assert [(p.object_id, p.text, p.frame_index) for p in prompts] == [
        (1, "the dog", 2),
        (2, "the sky", 2),
        (2, "", 5),
    ]
    assert video_job.clicks_at(prompts, 2, 5) is clicks and video_job.clicks_at(prompts, 1, 5) is None
    assert len(video_job.corrected(prompts, 2, 5, clicks)) == 3
    with pytest.raises(EvfSamError, match="named on frame 2"):
        video_job.corrected(prompts, 1, 0, clicks)


def test_a_checkpoint_without_memory_says_so(service, clip):
    with pytest.raises(EvfSamError, match="was not made for video; use evf-sam2"):
        list(video.track(service, Job(clip, "second", video.name_objects("the dog", 0))))


def test_progress_says_frames_and_time_left():
    html = video.progress_html(Step(20, 80, 5.0))
    assert "20 of 80 frames" in html and "15.0 s left" in html and 'aria-valuenow="25"' in html
