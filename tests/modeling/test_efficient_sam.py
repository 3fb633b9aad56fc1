"""EfficientSAM in EVF-SAM: the reference's numbers, shapes, points and boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from evfsam.modeling.build import build_model
from evfsam.modeling.config import Beit3Config, EfficientSamConfig, EvfConfig
from evfsam.processing.masks import restore
from evfsam.types import Geometry
from tests.parity.recipe import case, fill, manifest, randn

SMALL_BEIT3 = Beit3Config(width=64, layers=3, heads=4, feed_forward=256, vocabulary=128)
SMALL = EfficientSamConfig(image_size=64, width=48, depth=2, heads=3, embedding_width=64, decoder_feed_forward=64)
TOLERANCE = 1e-4


@torch.no_grad()
def test_masks_equal_the_reference():
    expected = case("evf_effisam_tiny")
    model = build_model(EvfConfig(SMALL_BEIT3, EfficientSamConfig(), multimask=False))
    assert set(model.state_dict()) == set(expected["param_names"].tolist())
    fill(model)
    masks = model(randn(7, (1, 3, 1024, 1024)), randn(8, (1, 3, 224, 224)), torch.tensor([[0, 17, 45, 99, 2]]))
    geometry = Geometry(original_size_hw=(200, 150), resized_size_hw=(1024, 1024), input_size_hw=(1024, 1024))
    logits = restore(masks.low_res_masks, geometry).numpy()
    difference = float(np.abs(logits[:, ::4, ::4] - expected["mask_logits"]).max())
    print(f"greatest difference {difference:.1e} of values up to {np.abs(expected['mask_logits']).max():.1f}")
    assert difference < TOLERANCE
    assert (logits > 0).mean() == pytest.approx(float(expected["mask_positive"]), abs=1e-4)


@pytest.mark.parametrize("name", ["evf-effi-sam-tiny", "evf-effi-sam-small"])
def test_names_and_shapes_are_the_announced_ones(name):
    expected = manifest(name)
    model = build_model(EvfConfig.from_dict(expected["config"], kind="efficient_sam"), weights=False)
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == expected["tensors"]
    assert sum(p.numel() for p in model.parameters()) == expected["parameters_total"]


@pytest.fixture(scope="module")
def small_model():
    torch.manual_seed(0)
    return build_model(EvfConfig(replace(SMALL_BEIT3, image_size=64), SMALL, multimask=False))


@torch.no_grad()
def test_prompts_on_one_picture_equal_prompts_on_copies_of_it(small_model):
    features = small_model.encode_image(randn(1, (1, 3, 64, 64)))
    prompts = randn(2, (3, 1, 64))
    together = small_model.decode(features, prompts)
    copies = small_model.decode(features.select(torch.zeros(3, dtype=torch.int64)), prompts)
    assert together.low_res_masks.shape == (3, 16, 16)
    torch.testing.assert_close(together.low_res_masks, copies.low_res_masks)
    for i in range(3):
        alone = small_model.decode(features, prompts[i : i + 1])
        torch.testing.assert_close(together.low_res_masks[i], alone.low_res_masks[0], atol=1e-5, rtol=1e-4)


PROMPTS = {
    "a point": {"points": (torch.tensor([[[10.0, 20.0]]]), torch.tensor([[1]]))},
    "a point outside": {"points": (torch.tensor([[[10.0, 20.0]]]), torch.tensor([[0]]))},
    "a box": {"boxes": torch.tensor([[5.0, 6.0, 40.0, 50.0]])},
    "eight points": {"points": (torch.arange(16.0).view(1, 8, 2), torch.ones(1, 8, dtype=torch.int64))},
}


@torch.no_grad()
@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("words", [False, True])
def test_points_and_boxes_alone_and_with_text(small_model, prompts, words):
    features = small_model.encode_image(randn(1, (1, 3, 64, 64)))
    prompt = randn(2, (1, 1, 64)) if words else None
    masks = small_model.decode(features, prompt, **prompts)
    assert masks.low_res_masks.shape == (1, 16, 16)
    assert torch.isfinite(masks.low_res_masks).all()
    moved = {
        "points": (prompts["points"][0] + 20, prompts["points"][1]) if "points" in prompts else None,
        "boxes": prompts["boxes"] + 10 if "boxes" in prompts else None,
    }
    assert not torch.equal(masks.low_res_masks, small_model.decode(features, prompt, **moved).low_res_masks)


@torch.no_grad()
def test_padding_a_click_changes_nothing(small_model):
    """Points are always padded to six, so padding by the caller changes nothing."""
    features = small_model.encode_image(randn(1, (1, 3, 64, 64)))
    one = (torch.tensor([[[10.0, 20.0]]]), torch.tensor([[1]]))
    padded = (torch.tensor([[[10.0, 20.0], [-1.0, -1.0]]]), torch.tensor([[1, -1]]))
    torch.testing.assert_close(
        small_model.decode(features, points=one).low_res_masks,
        small_model.decode(features, points=padded).low_res_masks,
    )
