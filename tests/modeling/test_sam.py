"""SAM's decoder with one image per prompt, the form that training uses."""

from __future__ import annotations

import pytest
import torch

from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from evfsam.types import ImageFeatures
from tests.random_model import CONFIG, SMALL_SAM


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(EvfConfig(CONFIG.encoder, SMALL_SAM, multimask=False))


@pytest.mark.parametrize("multimask", [False, True])
def test_prompts_on_pictures_of_their_own_equal_one_after_the_other(model, multimask):
    with torch.no_grad():
        features = model.encode_image(torch.randn(3, 3, 64, 64))
        prompts = torch.randn(3, 1, 32)
        together = model.decode(features, prompts, multimask=multimask)
        for i in range(3):
            alone = ImageFeatures(features.image_embeddings[i : i + 1])
            one = model.decode(alone, prompts[i : i + 1], multimask=multimask)
            torch.testing.assert_close(together.low_res_masks[i], one.low_res_masks[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(together.iou_predictions[i], one.iou_predictions[0], atol=1e-5, rtol=1e-4)


def test_every_picture_gets_its_own_gradient(model):
    embeddings = torch.randn(2, 32, 4, 4, requires_grad=True)
    masks = model.decode(ImageFeatures(embeddings), torch.randn(2, 1, 32), multimask=False).low_res_masks
    masks[0].sum().backward()
    assert embeddings.grad[0].abs().sum() > 0 and embeddings.grad[1].abs().sum() == 0
