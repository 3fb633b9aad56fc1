"""The predictor: values at its door, refinements behind it, and the short path of the published checkpoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from evfsam.data.scenes import make_scene, render
from evfsam.errors import InputError
from evfsam.predictor import Predictor
from evfsam.refine.refinement import Refinement
from evfsam.types import PointPrompt, SpatialPrompt, VideoPrompt
from evfsam.video.tracker import VideoTracker
from tests.random_model import CONFIG, SMALL_SAM, save_random_model
from tests.random_tracker import save_random_tracker
from tests.trace import functions_entered

SKY = "[semantic] sky"
POINT = PointPrompt(np.array([[60.0, 10.0]]), np.array([1]))


@pytest.fixture(scope="module")
def bundled() -> Predictor:
    return Predictor.from_pretrained("evf-sam2-tiny", device="cpu")


@pytest.fixture(scope="module")
def image():
    return render(make_scene(900_001), (96, 128)).image


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Predictor:
    """Random weights and, as the published checkpoints, nothing beyond the paper."""
    return Predictor.from_pretrained(save_random_model(tmp_path_factory.mktemp("model") / "plain"), device="cpu")


def refined(predictor: Predictor, **changes) -> Predictor:
    return predictor.with_refinement(replace(predictor.info.refinement, **changes))


class TestThePathOfAPublishedCheckpoint:
    @pytest.mark.parametrize("segmenter", [CONFIG.segmenter, SMALL_SAM], ids=["sam2", "sam"])
    def test_it_is_short_and_enters_no_refinement(self, tmp_path, segmenter):
        folder = save_random_model(tmp_path / "plain", config=replace(CONFIG, segmenter=segmenter))
        predictor = Predictor.from_pretrained(folder, device="cpu")
        entered = functions_entered(lambda: predictor.segment(np.zeros((30, 40, 3), np.uint8), ["the red car"]))
        assert not [name for name in entered if name.startswith("refine/")]
        layers = ("modeling/encoders/", "modeling/trunks/", "modeling/linear", "modeling/pixels")
        outside_layers = [name for name in entered if not name.startswith(layers)]
        assert "predictor.py Predictor.finish" in entered and len(outside_layers) <= 20, outside_layers

    def test_a_refined_one_enters_them(self, bundled, image):
        entered = functions_entered(lambda: bundled.segment(image, ["the red car"]))
        assert [name for name in entered if name.startswith("refine/")]


class TestInputs:
    def test_an_image_is_read_as_a_file_would_be(self, plain, tmp_path):
        rgb = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(rgb).save(tmp_path / "a.png")
        (expected,) = plain.segment(rgb, ["a dog"])
        same = {
            "float 0..1": rgb / 255,
            "uint16": rgb.astype(np.uint16) * 257,
            "opaque RGBA": np.dstack([rgb, np.full((30, 40), 255, np.uint8)]),
            "PIL": Image.fromarray(rgb),
            "path": tmp_path / "a.png",
            "text of a path": str(tmp_path / "a.png"),
            "bytes": (tmp_path / "a.png").read_bytes(),
            "read-only": np.frombuffer(rgb.tobytes(), np.uint8).reshape(rgb.shape),
            "mirrored twice": rgb[:, ::-1].copy()[:, ::-1],
        }
        for name, source in same.items():
            (found,) = plain.segment(source, ["a dog"])
            np.testing.assert_array_equal(found.mask_logits, expected.mask_logits, err_msg=name)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            pytest.param({"image": np.full((30, 40, 3), np.nan)}, "image", id="NaN"),
            pytest.param({"image": np.zeros((0, 40, 3), np.uint8)}, "no pixels", id="no pixels"),
            pytest.param({"image": np.zeros((3, 4, 5, 6), np.uint8)}, "shape", id="four axes"),
            pytest.param({"image": None}, "image", id="no image"),
            pytest.param({"prompts": None}, "list of texts", id="None"),
            pytest.param({"prompts": 7}, "list of texts", id="a number"),
            pytest.param({"prompts": []}, "no prompt", id="none"),
            pytest.param({"prompts": [7]}, "must be text", id="a number in a list"),
            pytest.param({"prompts": (p for p in ["a"])}, "list of texts", id="a generator"),
            pytest.param({"prompts": [""]}, "empty", id="empty"),
            pytest.param({"prompts": ["..."]}, "empty", id="marks alone"),
            pytest.param({"points": [POINT, None]}, "one entry of points", id="more points than prompts"),
            pytest.param({"points": [[[1, 2]]]}, "PointPrompt", id="bare points"),
            pytest.param({"points": [PointPrompt(np.array([[np.nan, 1]]), np.array([1]))]}, "finite", id="NaN point"),
            pytest.param({"points": [PointPrompt(np.array([[1, 2]]), np.array([7]))]}, "label", id="label 7"),
            pytest.param({"points": [PointPrompt(np.array([[1, 2]]), None)]}, "label", id="no labels"),
            pytest.param({"points": [PointPrompt(np.array([[99, 2]]), np.array([1]))]}, "outside", id="point outside"),
            pytest.param({"boxes": [(1, 2, 3)]}, "box", id="three numbers"),
            pytest.param({"boxes": [(1, 2, 1, 9)]}, "empty", id="empty box"),
            pytest.param({"boxes": [(1, 2, 3, np.inf)]}, "finite", id="infinite box"),
            pytest.param({"boxes": [(1, 2, 99, 9)]}, "outside", id="box outside"),
        ],
    )
    def test_refused_in_one_sentence(self, plain, arguments, said):
        call = {"image": np.zeros((30, 40, 3), np.uint8), "prompts": ["a dog"], **arguments}
        with pytest.raises(InputError, match=said) as error:
            plain.segment(**call)
        assert "\n" not in str(error.value)

    def test_exchanged_corners_are_put_in_order(self, plain, image):
        a, b = (plain.segment(image, [""], boxes=[box])[0] for box in ((5, 6, 50, 40), (50, 40, 5, 6)))
        np.testing.assert_array_equal(a.mask_logits, b.mask_logits)

    def test_one_prompt_may_stand_alone(self, plain, image):
        assert [found.prompt for found in plain.segment(image, "a dog")] == ["a dog"]

    def test_prompts_with_and_without_points_keep_their_order(self, plain, image):
        points = [None, POINT, None, POINT]
        together = plain.segment(image, ["a dog", "", "the sky", "a cat"], points)
        for i, prompt in enumerate(["a dog", "", "the sky", "a cat"]):
            (alone,) = plain.segment(image, [prompt], [points[i]])
            np.testing.assert_allclose(together[i].mask_logits, alone.mask_logits, atol=1e-4)


def test_masks_come_one_at_a_time(plain, image):
    several = plain.iter_segment(image, ["a dog", "the sky"])
    assert next(several).prompt == "a dog" and next(several).prompt == "the sky"
    with pytest.raises(InputError):
        plain.iter_segment(image, [""])  # checked before the first mask is asked for


class TestRejection:
    def test_a_text_below_the_threshold_gets_an_empty_mask(self, bundled, image):
        (trusted,) = refined(bundled, reject_below=None).segment(image, [SKY])
        assert trusted.mask.any()
        (rejected,) = refined(bundled, reject_below=1.0).segment(image, [SKY])
        assert rejected.mask_logits.max() < -100
        assert (rejected.presence, rejected.score) == (trusted.presence, trusted.score)
        (believed,) = refined(bundled, reject_below=trusted.presence - 1e-6).segment(image, [SKY])
        np.testing.assert_array_equal(believed.mask_logits, trusted.mask_logits)

    def test_points_are_never_rejected(self, bundled, image):
        (found,) = refined(bundled, reject_below=1.0).segment(image, [SKY], [POINT])
        assert found.mask.any()

    def test_sam_tells_presence_by_the_mask_if_it_was_trained_to(self, tmp_path, image):
        folder = save_random_model(tmp_path / "sam", config=replace(CONFIG, segmenter=SMALL_SAM))
        published = Predictor.from_pretrained(folder, device="cpu")
        assert published.segment(image, [SKY])[0].presence is None
        (believed,) = published.with_refinement(Refinement(reject_below=0.0)).segment(image, [SKY])
        low = published.decode(published.encode(image), [SKY], [None])[0].low_res_masks
        surest = low.flatten().sort(descending=True).values[: low.numel() // 100]
        assert believed.presence == pytest.approx(float(surest.mean().sigmoid()))
        (rejected,) = published.with_refinement(Refinement(reject_below=1.0)).segment(image, [SKY])
        assert not rejected.mask.any()


TEXTS = ["the red car", SKY, "the tree on the left"]


@pytest.mark.parametrize("name", ["evf-sam2-tiny", "evf-sam-tiny"])
def test_point_refinement_asks_again_for_one_object_and_keeps_its_presence(name, image):
    predictor = Predictor.from_pretrained(name, device="cpu")
    once = refined(predictor, point_refinement=False, reject_below=None).segment(image, TEXTS)
    twice = refined(predictor, point_refinement=True, reject_below=None).segment(image, TEXTS)
    np.testing.assert_allclose(twice[1].mask_logits, once[1].mask_logits, atol=1e-4)
    for i in (0, 2):
        assert not np.allclose(twice[i].mask_logits, once[i].mask_logits, atol=1e-3)
        if once[i].presence is not None:
            assert twice[i].presence == pytest.approx(once[i].presence, abs=1e-5)


def test_an_object_with_a_point_is_not_asked_for_again(bundled, image):
    once = refined(bundled, point_refinement=False).segment(image, ["the red car"], [POINT])
    np.testing.assert_allclose(bundled.segment(image, ["the red car"], [POINT])[0].mask_logits, once[0].mask_logits)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory) -> Predictor:
    folder = save_random_tracker(tmp_path_factory.mktemp("tracking") / "tiny")
    return Predictor.from_pretrained(folder, device="cpu").with_refinement(Refinement(guided_filter=True))


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (36, 48, 3), np.uint8)


def test_a_frame_is_finished_as_an_image_is(tracking, noise):
    spatial = SpatialPrompt(PointPrompt(np.array([[20.0, 12.0]]), np.array([1])))
    prompts = [VideoPrompt(1, "the red car"), VideoPrompt(2, "[semantic] car"), VideoPrompt(3, "a dog", 0, spatial)]
    still = tracking.segment(noise, [p.text for p in prompts], [p.spatial and p.spatial.points for p in prompts])
    tracker = VideoTracker(tracking)
    for frame in (tracker.preview(noise, prompts), next(iter(tracker.track([noise] * 2, prompts)))):
        for image_answer, frame_answer in zip(still, frame.objects, strict=True):
            np.testing.assert_allclose(frame_answer.mask_logits, image_answer.mask_logits, atol=1e-4)


def test_encoded_images_are_found_by_content(plain, image):
    encoded = plain.encode(image)
    assert plain.encode(image.copy()) is encoded
    assert plain.encode(image.reshape(128, 96, 3)) is not encoded
    assert encoded.features.image_embeddings.dtype == torch.float32


def test_a_text_threshold_moves_the_masks_of_texts_alone(bundled, image):
    usual, low = (refined(bundled, reject_below=None, text_threshold=t) for t in (0.5, 0.2))
    (before,), (after,) = usual.segment(image, [SKY]), low.segment(image, [SKY])
    assert np.allclose(after.mask_logits - before.mask_logits, np.log(4), atol=1e-4)
    (before,), (after,) = usual.segment(image, [SKY], [POINT]), low.segment(image, [SKY], [POINT])
    assert np.array_equal(after.mask_logits, before.mask_logits)
