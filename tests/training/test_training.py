"""A few steps of every stage, on real scenes, to a checkpoint that loads and answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from sam2.modeling.position_encoding import apply_rotary_enc

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.tokenizer import load_tokenizer
from evfsam.data.scenes import TEST, VALIDATION, make_clip, make_scene, render
from evfsam.errors import InputError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import Beit3Config
from evfsam.modeling.segmenters.sam2_memory import MEMORY_MODULES, Sam2Memory
from evfsam.predictor import Predictor
from evfsam.processing.inputs import prepare
from evfsam.runtime import choose_runtime
from evfsam.training.clip_cache import open_clip_cache
from evfsam.training.config import STAGES, StageConfig
from evfsam.training.distillation import DistilStage
from evfsam.training.init import continue_from, deepen, initialise_memory, resize_positions, resize_vit
from evfsam.training.loop import train
from evfsam.training.memory_stage import MemoryStage
from evfsam.training.phrases import PhraseReader
from evfsam.training.pointing import SegmenterStage, corrected
from evfsam.training.recipes import RECIPES, TINY_SAM
from evfsam.training.run import enlarged, new_model, run
from evfsam.training.sampling import (
    Clicker,
    Pointing,
    boxes_of,
    generator,
    sample_clicks,
    sample_corrections,
    sample_phrases,
    sample_targets,
)
from evfsam.training.scene_cache import OUTSIDE, open_cache
from evfsam.training.stages import GroundingHeads, SharperStage, TogetherStage
from evfsam.types import MaskLogits

STAGE = StageConfig(steps=3, learning_rate=1e-3, scenes=2, prompts=3, warmup=1)


def small(name: str = "evf-sam2-tiny"):
    """A recipe of the bundled kind, shrunk until a step takes a fraction of a second."""
    recipe = RECIPES[name]
    segmenter = replace(recipe.model.segmenter, image_size=128)
    if segmenter.kind == "sam":  # a finer picture than its teacher's, as the bundled one
        segmenter = replace(segmenter, image_size=192, width=48, depth=2, heads=2, global_attention_blocks=(1,))
    if segmenter.kind == "efficient_sam":
        segmenter = replace(segmenter, width=48, depth=2, heads=2)
    encoder = Beit3Config(
        width=32, layers=3, heads=2, feed_forward=64, vocabulary=264, image_size=96, text_positions=66
    )
    model = replace(recipe.model, segmenter=segmenter, encoder=encoder)
    short = {stage: STAGE for stage in STAGES[:-1] if getattr(recipe, stage)}
    if recipe.memory:
        short["memory"] = replace(STAGE, scenes=1, prompts=2)
    coarse = {"coarse_size": 64, "coarse_layers": 2, "coarse_picture": 64} if recipe.coarse_size else {}
    return replace(recipe, model=model, scenes=4, clips=1, clip_frames=recipe.clip_frames and 2, **coarse, **short)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    run(small(), folder, device="cpu", workers=1)
    return folder


@pytest.fixture(scope="module")
def trained_sam(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam")
    run(small("evf-sam-tiny"), folder, device="cpu", workers=1, base=trained / "checkpoint")
    return folder


@pytest.fixture(scope="module")
def trained_efficient_sam(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("efficient-sam")
    run(small("evf-effi-sam-tiny"), folder, device="cpu", workers=1, base=trained / "checkpoint")
    return folder


@pytest.fixture(params=["trained", "trained_sam", "trained_efficient_sam"])
def trained_folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def cache(trained):
    return open_cache(trained / "scenes", 0, 4, 128, workers=1, aspects=small().aspects, stretched=True)


def test_every_stage_reports_and_the_checkpoint_answers(trained_folder):
    recipe = json.loads((trained_folder / "recipe.json").read_text())
    wanted = {f"{stage}.safetensors" for stage in STAGES[:-1] if recipe[stage]}
    assert "together.safetensors" in wanted == {path.name for path in trained_folder.glob("*.safetensors")}
    predictor = Predictor(load_checkpoint(trained_folder / "checkpoint"), choose_runtime("cpu"))
    picture = render(make_scene(3), (90, 120)).image
    (found,) = predictor.segment(picture, ["the red car"])
    assert found.mask_logits.shape == (90, 120) and np.isfinite(found.mask_logits).all()


def test_the_decoder_learns_and_the_image_encoder_stays_as_it_was(trained):
    before, after = load_file(trained / "segmenter.safetensors"), load_file(trained / "joint.safetensors")
    changed = {name for name, value in before.items() if not torch.equal(value, after[f"model.visual_model.{name}"])}
    assert changed and all(name.startswith("sam_mask_decoder.") for name in changed)


def test_the_image_encoder_alone_learns_to_see_as_the_teacher(trained, trained_sam):
    start = new_model(small("evf-sam-tiny").model, 0)
    continue_from(start, load_checkpoint(trained / "checkpoint").model)
    before, after = start.state_dict(), load_file(trained_sam / "distil.safetensors")
    assert after.keys() == {f"model.{name}" for name in before}
    changed = {name for name in before if not torch.equal(before[name], after[f"model.{name}"])}
    assert changed and all(name.startswith("visual_model.image_encoder.") for name in changed)


def test_distillation_brings_the_student_nearer_to_the_teacher(trained, cache):
    recipe = small("evf-sam-tiny")
    recipe = replace(recipe, variety=0.0, distil=replace(STAGE, scenes=4))
    teacher = load_checkpoint(trained / "checkpoint").model
    config = replace(recipe.model, segmenter=replace(recipe.model.segmenter, image_size=128))  # as its teacher's

    @torch.no_grad()
    def teach(pixels):
        return teacher.encode_image(pixels).image_embeddings

    stage = DistilStage(new_model(config, 0), recipe, cache, teach, torch.device("cpu"))
    optimizer = torch.optim.AdamW(stage.parameter_groups(), lr=2e-3)
    losses = []
    for step in range(60):
        loss = stage(stage.batch(step))["loss"]
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def test_a_segmenter_that_pads_learns_from_pictures_that_are_no_square(trained_sam):
    recipe = replace(RECIPES["evf-sam-tiny"], scenes=4)
    cache = open_cache(trained_sam / "scenes", 0, 4, 192, workers=1, aspects=recipe.aspects, stretched=False)
    assert [cache.image(i).shape[:2] for i in range(4)] == [(192, 192), (192, 192), (192, 192), (144, 192)]
    assert (cache.part_maps[3][144:] == OUTSIDE).all() and (cache.part_maps[3][:144] != OUTSIDE).all()
    assert (cache.image(3) == render(make_scene(3, 4 / 3), (144, 192)).image).all()


def test_the_bundled_recipes_fit_into_16_mib():
    for name, recipe in RECIPES.items():
        bytes_fp16 = 2 * sum(p.numel() for p in build_model(recipe.model, weights=False).parameters())
        assert bytes_fp16 <= 15.5 * 2**20, f"{name}: {bytes_fp16 / 2**20:.1f} MiB"


def test_memory_and_decoder_learn_and_nothing_else_moves(trained):
    before, after = load_file(trained / "sharper.safetensors"), load_file(trained / "memory.safetensors")
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any("memory_attention" in name for name in changed) and any("memory_encoder" in name for name in changed)
    may_move = (*MEMORY_MODULES, "sam_mask_decoder")
    assert all(name.removeprefix("model.visual_model.").startswith(may_move) for name in changed)
    assert "video" in load_checkpoint(trained / "checkpoint").info.capabilities


def test_a_finer_copy_teaches_the_words_and_leaves_the_segmenter_as_it_was(trained):
    before, after = load_file(trained / "together.safetensors"), load_file(trained / "finer.safetensors")
    positions = "model.mm_extractor.beit3.encoder.embed_positions.A.weight"
    assert len(before[positions]) == 3 + 4 * 4 and len(after[positions]) == 3 + 6 * 6
    assert {int(name.split("layers.")[1][0]) for name in after if "encoder.layers." in name} == {0, 1, 2}
    changed = {name for name in before if name != positions and not torch.equal(before[name], after[name])}
    assert {name.split(".")[1] for name in changed if name.startswith("model.")} == {"mm_extractor", "text_hidden_fcs"}
    pixels = load_checkpoint(trained / "checkpoint").info.pixels
    assert pixels.encoder_image_size == 96


@pytest.mark.usefixtures("one_thread")
def test_things_of_several_clips_are_followed_each_in_its_own(trained, cache):
    recipe = small()
    clips = open_clip_cache(trained / "clips", 0, 1, 128, workers=1)
    reader = PhraseReader(recipe.model, cache, load_tokenizer(trained / "tokenizer"))
    stage = MemoryStage(load_checkpoint(trained / "checkpoint").model, recipe, clips, reader).train()
    one, other = (stage.batch(step)._replace(truth=[True] * 4 + [False] * 4) for step in (0, 5))
    assert not torch.equal(one.frame_pixels, other.frame_pixels)
    points = [torch.cat(parts) for parts in zip(one.first.points, other.first.points, strict=True)]
    both = one._replace(
        frame_pixels=torch.cat([one.frame_pixels, other.frame_pixels]),
        coverage=torch.cat([one.coverage, other.coverage], 1),
        first=Pointing(
            torch.cat([one.first.scene_of_row, other.first.scene_of_row + 1]),
            torch.cat([one.first.coverage, other.first.coverage]),
            points,
            torch.cat([one.first.boxes, other.first.boxes]),
        ),
    )
    with torch.no_grad():
        apart = [stage._clip_losses(batch)["bce"] for batch in (one, other)]
        together = stage._clip_losses(both)["bce"]
    rows = [batch.coverage.shape[1] for batch in (one, other)]
    torch.testing.assert_close(together, (apart[0] * rows[0] + apart[1] * rows[1]) / sum(rows))


def test_with_a_sharper_picture_everything_but_the_memory_learns_on(trained):
    before, after = load_file(trained / "finer.safetensors"), load_file(trained / "sharper.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    for part in ("mm_extractor", "text_hidden_fcs", "image_encoder", "sam_mask_decoder", "heads"):
        assert any(part in name for name in changed), part
    assert not any(name.removeprefix("model.visual_model.").startswith(MEMORY_MODULES) for name in changed)
    sizes = [small().model_of(stage).segmenter.image_size for stage in ("joint", "finer", "sharper", "memory")]
    assert sizes == [64, 64, 128, 128]
    assert load_checkpoint(trained / "checkpoint").info.pixels.image_size == 128


def test_the_segmenter_sees_a_share_of_the_pictures_without_colour_and_the_encoder_all_in_colour(trained, cache):
    recipe = small()
    recipe = replace(recipe, sharper=replace(STAGE, scenes=12, grey=0.5))
    model, tokenizer = new_model(recipe.model, 0), load_tokenizer(trained / "tokenizer")
    reader = PhraseReader(recipe.model, cache, tokenizer)
    words = SharperStage(model, recipe, GroundingHeads(recipe.model.encoder), reader, None).batch(0).words
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (reader.spec.mean, reader.spec.std))
    colour = (words.segmenter_pixels * std + mean).std(1).amax((1, 2))
    assert (colour < 1e-3).any() and (colour > 10).any() and ((colour < 1e-3) | (colour > 10)).all()
    assert (words.encoder_pixels.std(1).amax((1, 2)) > 0.1).all()


@pytest.mark.usefixtures("one_thread")
def test_batches_that_other_processes_prepare_teach_the_same(trained, cache, tmp_path):
    recipe, states = small(), []
    reader = PhraseReader(recipe.model, cache, load_tokenizer(trained / "tokenizer"), variety=0.5)
    for workers in (0, 2):
        model = new_model(recipe.model, recipe.seed)
        heads = GroundingHeads(recipe.model.encoder)  # after ``new_model``, which seeds
        stage = SharperStage(model, recipe, heads, reader, None)
        (tmp_path / str(workers)).mkdir()
        train(stage, STAGE, tmp_path / str(workers), Accelerator(cpu=True), workers)
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_batch_for_a_gpu_has_so_many_times_the_scenes(trained, cache):
    recipe = enlarged(small(), 3)
    assert recipe.together.scenes == 3 * STAGE.scenes and recipe.together.steps == STAGE.steps
    reader = PhraseReader(recipe.model, cache, load_tokenizer(trained / "tokenizer"))
    heads = GroundingHeads(recipe.model.encoder)
    batch = TogetherStage(new_model(recipe.model, 0), recipe, heads, reader, None).batch(0)
    assert batch.words.encoder_pixels.shape[0] == batch.words.segmenter_pixels.shape[0] == 6
    assert len(batch.words.token_ids) == len(batch.words.coverage) == len(batch.words.token_coverage) == 18


def test_the_encoder_is_told_where_things_are_in_its_own_stretched_copy(tmp_path):
    """The segmenter of a SAM sees a picture that is no square in the corner of one, the encoder stretched over it."""
    wide = open_cache(tmp_path, 0, 1, 96, 1, (2.0,), stretched=False)
    batch = sample_phrases(wide, replace(STAGE, scenes=1, prompts=30), generator(0, "together", 0), 24, 6)
    halves = batch.coverage[:, :12].unflatten(2, (6, 4)).unflatten(1, (6, 2)).mean((2, 4))
    assert wide.sizes_hw[0] == (48, 96) and not batch.coverage[:, 12:].any()
    assert batch.token_coverage[:, 3:].any() and torch.allclose(batch.token_coverage, halves, atol=1e-5)


def test_a_segmenter_that_stretches_is_told_where_things_are_in_its_square(tmp_path):
    wide = open_cache(tmp_path, 0, 1, 96, 1, (2.0,), stretched=True)
    batch = sample_phrases(wide, replace(STAGE, scenes=1, prompts=30), generator(0, "together", 0), 24, 6)
    as_tokens = batch.coverage.unflatten(2, (6, 4)).unflatten(1, (6, 4)).mean((2, 4))
    assert torch.allclose(as_tokens, batch.token_coverage, atol=1e-5)
    targets = sample_targets(wide, np.zeros(1, int), 40, np.random.default_rng(0), 24)
    assert targets.coverage[:, 12:].any() and targets.coverage.flatten(1).any(1).all()


def test_positions_of_a_finer_copy_say_the_same_of_the_same_place():
    small_one, large_one = (replace(small().model.encoder, image_size=side * 16) for side in (4, 8))
    ramp = torch.linspace(0, 1, 4)
    positions = torch.cat(
        [torch.full((3, 2), 7.0), torch.stack(torch.meshgrid(ramp, ramp, indexing="ij"), -1).view(16, 2)]
    )
    state = {"beit3.encoder.embed_positions.A.weight": positions}
    resized = next(iter(resize_positions(state, large_one).values()))
    assert resized.shape == (3 + 64, 2) and (resized[:3] == 7).all()
    down, right = resized[3:].view(8, 8, 2).unbind(-1)
    assert (down.diff(dim=0) > 0).all() and (right.diff(dim=1) > 0).all()
    assert resize_positions(state, small_one) is state


def test_a_vit_for_a_finer_picture_says_the_same_of_the_same_place_and_distance():
    coarse, fine = (
        replace(small("evf-sam-tiny").model, segmenter=replace(TINY_SAM, image_size=side)) for side in (128, 256)
    )
    ramp = torch.linspace(0, 1, 8)
    state = new_model(coarse, 0).state_dict()
    prefix = "visual_model.image_encoder."
    state[f"{prefix}pos_embed"] = torch.stack(torch.meshgrid(ramp, ramp, indexing="ij"), -1).repeat(1, 1, 1, 96)
    state[f"{prefix}blocks.4.attn.rel_pos_w"] = torch.linspace(-1, 1, 15)[:, None].repeat(1, 32)
    resized = resize_vit(state, fine.segmenter)
    build_model(fine).load_state_dict(resized)
    positions, distances = resized[f"{prefix}pos_embed"], resized[f"{prefix}blocks.4.attn.rel_pos_w"]
    assert (positions[0, :, :, 0].diff(dim=0) > 0).all() and (positions[0, :, :, 1].diff(dim=1) > 0).all()
    assert (distances.diff(dim=0) >= 0).all()
    torch.testing.assert_close(distances[[0, 15, 30], 0], torch.tensor([-1.0, 0.0, 1.0]))
    changed = {name for name in state if resized[name] is not state[name]}
    assert changed == {f"{prefix}{name}" for name in ("pos_embed", *GLOBAL_POSITIONS)}
    assert resize_vit(state, coarse.segmenter) is state


GLOBAL_POSITIONS = [f"blocks.{block}.attn.rel_pos_{axis}" for block in (2, 4) for axis in "hw"]


def test_a_plain_vit_that_is_built_otherwise_is_not_taken_over():
    recipe = small("evf-sam-tiny")
    shallow = replace(TINY_SAM, depth=1, global_attention_blocks=(0,))
    for other in (small("evf-effi-sam-tiny").model, replace(recipe.model, segmenter=shallow)):
        model, fresh = new_model(recipe.model, 1), new_model(recipe.model, 1).state_dict()
        continue_from(model, new_model(other, 2))
        for name, tensor in model.state_dict().items():
            if name.startswith("visual_model.image_encoder."):
                assert torch.equal(tensor, fresh[name]), name


def test_a_deeper_encoder_starts_by_computing_the_same_and_all_its_layers_learn():
    encoder = small().model.encoder
    shallow = new_model(replace(small().model, encoder=replace(encoder, layers=4)), 0).eval()
    deep_config = replace(small().model, encoder=replace(encoder, layers=6))
    deep = build_model(deep_config).eval()
    deep.load_state_dict(deepen(shallow.state_dict(), deep_config.encoder))
    pixels, ids = torch.rand(2, 3, 96, 96) * 2 - 1, torch.tensor([[5, 6, 7], [8, 9, 10]])
    torch.testing.assert_close(deep.encode_prompt(pixels, ids), shallow.encode_prompt(pixels, ids))
    layers = deep.mm_extractor.beit3.encoder.layers
    # 0, 1, 1', 2, 2', 3: the first and the last stay alone.
    for old, copy in ((1, 2), (3, 4)):
        old, copy = layers[old].ffn.A.fc1, layers[copy].ffn.A.fc1
        assert torch.equal(old.weight, copy.weight) and old.weight is not copy.weight
    deep.encode_prompt(pixels, ids).square().sum().backward()
    assert all(layer.ffn.A.fc2.weight.grad.abs().max() > 0 for layer in layers)
    assert deepen(shallow.state_dict(), shallow.config.encoder).keys() == shallow.state_dict().keys()
    for layers in (3, 8):
        with pytest.raises(ValueError, match=f"{layers} layers out of 4"):
            deepen(shallow.state_dict(), replace(encoder, layers=layers))


def test_frames_of_clips_are_learned_from_as_scenes_are(tmp_path):
    cache = open_cache(tmp_path / "frames", 40, 3, 128, workers=1, moving=True, stretched=True)
    for row, seed in enumerate(range(40, 43)):
        drawn = render(make_clip(seed).frame(seed), (128, 128))
        assert np.array_equal(cache.image(row), drawn.image)
        assert np.array_equal(cache.part_maps[row], drawn.part_map)
        assert cache.expressions[row]
    with_scenes = open_cache(tmp_path / "scenes", 40, 3, 128, workers=1, stretched=True)
    assert not np.array_equal(with_scenes.image(0), cache.image(0))


def test_words_and_prompts_are_taken_over_by_another_family_and_all_of_it_by_the_same(trained):
    source = load_checkpoint(trained / "checkpoint").model.state_dict()
    of_prompts = ("visual_model.prompt_encoder.", "visual_model.mask_decoder.")
    for recipe in (small(), small("evf-sam-tiny"), small("evf-effi-sam-tiny")):
        model, fresh = new_model(recipe.model, 1), new_model(recipe.model, 1).state_dict()
        continue_from(model, load_checkpoint(trained / "checkpoint").model)
        for name, tensor in model.state_dict().items():
            if name.startswith(of_prompts) and recipe.name == "evf-sam-tiny":
                theirs = name.replace("visual_model.", "visual_model.sam_")
                theirs = theirs.replace(".mlp.lin1.", ".mlp.layers.0.").replace(".mlp.lin2.", ".mlp.layers.1.")
                assert torch.equal(tensor, source[theirs]), name
            elif name.startswith("visual_model.") and recipe.name != "evf-sam2-tiny":
                assert torch.equal(tensor, fresh[name]), name
            else:
                assert torch.equal(tensor, source[name]), name


def test_modules_of_another_size_are_left_as_they_are_but_words_have_to_fit(trained):
    source = load_checkpoint(trained / "checkpoint").model
    recipe = small("evf-sam-tiny")
    wide = replace(recipe.model, segmenter=replace(recipe.model.segmenter, decoder_feed_forward=96))
    model, fresh = new_model(wide, 1), new_model(wide, 1).state_dict()
    continue_from(model, source)
    for name, tensor in model.state_dict().items():
        if name.startswith("visual_model.mask_decoder."):
            assert torch.equal(tensor, fresh[name]), name
    other = replace(recipe.model, encoder=replace(recipe.model.encoder, feed_forward=96))
    with pytest.raises(RuntimeError, match="size mismatch"):
        continue_from(new_model(other, 1), source)


def test_a_picture_whose_things_are_all_tiny_is_asked_for_its_largest_part(cache):
    part_map = np.full((1, 128, 128), 3, np.uint8)
    part_map[0, 0, 0] = 5
    tiny = replace(cache, part_maps=part_map, things=[[(5,)]])
    targets = sample_targets(tiny, np.array([0]), 2, generator(0, "segmenter", 0), 32)
    assert targets.coverage.shape == (2, 32, 32) and targets.coverage.mean() > 0.99
    assert not targets.is_part.any()


def test_an_untrained_memory_starts_as_if_it_were_not_there_and_looks_where_it_is():
    model = new_model(small().model, 0)
    segmenter, memory = model.visual_model, Sam2Memory(model.visual_model)
    picture = render(make_scene(3), (128, 128)).image
    pixels = prepare(picture, model.config.pixels).segmenter_pixels
    initialise_memory(segmenter, pixels)
    with torch.no_grad():
        frame, bank = memory.encode_frame(pixels), memory.new_bank()
        wanted = memory.without_memory(frame)
        sparse, dense = segmenter.embed_prompts(boxes=torch.tensor([[20.0, 20, 60, 60]]))
        masks = segmenter.decode(wanted, sparse, dense, multimask=False)
        memory.remember(bank, frame, 0, masks, prompted=True)
        bent = memory.with_memory(frame, bank, 1).image_embeddings
        error = (bent - wanted.image_embeddings).square().mean() / wanted.image_embeddings.var()
        assert error < 0.2

        attention = segmenter.memory_attention.layers[0].cross_attn_image
        side = model.config.segmenter.image_size // 16
        seen = {}

        def look(module, args, kwargs):
            seen["q"], seen["k"] = kwargs["q"], kwargs["k"]

        attention.register_forward_pre_hook(look, with_kwargs=True)
        memory.with_memory(frame, bank, 1)
        q, k = (attention._separate_heads(p(seen[n]), 1) for p, n in ((attention.q_proj, "q"), (attention.k_proj, "k")))
        q, k = apply_rotary_enc(q, k[:, :, : side * side], attention.freqs_cis[: side * side])
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)[0, 0]
    cells = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), -1).view(-1, 2)
    near = (cells[:, None] - cells[None]).abs().amax(-1) <= 2
    assert (weights * near).sum(-1).mean() > 0.6


def test_the_same_seed_gives_the_same_batch_and_another_step_another(cache):
    def batch(step):
        return sample_phrases(cache, STAGE, generator(0, "joint", step), 32, 6)

    again, other = batch(5), batch(6)
    assert batch(5).phrases == again.phrases and torch.equal(batch(5).coverage, again.coverage)
    assert other.phrases != again.phrases


@pytest.mark.usefixtures("one_thread")
def test_a_run_cut_off_and_resumed_ends_where_an_unbroken_one_does(tmp_path, cache, monkeypatch):
    recipe = small()
    monkeypatch.setattr("evfsam.training.loop.SAVE_EVERY", 2)

    def weights(folder, stop_at=None):
        model = new_model(recipe.model, recipe.seed)
        stage = SegmenterStage(model, recipe, cache)
        batch = stage.batch
        if stop_at is not None:

            def stopping(step):
                if step == stop_at:
                    raise KeyboardInterrupt
                return batch(step)

            stage.batch = stopping
        train(stage, STAGE, folder, Accelerator(cpu=True))
        return {name: value.clone() for name, value in model.visual_model.state_dict().items()}

    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = weights(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        weights(tmp_path / "cut", stop_at=2)
    resumed = weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("first, count", [(VALIDATION.start - 1, 2), (VALIDATION.start, 1), (TEST.start, 500)])
def test_no_training_touches_the_seeds_kept_for_tests(tmp_path, first, count):
    with pytest.raises(InputError):
        open_cache(tmp_path, first, count, 64, workers=1, stretched=True)
    assert not list(tmp_path.iterdir())


def test_clicks_and_boxes_fit_the_target():
    rng = np.random.default_rng(0)
    coverage = torch.zeros(2, 32, 32)
    coverage[0, 4:12, 20:30] = 1
    coverage[1, 20:22, 3:5] = 1
    points, labels = sample_clicks(coverage, 4, rng, image_size=128)
    cells = (points / 4).long()
    inside = coverage[torch.arange(2)[:, None], cells[..., 1], cells[..., 0]] > 0.5
    assert torch.equal(inside, labels.bool()) and labels[:, 0].all()
    boxes = boxes_of(coverage, rng, image_size=128)
    assert torch.allclose(boxes[0], torch.tensor([80.0, 16, 120, 48]), atol=12)


def test_corrections_hit_what_is_wrong():
    clicker = Clicker(np.random.default_rng(0), image_size=128)
    coverage = torch.zeros(3, 32, 32)
    coverage[:, 4:12, 20:30] = 1
    answer = torch.full((3, 32, 32), -1.0)
    answer[0, 4:12, 20:26] = 1  # a piece is missing
    answer[1, 4:12, 15:30] = 1  # a piece too much
    answer[2, 4:12, 20:30] = 1  # all right
    for _ in range(20):
        points, labels = clicker.corrections(coverage, answer)
        x, y = (points[:, 0] / 4).long().T
        assert labels.flatten().tolist() == [1, 0, 1] and ((y >= 4) & (y < 12)).all()
        assert 26 <= x[0] < 30 and 15 <= x[1] < 20 and 20 <= x[2] < 30


def test_about_a_third_is_corrected_by_one_click_or_more():
    rng = np.random.default_rng(0)
    counts = [sample_corrections(3, rng) for _ in range(600)]
    assert set(counts) == {0, 1, 2, 3} and 150 < sum(count > 0 for count in counts) < 250


def test_each_correction_goes_into_the_answer_before_it_and_the_last_one_is_learned_from():
    coverage = torch.zeros(2, 32, 32)
    coverage[:, 4:12, 4:28] = 1
    seen, answers = [], []
    weight = torch.ones((), requires_grad=True)

    def decode(points):
        """Marks what is clicked on, and a little more with every click."""
        seen.append(points)
        logits = torch.full((2, 32, 32), -1.0)
        logits[:, 4:12, 4 : 8 + 6 * points[0].shape[1]] = 1
        answers.append(MaskLogits(logits * weight, torch.ones(2)))
        return answers[-1]

    first = torch.full((2, 32, 32), -1.0)
    given = (torch.tensor([[[20.0, 20.0]]] * 2), torch.ones(2, 1, dtype=torch.int64))
    clicker = Clicker(np.random.default_rng(0), image_size=128)
    last = corrected(decode, [clicker.corrections] * 3, coverage, first, given)
    assert [points.shape[1] for points, _ in seen] == [2, 3, 4] and torch.equal(seen[-1][0][:, :1], given[0])
    assert last is answers[-1] and [a.low_res_masks.requires_grad for a in answers] == [False, False, True]
    for before, (points, labels) in zip([first, *(a.low_res_masks for a in answers)], seen, strict=False):
        x, y = (points[0, -1] / 4).long().tolist()
        assert (before[0, y, x] > 0) != (coverage[0, y, x] > 0.5) and labels[0, -1] == coverage[0, y, x]


def test_words_for_one_thing_are_also_clicked_on_where_they_were_answered_and_words_for_many_never():
    clicker = Clicker(np.random.default_rng(0), image_size=128)
    coverage = torch.zeros(2, 32, 32)
    coverage[:, 20:30, 4:12] = 1
    answer = torch.full((2, 32, 32), -1.0)
    answer[:, 4:13, 20:29] = 3  # another thing
    own = {phrase: [] for phrase in ("the red car", "[semantic] car")}
    one_thing = torch.tensor([True, False])
    for _ in range(60):
        points, labels = clicker.second_clicks(one_thing, coverage, answer)
        assert points.shape == (2, 1, 2) and labels.shape == (2, 1) and labels.dtype == torch.int64
        for phrase, (x, y), label in zip(own, (points[:, 0] / 4).long().tolist(), labels[:, 0].tolist(), strict=True):
            own[phrase].append(label == 1 and (x, y) == (24, 8))  # else "here" on the truth, or "not here"
            assert own[phrase][-1] or label == (coverage[0, y, x] > 0.5)
    assert 15 < sum(own["the red car"]) < 45 and not any(own["[semantic] car"])


def words_share(model) -> float:
    """The words' share of the variance of the mask logits over eight phrases on one picture."""
    ids = torch.tensor([[0, 5 + i, 40 + 3 * i, 90 + i, 2] for i in range(8)])
    with torch.no_grad():
        side, size = model.config.segmenter.image_size, model.config.encoder.image_size
        features = model.encode_image(torch.randn(1, 3, side, side))
        prompts = model.encode_prompt(torch.randn(1, 3, size, size), ids)
        logits = model.decode(features, prompts).low_res_masks.flatten(1)
    return float(logits.var(0).mean() / logits.var())


