"""The memory: parity with the reference's video mode, and a size that does not grow."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from evfsam.modeling.build import build_model
from evfsam.modeling.config import Beit3Config, EvfConfig, Sam2Config
from evfsam.modeling.segmenters.sam2_memory import Sam2Memory, hide_absent
from evfsam.processing.masks import restore
from evfsam.types import Geometry, MaskLogits
from tests.parity.recipe import case, fill, randn

TOLERANCE = 1e-2  # the reference keeps its memory in bfloat16
IDS = torch.tensor([[0, 17, 45, 99, 2]])
CONFIG = EvfConfig(
    Beit3Config(width=64, layers=3, heads=4, feed_forward=256, vocabulary=128),
    Sam2Config(
        image_size=128,
        width=96,
        stages=(1, 2, 7, 2),
        heads=1,
        global_attention_blocks=(5, 7, 9),
        windows=(8, 4, 14, 7),
    ),
    multimask=True,
)


@pytest.fixture(scope="module")
def model():
    model = build_model(CONFIG)
    fill(model)
    with torch.no_grad():  # the case: the object is always visible
        model.visual_model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(10.0)
    return model


@pytest.fixture(scope="module")
def memory(model):
    return Sam2Memory(model.visual_model)


@pytest.fixture(scope="module")
def clip(memory):
    """Features of the case's 24 frames."""
    spec = CONFIG.pixels
    mean, std = np.float32(spec.mean), np.float32(spec.std)
    frames = [np.asarray(Image.fromarray(frame).resize((128, 128))) for frame in case("evf_sam2_video_small")["frames"]]
    pixels = torch.from_numpy((np.stack(frames).astype(np.float32) - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        return [memory.encode_frame(frame[None]) for frame in pixels]


def prompt(model, memory, frame, ids=IDS) -> MaskLogits:
    return model.decode(memory.without_memory(frame), model.encode_prompt(randn(6, (1, 3, 224, 224)), ids))


def track(model, memory, clip, order, ids=IDS) -> list[MaskLogits]:
    """Prompt the first frame of the order, follow through the others."""
    bank, outputs = memory.new_bank(), []
    reverse = order[-1] < order[0]
    for index in order:
        first = index == order[0]
        masks = prompt(model, memory, clip[index], ids) if first else memory.track(clip[index], bank, index, reverse)
        memory.remember(bank, clip[index], index, masks, prompted=first)
        outputs.append(hide_absent(masks))
    return outputs


@torch.no_grad()
def test_every_frame_equals_the_reference(model, memory, clip):
    expected = case("evf_sam2_video_small")
    geometry = Geometry(original_size_hw=(96, 120), resized_size_hw=(128, 128), input_size_hw=(128, 128))
    outputs = track(model, memory, clip, range(24))
    logits = np.stack([restore(masks.low_res_masks, geometry)[0].numpy() for masks in outputs])
    reference = expected["mask_logits"].reshape(24, *logits[0, ::4, ::4].shape)
    differences = np.abs(logits[:, ::4, ::4] - reference).max((1, 2))
    print(f"\ngreatest difference a frame, float32 against bfloat16 memory: {differences.max():.1e}")
    print(" ".join(f"{d:.0e}" for d in differences))
    assert differences.max() < TOLERANCE
    positive = (logits > 0).mean((1, 2))
    assert np.abs(positive - expected["mask_positive"].ravel()).max() < 1e-3


@torch.no_grad()
def test_objects_as_rows_equal_objects_alone(model, memory, clip):
    other = torch.tensor([[0, 8, 33, 71, 2]])
    together = track(model, memory, clip, range(6), torch.cat([IDS, other]))
    alone = [track(model, memory, clip, range(6), ids) for ids in (IDS, other)]
    for both, *each in zip(together, *alone, strict=True):
        assert torch.allclose(both.low_res_masks, torch.cat([m.low_res_masks for m in each]), atol=1e-4)


@torch.no_grad()
def test_tracking_backwards_is_tracking_the_mirrored_clip(model, memory, clip):
    backwards = track(model, memory, clip, range(20, 0, -1))
    mirrored = {20 + i: clip[20 - i] for i in range(20)}
    forwards = track(model, memory, mirrored, range(20, 40))
    for a, b in zip(backwards, forwards, strict=True):
        assert torch.equal(a.low_res_masks, b.low_res_masks)


@torch.no_grad()
def test_the_bank_is_bounded_and_loses_nothing_that_counts(model, memory, clip):
    """The same masks as with every memory kept, while the bank stays as large as the settings say."""
    bounded, full = (
        memory.new_bank(),
        dataclasses.replace(memory.new_bank(), spatial_frames=99, pointer_frames=99),
    )
    for index in range(24):
        masks = []
        for bank in (bounded, full):
            masks.append(memory.track(clip[index], bank, index) if index else prompt(model, memory, clip[0]))
            memory.remember(bank, clip[index], index, masks[-1], prompted=index == 0)
        assert torch.equal(masks[0].low_res_masks, masks[1].low_res_masks)
    assert len(full.recent) == 23
    assert sorted(bounded.recent) == list(range(9, 24))
    assert sorted(i for i, m in bounded.recent.items() if m.spatial is not None) == list(range(18, 24))


@torch.no_grad()
def test_some_of_the_objects(model, memory, clip):
    bank = memory.new_bank()
    masks = prompt(model, memory, clip[0], torch.cat([IDS, torch.tensor([[0, 8, 33, 71, 2]])]))
    memory.remember(bank, clip[0], 0, masks, prompted=True)
    both = memory.track(clip[1], bank, 1)
    second = memory.track(clip[1], bank.select([1]), 1)
    assert len(bank) == 2
    assert torch.allclose(second.low_res_masks, both.low_res_masks[1:], atol=1e-4)


@torch.no_grad()
def test_an_absent_object_has_an_empty_mask_and_the_absent_pointer(model, memory, clip):
    masks = prompt(model, memory, clip[0])
    absent = dataclasses.replace(masks, object_score_logits=torch.tensor([-1.0]))
    assert (hide_absent(absent).low_res_masks < 0).all()
    assert torch.equal(memory.object_pointer(absent), memory.segmenter.no_obj_ptr)
    assert not torch.equal(memory.object_pointer(masks), memory.segmenter.no_obj_ptr)


@torch.no_grad()
def test_a_click_changes_the_mask_it_corrects(model, memory, clip):
    bank = memory.new_bank()
    memory.remember(bank, clip[0], 0, prompt(model, memory, clip[0]), prompted=True)
    tracked = memory.track(clip[1], bank, 1)
    point = (torch.tensor([[[20.0, 30.0]]]), torch.tensor([[1]]))
    corrected = memory.refine(clip[1], bank, 1, point, None)
    assert corrected.low_res_masks.shape == tracked.low_res_masks.shape
    assert not torch.allclose(corrected.low_res_masks, tracked.low_res_masks, atol=1e-2)


def test_gradients_reach_every_memory_module(model, memory, clip):
    """Training goes through the steps: from the last frame's mask back to the first frame's memory."""
    bank = memory.new_bank()
    for index in range(3):
        masks = prompt(model, memory, clip[0]) if index == 0 else memory.track(clip[index], bank, index)
        memory.remember(bank, clip[index], index, masks, prompted=index == 0)
    masks.low_res_masks.mean().backward()
    modules = ("memory_attention", "memory_encoder", "obj_ptr_proj", "maskmem_tpos_enc")
    reached = {name: p.grad is not None and bool(p.grad.any()) for name, p in memory.segmenter.named_parameters()}
    memory.segmenter.zero_grad(set_to_none=True)
    for module in modules:
        assert any(reached[name] for name in reached if name.startswith(module)), module


def test_a_model_without_memory_modules_is_refused():
    config = dataclasses.replace(CONFIG, segmenter=dataclasses.replace(CONFIG.segmenter, memory=False))
    with pytest.raises(ValueError, match="without memory"):
        Sam2Memory(build_model(config).visual_model)
