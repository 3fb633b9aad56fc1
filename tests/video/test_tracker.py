"""Tracking with a tiny model with random weights."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.registry import BUNDLED_FOLDER
from evfsam.data.scenes import VALIDATION
from evfsam.data.scenes.dataset import ClipDataset
from evfsam.errors import InputError, VideoError
from evfsam.modeling.segmenters.sam2_memory import Sam2Memory
from evfsam.predictor import Predictor
from evfsam.refine.refinement import Refinement
from evfsam.runtime import choose_runtime
from evfsam.types import MaskLogits, PointPrompt, SpatialPrompt, VideoPrompt
from evfsam.video.propagate import Propagator, is_better
from evfsam.video.tracker import VideoTracker, check_prompts
from tests.random_tracker import save_random_tracker, set_presence

CLICK = SpatialPrompt(PointPrompt(np.array([[20.0, 12.0]]), np.array([1])))
BOX = SpatialPrompt(box=(5.0, 5.0, 30.0, 25.0))


@pytest.fixture(scope="module")
def tracker(tmp_path_factory) -> VideoTracker:
    folder = save_random_tracker(tmp_path_factory.mktemp("model") / "tiny")
    return VideoTracker(Predictor(load_checkpoint(folder), choose_runtime("cpu")))


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    """24 frames of 36 x 48: noise that drifts to the right."""
    noise = np.random.default_rng(0).integers(0, 256, (36, 96, 3), np.uint8)
    return [np.ascontiguousarray(noise[:, i : i + 48]) for i in range(24)]


def logits(frames, object_id=1) -> dict[int, np.ndarray]:
    return {f.index: o.mask_logits for f in frames for o in f.objects if o.object_id == object_id}


def assert_same(a: dict[int, np.ndarray], b: dict[int, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for index in a:
        assert np.allclose(a[index], b[index], atol=1e-4), index


def differ(a: dict[int, np.ndarray], b: dict[int, np.ndarray]) -> list[int]:
    return [index for index in a if not np.allclose(a[index], b[index], atol=1e-4)]


def test_every_frame_comes_out_with_every_object(tracker, clip):
    frames = list(tracker.track(iter(clip), ["the red car", "a tree"]))
    assert [f.index for f in frames] == list(range(24))
    for frame, image in zip(frames, clip, strict=True):
        assert frame.image is image
        assert [(o.object_id, o.prompt) for o in frame.objects] == [(1, "the red car"), (2, "a tree")]
        for o in frame.objects:
            assert o.mask_logits.shape == (36, 48) and o.mask_logits.dtype == np.float32
            assert 0 <= o.score <= 1 and o.presence > 0.99


def test_a_frame_comes_out_before_the_next_is_read(tracker, clip):
    read = []
    source = (read.append(i) or image for i, image in enumerate(clip))
    tracked = tracker.track(source, ["the red car"])
    assert read == []
    for i in range(3):
        assert next(tracked).index == i
        assert read == list(range(i + 1))


def test_closing_stops_the_work(tracker, clip):
    read = []
    tracked = tracker.track((read.append(i) or p for i, p in enumerate(clip)), ["the red car"])
    next(tracked)
    tracked.close()
    assert read == [0]
    assert list(tracked) == []


def test_the_first_frame_is_what_the_image_model_says(tracker, clip):
    first = next(iter(tracker.track(clip, ["the red car"])))
    image = tracker.predictor.segment(clip[0], ["the red car"])[0]
    preview = tracker.preview(clip[0], [VideoPrompt(1, "the red car")])
    assert np.allclose(first.objects[0].mask_logits, image.mask_logits, atol=1e-5)
    assert np.allclose(first.objects[0].mask_logits, preview.objects[0].mask_logits, atol=1e-5)
    assert first.objects[0].warnings == preview.objects[0].warnings


def test_objects_together_equal_objects_alone(tracker, clip):
    together = list(tracker.track(clip, ["the red car", "a tree"]))
    assert_same(logits(together, 1), logits(tracker.track(clip, ["the red car"])))
    assert_same(logits(together, 2), logits(tracker.track(clip, [VideoPrompt(2, "a tree")]), 2))


def test_two_clips_at_once_do_not_meet(tracker, clip):
    expected = logits(tracker.track(clip, ["the red car"])), logits(tracker.track(clip[::-1], ["a tree"]))
    a, b = tracker.track(clip, ["the red car"]), tracker.track(clip[::-1], ["a tree"])
    pairs = list(zip(a, b, strict=True))
    assert_same(logits(x for x, _ in pairs), expected[0])
    assert_same(logits(y for _, y in pairs), expected[1])


class TestWhereAndWhichWay:
    """Any frame can have a prompt; tracking goes forward, backward or both from there."""

    PROMPT = (VideoPrompt(1, "the red car", frame_index=10),)

    def test_forward(self, tracker, clip):
        frames = list(tracker.track(iter(clip), self.PROMPT))
        assert [f.index for f in frames] == list(range(24))
        assert not any(f.objects for f in frames[:10])
        expected = logits(tracker.track(clip[10:], ["the red car"]))
        assert_same({i - 10: m for i, m in logits(frames).items()}, expected)

    def test_backward(self, tracker, clip):
        frames = list(tracker.track(clip, self.PROMPT, direction="backward"))
        assert [f.index for f in frames] == list(range(10, -1, -1))
        mirrored = logits(tracker.track(clip[10::-1], ["the red car"]))
        assert_same({10 - i: m for i, m in logits(frames).items()}, mirrored)

    def test_both(self, tracker, clip):
        frames = list(tracker.track(clip, self.PROMPT, direction="both"))
        assert [f.index for f in frames] == [*range(10, -1, -1), *range(24)]
        assert_same(logits(frames[:11]), logits(tracker.track(clip, self.PROMPT, direction="backward")))
        assert_same(logits(frames[11:]), logits(tracker.track(clip, self.PROMPT)))

    def test_objects_that_start_on_different_frames(self, tracker, clip):
        prompts = [VideoPrompt(7, "a tree", 12), VideoPrompt(3, "the red car", 4)]
        frames = list(tracker.track(clip, prompts, direction="both"))
        for object_id, start, prompt in ((3, 4, prompts[1]), (7, 12, prompts[0])):
            back, forth = logits(frames[:13], object_id), logits(frames[13:], object_id)
            assert sorted(back) == list(range(start + 1)) and sorted(forth) == list(range(start, 24))
            assert_same(back, logits(tracker.track(clip, [prompt], direction="backward"), object_id))
            assert_same(forth, logits(tracker.track(clip, [prompt]), object_id))

    @pytest.mark.parametrize("direction", ["forward", "backward", "both"])
    def test_a_prompt_after_the_end(self, tracker, clip, direction):
        tracked = tracker.track(clip, [VideoPrompt(1, "the red car", 24)], direction=direction)
        with pytest.raises(VideoError, match="ends before frame 24"):
            list(tracked)

    def test_a_stream_cannot_be_read_backwards(self, tracker, clip):
        with pytest.raises(InputError, match="forward only"):
            tracker.track(iter(clip), self.PROMPT, direction="both")

    def test_an_unknown_direction(self, tracker, clip):
        with pytest.raises(InputError, match="forward, backward, both"):
            tracker.track(clip, self.PROMPT, direction="sideways")


@pytest.mark.parametrize(
    "correction",
    [
        VideoPrompt(1, "a tree", 8),
        VideoPrompt(1, "", 8, CLICK),
        VideoPrompt(1, "", 8, BOX),
        VideoPrompt(1, "a tree", 8, CLICK),
    ],
    ids=["text", "point", "box", "text and point"],
)
def test_a_later_prompt_corrects_one_object_from_there(tracker, clip, correction):
    prompts = [VideoPrompt(1, "the red car"), VideoPrompt(2, "the house")]
    before = list(tracker.track(clip, prompts))
    after = list(tracker.track(clip, [*prompts, correction]))
    changed = differ(logits(before), logits(after))
    assert changed[0] == 8 and len(changed) == 16
    assert_same(logits(before, 2), logits(after, 2))
    assert {o.prompt for f in after for o in f.objects} == {"the red car", "the house"}
    assert [o.object_id for o in after[-1].objects] == [1, 2]


def test_words_on_a_later_frame_are_answered_as_on_a_picture(tracker, clip):
    prompts = [VideoPrompt(1, "the red car"), VideoPrompt(1, "a tree", 8)]
    corrected = logits(tracker.track(clip, prompts))[8]
    assert np.allclose(corrected, tracker.predictor.segment(clip[8], ["a tree"])[0].mask_logits, atol=1e-5)


def test_an_object_by_hand_alone(tracker, clip):
    frames = list(tracker.track(clip[:3], [VideoPrompt(5, spatial=BOX)]))
    assert frames[0].objects[0].prompt == "object 5"


def test_without_overlap_no_pixel_belongs_to_two(tracker, clip):
    prompts = ["the red car", "a tree", "the house"]
    free = list(tracker.track(clip[:4], prompts))
    kept = list(tracker.track(clip[:4], prompts, allow_overlap=False))
    for frame, exclusive in zip(free, kept, strict=True):
        loose = np.stack([o.mask for o in frame.objects])
        strict = np.stack([o.mask for o in exclusive.objects])
        assert strict.sum(0).max() <= 1
        assert np.array_equal(strict.any(0), loose.any(0))


def test_what_is_not_there_is_not_visible_and_says_so(tracker, clip):
    set_presence(tracker.predictor.model, -10.0)
    try:
        frames = list(tracker.track(clip[:3], ["the red car"]))
        looked = list(tracker.scan(clip, "the red car", every=10))
    finally:
        set_presence(tracker.predictor.model, 10.0)
    for frame in frames:
        (found,) = frame.objects
        assert not found.visible and not found.mask.any() and found.box_xyxy is None
        assert found.presence < 0.01
    assert any("Nothing on this frame" in w for w in frames[0].objects[0].warnings)
    assert frames[1].objects[0].warnings == ()
    assert [f.index for f in looked] == [0, 10, 20]


@pytest.fixture
def lost(monkeypatch):
    """A memory that loses every object from frame 4 on."""
    track = Sam2Memory.track

    def forgetful(self, frame, bank, index, reverse=False):
        masks = track(self, frame, bank, index, reverse)
        gone = torch.full_like(masks.object_score_logits, -10.0)
        return masks if index < 4 else dataclasses.replace(masks, object_score_logits=gone)

    monkeypatch.setattr(Sam2Memory, "track", forgetful)


def at_threshold(tracker: VideoTracker, threshold: float | None) -> VideoTracker:
    return VideoTracker(tracker.predictor.with_refinement(Refinement(reject_below=threshold)))


@pytest.fixture
def doubting(tracker):
    """A tracker that can reject texts, as the bundled checkpoints can."""
    return at_threshold(tracker, 0.5)


class TestRejection:
    def test_a_prompt_is_rejected_on_a_frame_as_on_an_image(self, tracker, clip):
        for threshold in (1.0, 0.0):
            rejecting = at_threshold(tracker, threshold)
            (still,) = rejecting.predictor.segment(clip[0], ["the red car"])
            (previewed,) = rejecting.preview(clip[0], [VideoPrompt(1, "the red car")]).objects
            (tracked,) = next(iter(rejecting.track(clip, ["the red car"]))).objects
            for found in (previewed, tracked):
                assert found.visible == still.mask.any() == (threshold == 0.0)
                assert np.allclose(found.mask_logits, still.mask_logits, atol=1e-4)
                assert found.presence == pytest.approx(still.presence, abs=1e-5)
                assert ("Nothing on this frame" in " ".join(found.warnings)) == (threshold == 1.0)

    def test_the_memory_keeps_that_the_object_is_not_visible(self, tracker, clip, monkeypatch):
        kept = []
        remember = Sam2Memory.remember

        def spy(self, bank, frame, index, masks, prompted=False):
            kept.append((index, prompted, float(masks.object_score_logits[0])))
            return remember(self, bank, frame, index, masks, prompted)

        monkeypatch.setattr(Sam2Memory, "remember", spy)
        next(iter(at_threshold(tracker, 1.0).track(clip, ["the red car"])))
        ((index, prompted, score),) = kept
        assert (index, prompted) == (0, True) and score <= 0

    def test_points_are_never_rejected(self, tracker, clip):
        frame = at_threshold(tracker, 1.0).preview(clip[0], [VideoPrompt(1, "the red car", 0, BOX)])
        assert frame.objects[0].visible


class TestAskingAgain:
    def test_words_find_what_the_memory_lost(self, doubting, clip, lost):
        frames = list(doubting.track(clip, ["the red car"]))
        seen = [f.index for f in frames if f.objects[0].visible]
        assert seen == list(range(24))
        said = doubting.predictor.segment(clip[6], ["the red car"])[0]
        assert np.allclose(frames[6].objects[0].mask_logits, said.mask_logits, atol=1e-4)

    def test_not_if_nobody_wants_it(self, doubting, clip, lost):
        frames = doubting.track(clip, ["the red car"], redetect=False)
        assert [f.index for f in frames if f.objects[0].visible] == [0, 1, 2, 3]

    def test_not_without_words(self, doubting, clip, lost):
        frames = doubting.track(clip, [VideoPrompt(1, spatial=CLICK)])
        assert [f.index for f in frames if f.objects[0].visible] == [0, 1, 2, 3]

    def test_not_with_a_checkpoint_that_never_rejects(self, tracker, clip, lost):
        frames = at_threshold(tracker, None).track(clip, ["the red car"])
        assert [f.index for f in frames if f.objects[0].visible] == [0, 1, 2, 3]

    def test_not_if_the_text_is_rejected(self, tracker, clip, lost):
        frames = list(at_threshold(tracker, 1.0).track(clip, ["the red car"]))
        assert not any(f.objects[0].visible for f in frames if f.index == 0 or f.index >= 4)

    def test_the_others_go_on_as_they_were(self, doubting, clip, lost):
        alone = list(doubting.track(clip, ["the red car"]))
        beside = list(doubting.track(clip, [VideoPrompt(1, "the red car"), VideoPrompt(2, spatial=BOX)]))
        assert_same(logits(alone), logits(beside))

    @pytest.mark.parametrize(("score", "believed"), [(-1.0, "words"), (2.0, "memory")], ids=["unsure", "sure"])
    def test_words_take_over_from_a_memory_that_is_elsewhere_and_less_sure(
        self, doubting, clip, monkeypatch, score, believed
    ):
        track = Sam2Memory.track

        def mistaken(self, frame, bank, index, reverse=False):
            masks = track(self, frame, bank, index, reverse)
            low_res_masks = torch.full_like(masks.low_res_masks, -9.0)
            low_res_masks[..., 0, 0] = 9.0
            scores = torch.full_like(masks.iou_predictions, score)
            return dataclasses.replace(masks, low_res_masks=low_res_masks, iou_predictions=scores)

        monkeypatch.setattr(Sam2Memory, "track", mistaken)
        frame = list(doubting.track(clip[:2], ["the red car"]))[1]
        said = doubting.predictor.segment(clip[1], ["the red car"])[0].mask_logits
        assert np.allclose(frame.objects[0].mask_logits, said, atol=1e-4) == (believed == "words")

    def test_what_is_remembered_does_not_grow_with_every_find(self, doubting, clip, lost):
        propagator = Propagator(doubting.predictor, [VideoPrompt(1, "the red car")], reverse=False, redetect=True)
        for index, image in enumerate(clip):
            propagator.step(index, image, allow_overlap=True)
        assert [sorted(group.bank.prompted) for group in propagator.groups] == [[0, 23]]


def test_the_bundled_checkpoint_finds_what_comes_back():
    """A clip whose object is hidden on a frame and comes back, from the validation seeds."""
    tracker = VideoTracker(Predictor(load_checkpoint(BUNDLED_FOLDER / "evf-sam2-tiny"), choose_runtime("cpu")))
    sample = ClipDataset(VALIDATION[3:4])[0]
    (prompt,) = sample.prompts
    (hidden,) = np.flatnonzero(~prompt.mask.any((1, 2)))
    before, after = 6, 9  # frames
    part = slice(hidden - before, hidden + 1 + after)
    targets = prompt.mask[part][-after:]

    def overlap(redetect):
        frames = list(tracker.track(sample.frames[part], [prompt.text], redetect=redetect))[-after:]
        masks = np.stack([f.objects[0].mask for f in frames])
        return (masks & targets).sum() / (masks | targets).sum()

    assert overlap(True) > overlap(False) + 0.1


def test_scanning_stops_at_the_first_frame_with_a_find(tracker, clip):
    read = []
    looked = list(tracker.scan((read.append(i) or p for i, p in enumerate(clip)), "the red car"))
    assert looked[-1].objects[0].visible
    assert not any(f.objects[0].visible for f in looked[:-1])
    assert len(read) == len(looked)


REFUSED = {
    "none": [],
    "no words": [VideoPrompt(1, "  ")],
    "an empty prompt": [""],
    "a negative frame": [VideoPrompt(1, "the car", -1)],
    "no list": None,
    "a number": [7],
    "half a frame": [VideoPrompt(1, "the car", 0.5)],
    "an object without a number": [VideoPrompt("car", "the car")],
    "points without labels": [VideoPrompt(1, "the car", 0, [[3, 4]])],
    "twice on a frame": [VideoPrompt(1, "the car", 3), VideoPrompt(1, "a tree", 3)],
}


@pytest.mark.parametrize("name", REFUSED)
def test_prompts_that_are_refused(tracker, clip, name):
    with pytest.raises(InputError) as caught:
        tracker.track(clip, REFUSED[name])
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"direction": None}, "direction is None"),
        ({"allow_overlap": "no"}, "allow_overlap is 'no'"),
        ({"redetect": None}, "redetect is None"),
        ({"frames": 5}, "Frames are 5"),
        ({"frames": "clip.mp4"}, "Frames are 'clip.mp4'"),
        ({"frames": [None]}, "An image must be"),
        ({"frames": [np.full((40, 60, 3), np.nan)]}, "0..1"),
        ({"frames": [np.zeros((40, 60, 3), np.uint8), np.zeros((30, 60, 3), np.uint8)]}, "60 x 40 and 60 x 30"),
    ],
)
def test_other_arguments_that_are_refused(tracker, clip, arguments, said):
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        list(tracker.track(**{"frames": clip, "prompts": ["the car"], **arguments}))
    assert "\n" not in str(caught.value)


def test_frames_are_converted_as_images_are(tracker, clip):
    plain, floats = (
        [f.objects[0].mask_logits for f in tracker.track(frames, ["the red car"])]
        for frames in (clip[:3], [frame / 255 for frame in clip[:3]])
    )
    np.testing.assert_array_equal(plain, floats)


def test_phrases_are_objects_on_the_first_frame():
    assert check_prompts(["a", "b"]) == [VideoPrompt(1, "a"), VideoPrompt(2, "b")]
    assert check_prompts("the red car") == [VideoPrompt(1, "the red car")]


def test_a_checkpoint_without_memory_is_refused(random_checkpoint):
    with pytest.raises(VideoError, match="was not made for video; use evf-sam2"):
        VideoTracker(Predictor(load_checkpoint(random_checkpoint), choose_runtime("cpu")))


def answer(cells: slice, score: float, presence: float = 5.0) -> MaskLogits:
    """One row that covers some columns."""
    low_res_masks = torch.full((1, 8, 8), -5.0)
    low_res_masks[..., cells] = 5.0
    return MaskLogits(low_res_masks, torch.tensor([score]), torch.tensor([presence]))


@pytest.mark.parametrize(
    ("detection", "memory", "better"),
    [
        pytest.param(answer(slice(0, 3), 0.9), answer(slice(5, 8), 0.5), True, id="elsewhere, higher score"),
        pytest.param(answer(slice(0, 3), 0.4), answer(slice(5, 8), 0.5), False, id="elsewhere, lower score"),
        pytest.param(answer(slice(0, 3), 0.9), answer(slice(0, 4), 0.5), False, id="the same object"),
        pytest.param(answer(slice(0, 3), 0.1), answer(slice(0, 4), 0.5, -5.0), True, id="the memory lost it"),
        pytest.param(answer(slice(0, 3), 0.9, -5.0), answer(slice(5, 8), 0.5), False, id="the object is absent"),
        pytest.param(answer(slice(0, 0), 0.9), answer(slice(5, 8), 0.5), False, id="the detection is empty"),
    ],
)
def test_is_better(detection, memory, better):
    assert is_better(detection, memory) is better
