"""Zoom: which part of an image is looked at again, and what becomes of the second look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfsam.data.scenes import make_scene, render
from evfsam.geometry import box_of
from evfsam.predictor import Predictor
from evfsam.refine.refiner import ABSENT_LOGIT
from evfsam.refine.zoom import part_around, zoom_in
from evfsam.types import PointPrompt, SpatialPrompt, VideoPrompt
from evfsam.video.tracker import VideoTracker

SIZE_HW = (200, 300)
IMAGE = np.arange(200 * 300 * 3, dtype=np.uint8).reshape(*SIZE_HW, 3)


def logits_of(box) -> np.ndarray:
    logits = np.full(SIZE_HW, -4, np.float32)
    logits[box[1] : box[3], box[0] : box[2]] = 4
    return logits


def never(*_):
    raise AssertionError("it was decoded again")


@st.composite
def boxes(draw):
    height, width = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    x0, y0 = draw(st.floats(0, width - 1)), draw(st.floats(0, height - 1))
    return (x0, y0, draw(st.floats(x0 + 0.5, width)), draw(st.floats(y0 + 0.5, height))), (height, width)


@given(boxes())
def test_the_part_holds_the_box_and_stays_inside_the_image(drawn):
    box, (height, width) = drawn
    x0, y0, x1, y1 = part_around(box, (height, width))
    assert 0 <= x0 <= box[0] and 0 <= y0 <= box[1] and box[2] <= x1 <= width and box[3] <= y1 <= height


@pytest.mark.parametrize(
    "logits, spatial",
    [
        (np.full(SIZE_HW, -4, np.float32), None),
        (np.full(SIZE_HW, -1024, np.float32), SpatialPrompt(PointPrompt(np.array([[3.0, 3.0]]), np.array([1])))),
        (logits_of((20, 20, 220, 180)), None),
        (logits_of((20, 20, 30, 30)), SpatialPrompt(box=(0, 0, 250, 150))),
        (logits_of((20, 20, 30, 30)), SpatialPrompt(PointPrompt(np.array([[290.0, 190.0]]), np.array([1])))),
    ],
    ids=["empty", "empty with a point", "large mask", "large box", "a point far away"],
)
def test_empty_and_large_masks_stay_as_they_are(logits, spatial):
    assert zoom_in(logits, IMAGE, spatial, never) is logits


def test_an_empty_mask_with_a_small_box_is_looked_at_again():
    found = zoom_in(
        np.full(SIZE_HW, -4, np.float32),
        IMAGE,
        SpatialPrompt(box=(40, 50, 60, 90)),
        lambda part, _: np.full(part.shape[:2], 8, np.float32),
    )
    assert (found > 0).any()


def test_a_point_on_the_object_is_in_the_part_and_on_its_edge_too():
    asked, corner = [], PointPrompt(np.array([[300.0, 200.0]]), np.array([1]))
    zoom_in(
        logits_of((260, 170, 280, 190)),
        IMAGE,
        SpatialPrompt(corner),
        lambda part, near: asked.append((part, near)) or np.zeros(part.shape[:2], np.float32),
    )
    ((part, near),) = asked
    assert near.points.coords.tolist() == [[part.shape[1], part.shape[0]]] and near.box[2:] == tuple(
        near.points.coords[0]
    )


def test_an_image_as_small_as_its_part_is_not_looked_at_again():
    logits = np.full((90, 90), -4, np.float32)
    logits[40:50, 40:50] = 4
    assert zoom_in(logits, np.zeros((90, 90, 3), np.uint8), None, never) is logits


@pytest.mark.parametrize(
    "spatial", [None, SpatialPrompt(box=(40, 50, 60, 90))], ids=["the mask's box", "the user's box"]
)
def test_the_answer_is_the_mean_of_both_looks(spatial):
    asked = {}

    def decode(part, near):
        asked.update(part=part, near=near)
        return np.full(part.shape[:2], 2, np.float32)

    first = logits_of((40, 50, 60, 90))
    found = zoom_in(first, IMAGE, spatial, decode)
    x0, y0, x1, y1 = part_around((40, 50, 60, 90), SIZE_HW)
    assert np.array_equal(asked["part"], IMAGE[y0:y1, x0:x1]) and asked["near"].box == (
        40 - x0,
        50 - y0,
        60 - x0,
        90 - y0,
    )
    assert np.allclose(found[y0:y1, x0:x1], (first[y0:y1, x0:x1] + 2) / 2)
    outside = np.ones(SIZE_HW, bool)
    outside[y0:y1, x0:x1] = False
    assert found.dtype == np.float32 and (found[outside] < 0).all()


def test_points_go_with_the_part_that_they_lie_in():
    points = PointPrompt(np.array([[50.0, 60.0], [290.0, 190.0], [45.0, 55.0]]), np.array([1, 0, 0]))
    asked = []
    zoom_in(
        logits_of((40, 50, 60, 90)),
        IMAGE,
        SpatialPrompt(points),
        lambda part, near: asked.append(near) or np.zeros(part.shape[:2], np.float32),
    )
    x0, y0, *_ = part_around((40, 50, 60, 90), SIZE_HW)
    assert asked[0].points.coords.tolist() == [[50 - x0, 60 - y0], [45 - x0, 55 - y0]]
    assert asked[0].points.labels.tolist() == [1, 0]


class TestAPredictorThatZooms:
    @pytest.fixture(scope="class")
    def zooming(self) -> Predictor:
        predictor = Predictor.from_pretrained("evf-sam2-tiny", device="cpu")
        return predictor.with_refinement(replace(predictor.info.refinement, zoom=True))

    @pytest.fixture(scope="class")
    def usual(self, zooming) -> Predictor:
        return zooming.with_refinement(replace(zooming.info.refinement, zoom=False))

    @pytest.fixture(scope="class")
    def image(self):
        return render(make_scene(900_001), (192, 256)).image

    def test_it_looks_again_at_small_boxes_alone(self, zooming, usual, image):
        small, large = (100, 80, 130, 110), (20, 20, 230, 180)
        near, whole = zooming.segment(image, ["", ""], boxes=[small, large])
        before, same = usual.segment(image, ["", ""], boxes=[small, large])
        assert not np.array_equal(near.mask_logits, before.mask_logits)
        assert np.array_equal(whole.mask_logits, same.mask_logits)
        x0, y0, x1, y1 = box_of(near.mask)
        part = part_around(small, image.shape[:2])
        assert part[0] <= x0 and part[1] <= y0 and x1 <= part[2] and y1 <= part[3]

    @pytest.mark.parametrize("text", ["[semantic] car", "  [Semantic]  wheel"])
    def test_all_of_a_kind_and_parts_are_not_zoomed_into(self, zooming, usual, image, text):
        (found,), (same,) = zooming.segment(image, [text]), usual.segment(image, [text])
        assert np.array_equal(found.mask_logits, same.mask_logits)

    def test_the_image_stays_kept_however_many_parts_are_looked_at(self, zooming, image):
        encoded = zooming.encode(image)
        some = [(x, 60, x + 20, 85) for x in range(10, 210, 20)]
        zooming.segment(encoded, [""] * len(some), boxes=some)
        assert zooming.encode(image) is encoded

    def test_frames_of_clips_are_not_zoomed_into(self, zooming, usual, image):
        prompts = [VideoPrompt(1, spatial=SpatialPrompt(box=(100, 80, 130, 110)))]
        tracked, *others = (
            frame.objects[0].mask_logits
            for one in (usual, zooming)
            for frame in (*VideoTracker(one).track([image], prompts), VideoTracker(one).preview(image, prompts))
        )
        assert all(np.array_equal(tracked, other) for other in others)

    def test_a_low_presence_empties_the_mask_all_the_same(self, zooming, image):
        strict = zooming.with_refinement(replace(zooming.info.refinement, reject_below=1.0))
        (found,) = strict.segment(image, ["the red car"])
        assert (found.mask_logits == ABSENT_LOGIT).all()

    def test_an_array_that_is_used_again_changes_nothing(self, zooming, image):
        frame, box = np.ascontiguousarray(image[:, ::-1]), (100, 80, 130, 110)
        (before,) = zooming.segment(frame, [""], boxes=[box])
        again = frame.copy()
        frame[:] = 0
        (after,) = zooming.segment(again, [""], boxes=[box])
        assert np.array_equal(before.mask_logits, after.mask_logits)