@pytest.mark.parametrize("name", ["evf-sam2-tiny", "evf-sam-tiny"])
def test_words_matter_more_at_the_start_than_with_the_common_initialisation(name):
    recipe = RECIPES[name]
    ours = words_share(new_model(recipe.model, recipe.seed))
    common = words_share(build_model(recipe.model))
    print(f"words' share of the variance: {ours:.5f}, common initialisation {common:.5f}")
    assert ours > 20 * common


def test_metrics_are_lines_of_json(trained, tmp_path, cache, monkeypatch):
    def rows(every: int) -> list[dict]:
        monkeypatch.setattr("evfsam.training.loop.LOG_EVERY", every)
        folder = tmp_path / str(every)
        folder.mkdir()
        train(SegmenterStage(new_model(small().model, 0), small(), cache), STAGE, folder, Accelerator(cpu=True))
        return [json.loads(line) for line in (folder / "metrics.jsonl").open()]

    singly, by_twos = rows(1), rows(2)
    assert [row["step"] for row in singly] == [1, 2, 3]
    assert all(np.isfinite(row["loss"]) and row["stage"] == "segmenter" for row in singly)
    # The last line tells of the steps since the one before it, however few.
    assert [row["step"] for row in by_twos] == [2, 3]
    assert [row["prompts"] for row in by_twos] == [2 * 6, 6]
    assert by_twos[0]["loss"] == pytest.approx((singly[0]["loss"] + singly[1]["loss"]) / 2, abs=2e-4)
    assert by_twos[1]["loss"] == pytest.approx(singly[2]["loss"], abs=2e-4)
