"""EfficientNet-Lite0 in Hiera's place and as the stem of the multimodal encoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from evfsam.checkpoints.load import build_and_fill
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.encoders.beit3 import join
from evfsam.modeling.trunks.efficientnet_lite import WIDTHS, EfficientNetLite0, pad_same
from tests.checkpoints.small import BEIT3, SAM2, write_checkpoint

ENCODER = replace(BEIT3, image_size=64, patch_size=32, stem="trunk")
SEGMENTER = replace(SAM2, trunk="efficientnet_lite0", memory=False)
CONFIG = EvfConfig(replace(ENCODER, vocabulary=64), SEGMENTER, multimask=False)
PHRASES = torch.tensor([[0, 7, 2], [0, 9, 2]])


def small_model():
    torch.manual_seed(0)
    return build_model(CONFIG)


def test_the_trunk_hands_on_four_maps():
    levels = EfficientNetLite0()(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (width, 64 // stride, 96 // stride) for width, stride in zip(WIDTHS, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize(("size", "kernel", "stride"), [(64, 3, 2), (63, 3, 2), (64, 5, 2), (17, 5, 1)])
def test_padding_halves_sizes_as_tensorflow_does(size, kernel, stride):
    convolution = torch.nn.Conv2d(1, 1, kernel, stride)
    assert convolution(pad_same(torch.zeros(1, 1, size, size), convolution)).shape[-1] == -(-size // stride)


def test_both_copies_are_read_with_the_same_weights():
    model = small_model()
    names = [name for name in model.state_dict() if "trunk" in name]
    assert names and all(name.startswith("visual_model.image_encoder.trunk.") for name in names)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = model.encode_prompt(image, PHRASES)
        model.visual_model.image_encoder.trunk.stem.bias.add_(1)
        assert not torch.allclose(model.encode_prompt(image, PHRASES), before)


def test_words_and_image_meet_in_the_first_layer():
    model = small_model()
    first_layer = model.mm_extractor.beit3.encoder.layers[0]
    seen = []
    first_layer.register_forward_pre_hook(lambda _, inputs: seen.append(join(inputs[0]).shape[1]))
    with torch.no_grad():
        one, other = (model.encode_prompt(torch.full((1, 3, 64, 64), value), PHRASES) for value in (-0.5, 0.5))
    assert seen == [1 + 4 + 3] * 2  # [CLS], 2 x 2 image tokens, three words
    assert not torch.allclose(one, other)


def test_one_image_serves_all_phrases_and_both_sides_shape_their_own_copy():
    model = small_model()
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        together = model.encode_prompt(image, PHRASES)
        assert torch.allclose(together, model.encode_prompt(image.expand(2, -1, -1, -1), PHRASES), atol=1e-5)
        masks = model(torch.randn(1, 3, 64, 64), image, PHRASES)
    assert masks.low_res_masks.shape == (2, 16, 16)


def test_a_checkpoint_holds_the_trunk_once_and_loads_again(tmp_path):
    model = write_checkpoint(tmp_path, SEGMENTER, encoder=ENCODER)
    loaded = build_and_fill(tmp_path)
    assert loaded.config == model.config
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert sum("trunk.stem.weight" in name for name in list(file.keys())) == 1
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded.encode_prompt(image, PHRASES), model.encode_prompt(image, PHRASES))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"segmenter": {"trunk": "hiera"}}, "stem"),  # Hiera's maps are no stem
        ({"segmenter": {"trunk": "resnet"}}, "trunk"),
        ({"mm_extractor": {"patch_size": 16}}, "patch_size"),
        ({"mm_extractor": {"stem": "pixels"}}, "stem"),
    ],
)
def test_a_stem_without_its_trunk_is_refused(changes, named):
    config = CONFIG.to_dict()
    for section, values in changes.items():
        config[section] |= values
    with pytest.raises(ValueError, match=named):
        EvfConfig.from_dict(config)
