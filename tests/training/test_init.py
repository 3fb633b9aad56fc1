"""Initial weights: words matter from the start, other sizes and families take over, a memory does no harm."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sam2.modeling.position_encoding import apply_rotary_enc

from evfsam.data.scenes import make_scene, render
from evfsam.modeling.build import build_model
from evfsam.modeling.segmenters.sam2_memory import Sam2Memory
from evfsam.processing.inputs import prepare
from evfsam.training.bundled_recipes import TINY_SAM
from evfsam.training.init import continue_from, deepen, initialise_memory, resize_positions, resize_vit
from evfsam.training.recipes import RECIPES
from evfsam.training.run import new_model
from tests.training.small import small


def source_model():
    """A SAM-2 that another recipe may continue."""
    return new_model(small().model, 7)


def words_share(model) -> float:
    """The words' share of the variance of the mask logits over eight phrases on one image."""
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


def test_a_vit_for_a_finer_image_says_the_same_of_the_same_place_and_distance():
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
    shallow = replace(recipe.model.segmenter, depth=1, global_attention_blocks=(0,))
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


def test_words_and_prompts_are_taken_over_by_another_family_and_all_of_it_by_the_same():
    source = source_model().state_dict()
    of_prompts = ("visual_model.prompt_encoder.", "visual_model.mask_decoder.")
    for recipe in (small(), small("evf-sam-tiny"), small("evf-effi-sam-tiny")):
        model, fresh = new_model(recipe.model, 1), new_model(recipe.model, 1).state_dict()
        continue_from(model, source_model())
        for name, tensor in model.state_dict().items():
            if name.startswith(of_prompts) and recipe.name == "evf-sam-tiny":
                theirs = name.replace("visual_model.", "visual_model.sam_")
                theirs = theirs.replace(".mlp.lin1.", ".mlp.layers.0.").replace(".mlp.lin2.", ".mlp.layers.1.")
                assert torch.equal(tensor, source[theirs]), name
            elif name.startswith("visual_model.") and recipe.name != "evf-sam2-tiny":
                assert torch.equal(tensor, fresh[name]), name
            else:
                assert torch.equal(tensor, source[name]), name


def test_modules_of_another_size_are_left_as_they_are_but_words_have_to_fit():
    source = source_model()
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


def test_an_untrained_memory_starts_as_if_it_were_not_there_and_looks_where_it_is():
    model = new_model(small().model, 0)
    segmenter, memory = model.visual_model, Sam2Memory(model.visual_model)
    image = render(make_scene(3), (128, 128)).image
    pixels = prepare(image, model.config.pixels).segmenter_pixels
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
