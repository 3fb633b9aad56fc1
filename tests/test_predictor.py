"""What the predictor makes of the decoder's presence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.registry import default_model
from evfsam.data.scenes import make_scene, render
from evfsam.predictor import Predictor
from evfsam.processing.edges import follow_edges
from evfsam.processing.masks import (
    presence_logits,
    restore,
    surest_points,
    without_faint,
    without_strays,
    worth_including,
)
from evfsam.runtime import choose_runtime
from evfsam.types import Clicks, VideoPrompt
from evfsam.video.tracker import VideoTracker
from tests.random_model import CONFIG, SMALL_SAM, save_random_model
from tests.random_tracker import save_random_tracker

PHRASE = "[semantic] sky"
CLICK = Clicks(points_xy=np.array([[20.0, 12.0]]), labels=np.array([1]))


@pytest.fixture(scope="module")
def bundled() -> Predictor:
    return Predictor(load_checkpoint(default_model().name), choose_runtime("cpu"))


@pytest.fixture(scope="module")
def image():
    return render(make_scene(900_001), (96, 128)).image


def at_threshold(bundled: Predictor, threshold: float | None) -> Predictor:
    return bundled.with_facts(presence_threshold=threshold)


def test_a_phrase_below_the_presence_threshold_gets_an_empty_mask(bundled, image):
    (trusted,) = at_threshold(bundled, None).segment(image, [PHRASE])
    assert trusted.mask.any()
    (denied,) = at_threshold(bundled, 1.0).segment(image, [PHRASE])
    assert not denied.mask.any() and not denied.mask_at(0.01).any()
    assert (denied.presence, denied.score) == (trusted.presence, trusted.score)
    (believed,) = at_threshold(bundled, trusted.presence - 1e-6).segment(image, [PHRASE])
    np.testing.assert_array_equal(believed.mask_logits, trusted.mask_logits)


def test_who_clicks_is_believed(bundled, image):
    clicks = Clicks(points_xy=np.array([[60.0, 10.0]]), labels=np.array([1]))
    (found,) = at_threshold(bundled, 1.0).segment(image, [PHRASE], [clicks])
    assert found.mask.any()


def test_outlines_follow_edges_where_the_checkpoint_says_so_on_pictures_and_in_clips(bundled, image):
    assert bundled.checkpoint.info.follows_edges
    guided = bundled.with_facts(drops_strays=False)
    plain = guided.with_facts(follows_edges=False)
    for predictor in (guided, plain):
        encoded = predictor.encode(image)
        masks = predictor.answers(encoded, [PHRASE])[0][0]
        low_res, raised = masks.low_res_masks, float(worth_including(masks.iou_predictions))
        wanted = restore(low_res, encoded.geometry).numpy()
        if predictor is guided:
            assert not np.allclose(follow_edges(low_res, encoded.guide), wanted, atol=0.1)
            wanted = follow_edges(low_res, encoded.guide)
        (found,) = predictor.segment(image, [PHRASE])
        wanted = wanted + raised
        np.testing.assert_allclose(found.mask_logits, wanted[0], atol=1e-5)
        (frame,) = VideoTracker(predictor).track([image], [PHRASE])
        np.testing.assert_allclose(frame.objects[0].mask_logits, wanted[0], atol=1e-4)


@pytest.mark.parametrize("name", ["evf-sam2-tiny", "evf-sam-tiny"])
def test_a_doubtful_mask_is_larger_where_the_checkpoint_says_so(name, image):
    bundled = Predictor(load_checkpoint(name), choose_runtime("cpu"))
    assert bundled.checkpoint.info.iou_thresholds == 1
    plain, half, raised = (bundled.with_facts(drops_strays=False, iou_thresholds=share) for share in (0.0, 0.5, 1.0))
    before, between, after = (p.segment(image, ["[semantic] sky", "[semantic] window"]) for p in (plain, half, raised))
    for first, second, then in zip(before, between, after, strict=True):
        wanted = -np.log(max(first.score, 0.3))
        np.testing.assert_allclose(then.mask_logits - first.mask_logits, wanted, atol=1e-4)
        np.testing.assert_allclose(second.mask_logits - first.mask_logits, wanted / 2, atol=1e-4)
        assert (then.score, then.presence) == (first.score, first.presence)


def test_without_an_output_for_presence_the_mask_says_it_if_it_was_trained_to(tmp_path, image):
    """SAM: the published ones learned nothing of the kind; their presence is not known."""
    folder = save_random_model(tmp_path / "sam", config=replace(CONFIG, segmenter=SMALL_SAM))
    published = Predictor(load_checkpoint(folder), choose_runtime("cpu"))
    (found,) = published.segment(image, [PHRASE])
    assert found.presence is None
    (believed,) = at_threshold(published, 0.0).segment(image, [PHRASE])
    np.testing.assert_array_equal(believed.mask_logits, found.mask_logits)
    low = published.answers(published.encode(image), [PHRASE])[0][0].low_res_masks
    surest = low.flatten().sort(descending=True).values[: low.numel() // 100]
    assert believed.presence == pytest.approx(float(surest.mean().sigmoid()))
    (denied,) = at_threshold(published, 1.0).segment(image, [PHRASE])
    assert not denied.mask.any()


THINGS = ["the red car", "[semantic] sky", "the tree on the left"]


def answered(bundled: Predictor, image, prompts, clicks=None, **facts):
    predictor = bundled.with_facts(**facts)
    return [masks for masks, _ in predictor.answers(predictor.encode(image), prompts, clicks)]


@pytest.mark.parametrize("name", ["evf-sam2-tiny", "evf-sam-tiny"])
def test_a_phrase_for_one_thing_is_answered_again_with_a_click_of_its_own(name, image):
    """The second answer is that of words and a click by hand in the same place, but for whether anything is there."""
    bundled = Predictor(load_checkpoint(name), choose_runtime("cpu"))
    assert bundled.checkpoint.info.self_prompts
    once = answered(bundled, image, THINGS, self_prompts=False)
    twice = answered(bundled, image, THINGS)
    torch.testing.assert_close(twice[1].low_res_masks, once[1].low_res_masks)
    geometry = bundled.encode(image).geometry
    scale_wh = np.array(geometry.original_size_hw[::-1]) / geometry.resized_size_hw[::-1]
    for i in (0, 2):
        assert not torch.allclose(twice[i].low_res_masks, once[i].low_res_masks, atol=1e-3)
        point_xy = surest_points(once[i].low_res_masks, geometry)[0].numpy() * scale_wh
        by_hand = [Clicks(points_xy=point_xy, labels=np.array([1]))]
        (wanted,) = answered(bundled, image, [THINGS[i]], by_hand)
        torch.testing.assert_close(twice[i].low_res_masks, wanted.low_res_masks, atol=1e-3, rtol=0)
        torch.testing.assert_close(presence_logits(twice[i]), presence_logits(once[i]))


def test_what_a_person_clicked_on_is_not_clicked_on_again(bundled, image):
    clicks = [Clicks(points_xy=np.array([[60.0, 10.0]]), labels=np.array([1]))]
    once = answered(bundled, image, ["the red car"], clicks, self_prompts=False)
    twice = answered(bundled, image, ["the red car"], clicks)
    torch.testing.assert_close(twice[0].low_res_masks, once[0].low_res_masks)


@pytest.fixture(scope="module")
def dropping(tmp_path_factory) -> Predictor:
    """Random weights mask many pieces at once; this one drops what is astray or faint."""
    folder = save_random_tracker(tmp_path_factory.mktemp("strays") / "tiny")
    return Predictor(load_checkpoint(folder), choose_runtime("cpu")).with_facts(drops_strays=True)


@pytest.fixture(scope="module")
def noise_rgb():
    return np.random.default_rng(0).integers(0, 256, (36, 48, 3), np.uint8)


class TestStrayPieces:
    def masks(self, predictor, image, prompt, clicks=None):
        kept = predictor.with_facts(drops_strays=False)
        return [p.segment(image, [prompt], clicks)[0].mask_logits for p in (kept, predictor)]

    @pytest.mark.parametrize(
        ("prompt", "without"),
        [
            pytest.param("the red car", without_strays, id="of one thing"),
            pytest.param("[Semantic]car", without_faint, id="of all of a kind"),
        ],
    )
    def test_an_answer_to_words_has_none(self, dropping, noise_rgb, prompt, without):
        before, after = self.masks(dropping, noise_rgb, prompt)
        np.testing.assert_array_equal(after, without(before))
        assert 0 < (after > 0).sum() < (before > 0).sum()

    @pytest.mark.parametrize("prompt", ["the red car", "[semantic] car"])
    def test_who_clicks_may_mean_any_piece(self, dropping, noise_rgb, prompt):
        before, after = self.masks(dropping, noise_rgb, prompt, [CLICK])
        np.testing.assert_array_equal(after, before)

    def test_so_it_is_in_a_clip(self, dropping, noise_rgb):
        prompts = [
            VideoPrompt(1, "the red car"),
            VideoPrompt(2, "[semantic] car"),
            VideoPrompt(3, "the red car", 0, CLICK),
            VideoPrompt(4, "[semantic] car", 0, CLICK),
        ]
        shown = []
        for predictor in (dropping.with_facts(drops_strays=False), dropping):
            tracker = VideoTracker(predictor)
            frames = list(tracker.track([noise_rgb] * 3, prompts))
            shown.append([{o.object_id: o.mask_logits for o in frame.objects} for frame in frames])
            shown[-1].append({o.object_id: o.mask_logits for o in tracker.preview(noise_rgb, prompts).objects})
        for before, after in zip(*shown, strict=True):
            for i, without in ((1, without_strays), (2, without_faint), (3, np.array), (4, np.array)):
                np.testing.assert_array_equal(after[i], without(before[i]))
        for i in (1, 2):
            assert any((after[i] > 0).sum() < (before[i] > 0).sum() for before, after in zip(*shown, strict=True))
