"""What the losses of a stage ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from evfsam.training.cache import open_clips
from evfsam.training.grounding import GroundingHeads
from evfsam.training.memory_stage import MemoryStage
from evfsam.training.parts import parameter_groups
from evfsam.training.phrase_stage import PhraseStage, answers_of
from evfsam.training.point_prompts import PointPrompts
from evfsam.training.point_stage import PointStage
from evfsam.training.run import features_of, new_model
from tests.training.small import small


def phrase_stage(sampler_of, teach=None, **changes):
    recipe = small("evf-sam2-tiny-photo")
    stage = replace(recipe.stages[0], **changes)
    model, heads = new_model(recipe.model, 0), GroundingHeads(recipe.model.encoder)
    return PhraseStage(model, stage, sampler_of(recipe), 0, heads, None, teach)


def test_the_loss_is_the_sum_of_the_parts_in_their_weights(sampler_of):
    module = phrase_stage(sampler_of, losses={"masks": 1.0})
    masks, grounding = module(module.batch(0))["loss"], None
    module.stage = replace(module.stage, losses={"grounding": 1.0})
    grounding = module(module.batch(0))["loss"]
    module.stage = replace(module.stage, losses={"masks": 1.0, "grounding": 0.3})
    torch.testing.assert_close(module(module.batch(0))["loss"], masks + 0.3 * grounding)


def test_a_stage_without_masks_leaves_the_segmenter_out(sampler_of):
    module = phrase_stage(sampler_of, losses={"grounding": 1.0})
    batch = module.batch(0)
    assert not batch.point_prompts and not len(batch.asked_again)
    module(batch)["loss"].backward()
    assert all(p.grad is None for p in module.model.visual_model.parameters())


def test_only_the_parts_of_the_row_learn_each_at_its_rate(sampler_of):
    module = phrase_stage(sampler_of, trains=("projector", "decoder"), rates={"decoder": 0.5})
    groups = parameter_groups(module, module.stage)
    assert sorted(group["lr"] for group in groups) == [module.stage.learning_rate / 2, module.stage.learning_rate]
    module(module.batch(0))["loss"].backward()
    learned = {name.split(".")[1] for name, p in module.named_parameters() if p.grad is not None}
    assert learned == {"text_hidden_fcs", "visual_model"}
    decoder = {name for name, p in module.model.visual_model.named_parameters() if p.grad is not None}
    assert decoder and all(name.startswith("sam_mask_decoder.") for name in decoder)


def test_the_answers_on_known_images_are_kept_and_no_others(sampler_of):
    module = phrase_stage(sampler_of)
    module.teach = answers_of(new_model(module.model.config, 0).eval())
    batch = module.batch(0)
    assert module(batch)["kept"].abs() < 1e-5
    with torch.no_grad():
        module.model.text_hidden_fcs[0][2].bias.add_(1)
    changed = module(batch)
    changed["kept"].backward()
    assert changed["kept"] > 0.01 and module.model.text_hidden_fcs[0][2].bias.grad.abs().max() > 0
    unknown = batch._replace(words=batch.words._replace(known=torch.zeros_like(batch.words.known)))
    assert module(unknown)["kept"] == 0
    module.teach = None
    untaught = module(batch)
    assert "kept" not in untaught
    torch.testing.assert_close(changed["loss"], untaught["loss"] + changed["kept"])


def test_the_segmenter_sees_a_share_of_the_images_without_colour_and_the_encoder_all_in_colour(sampler_of):
    module = phrase_stage(sampler_of, images=12, grey=0.5)
    words, spec = module.batch(0).words, module.sampler.spec
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    colour = (words.segmenter_pixels * std + mean).std(1).amax((1, 2))
    assert (colour < 1e-3).any() and (colour > 10).any() and ((colour < 1e-3) | (colour > 10)).all()
    assert (words.encoder_pixels.std(1).amax((1, 2)) > 0.1).all()


def test_distillation_brings_the_student_nearer_to_the_teacher(sampler_of):
    recipe = small("evf-sam-tiny")
    stage = replace(recipe.stage("distil"), images=4, image_size=128)  # as its teacher
    sampler = sampler_of(replace(recipe, stages=(stage,)))
    teacher = new_model(small().model, 1).eval()
    module = PointStage(new_model(recipe.model_of(stage), 0), stage, sampler, 0, features_of(teacher))
    optimizer = torch.optim.AdamW(parameter_groups(module, stage), lr=4e-3)
    losses = []
    for step in range(40):
        loss = module(module.batch(step))["loss"]
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


@pytest.mark.usefixtures("one_thread")
def test_things_of_several_clips_are_followed_each_in_its_own(sampler_of, tmp_path):
    recipe = small()
    clips = open_clips(tmp_path, 0, 1, 128, workers=1)
    stage = replace(recipe.stage("memory"), prompts=2)
    module = MemoryStage(new_model(recipe.model, 0), stage, sampler_of(recipe), 0, clips).train()
    one, other = (module.batch(step)._replace(truth=[True] * 4 + [False] * 4) for step in (0, 5))
    assert not torch.equal(one.frame_pixels, other.frame_pixels)
    points = [torch.cat(parts) for parts in zip(one.first.points, other.first.points, strict=True)]
    both = one._replace(
        frame_pixels=torch.cat([one.frame_pixels, other.frame_pixels]),
        coverage=torch.cat([one.coverage, other.coverage], 1),
        first=PointPrompts(
            torch.cat([one.first.image_of_row, other.first.image_of_row + 1]),
            torch.cat([one.first.coverage, other.first.coverage]),
            points,
            torch.cat([one.first.boxes, other.first.boxes]),
        ),
    )
    with torch.no_grad():
        apart = [module._clip_losses(batch)["bce"] for batch in (one, other)]
        together = module._clip_losses(both)["bce"]
    rows = [batch.coverage.shape[1] for batch in (one, other)]
    torch.testing.assert_close(together, (apart[0] * rows[0] + apart[1] * rows[1]) / sum(rows))
