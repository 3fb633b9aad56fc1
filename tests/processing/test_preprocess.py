"""Pictures become the reference's pixels, and masks find their way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evfsam.processing.inputs import prepare, prepare_spatial
from evfsam.processing.masks import restore
from evfsam.types import PixelSpec, PointPrompt, SpatialPrompt
from tests.parity.recipe import case
from tests.processing.low_res import to_low_res

SAM = PixelSpec(image_size=1024, keep_aspect_ratio=True)
SAM2 = PixelSpec(image_size=1024, keep_aspect_ratio=False)


@pytest.mark.parametrize("name", ["a", "b"])
def test_pixels_equal_the_reference(name):
    expected = case("preprocess")
    image = expected[f"image_{name}"]
    sam, sam2 = prepare(image, SAM), prepare(image, SAM2)
    for measured, key, step in (
        (sam.encoder_pixels, f"beit3_{name}", 8),
        (sam.segmenter_pixels, f"sam_{name}", 16),
        (sam2.segmenter_pixels, f"sam2_{name}", 16),
    ):
        assert np.abs(measured[0, :, ::step, ::step].numpy() - expected[key]).max() < 1e-4, key
    assert sam.geometry.resized_size_hw == tuple(expected[f"sam_{name}_resized"])


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), keep_aspect_ratio=st.booleans(), seed=st.integers(0, 99))
def test_masks_return_to_where_they_were(height, width, keep_aspect_ratio, seed):
    """A filled rectangle taken to the model's resolution and back still covers the same place."""
    r = np.random.default_rng(seed)
    top, left = r.integers(0, height), r.integers(0, width)
    bottom, right = r.integers(top, height) + 1, r.integers(left, width) + 1
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    spec = PixelSpec(image_size=256, keep_aspect_ratio=keep_aspect_ratio)
    inputs = prepare(np.zeros((height, width, 3), np.uint8), spec)
    low_res = to_low_res(torch.from_numpy(mask)[None], inputs.geometry, (256, 256))
    back = restore((low_res - 0.5) * 20, inputs.geometry)[0].numpy() > 0
    assert back.shape == mask.shape
    if min(bottom - top, right - left) * 256 / max(height, width) > 16:  # thinner ones lose their edge to sampling
        assert (back & mask).sum() / (back | mask).sum() > 0.8


@pytest.mark.parametrize("keep_aspect_ratio", [True, False])
def test_clicks_land_on_the_same_spot(keep_aspect_ratio):
    spec = PixelSpec(image_size=256, keep_aspect_ratio=keep_aspect_ratio)
    image = np.full((100, 400, 3), 128, np.uint8)  # brighter than SAM's padding, which is the mean colour
    image[50, 300] = 255
    inputs = prepare(image, spec)
    spatial = SpatialPrompt(PointPrompt(np.array([[300.5, 50.5]]), np.array([1])), (300, 50, 301, 51))
    points, boxes = prepare_spatial(spatial, inputs.geometry)
    y, x = divmod(int(inputs.segmenter_pixels[0].sum(0).argmax()), 256)
    assert abs(points[0][0, 0, 0] - x) < 2 and abs(points[0][0, 0, 1] - y) < 2
    assert boxes[0, 0] <= points[0][0, 0, 0] <= boxes[0, 2]
