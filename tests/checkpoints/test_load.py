"""Every form of the published layout loads to the same weights; anything else is refused, by name."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from evfsam.checkpoints.keymap import from_published, segmenter_kind
from evfsam.checkpoints.load import build_and_fill, load_checkpoint
from evfsam.checkpoints.registry import video_warning
from evfsam.errors import CheckpointError
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig
from tests.checkpoints.small import write_checkpoint
from tests.parity.recipe import manifest

GAMMA = "visual_model.memory_encoder.fuser.layers.0.gamma"
WEIGHT = "visual_model.memory_encoder.fuser.layers.0.weight"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "small"
    write_checkpoint(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy to be spoiled."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def take_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a folder, removed from it."""
    path = folder / "model.safetensors"
    state = load_file(path)
    path.unlink()
    return state


def whole_safetensors(folder: Path, state: dict) -> None:
    save_file(state, folder / "model.safetensors")


def whole_pickle(folder: Path, state: dict) -> None:
    torch.save(state, folder / "pytorch_model.bin")


def old_pickle(folder: Path, state: dict) -> None:
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def _shards(folder: Path, state: dict, stem: str, suffix: str, save) -> None:
    names = sorted(state)
    parts = {f"{stem}-{i + 1:05d}-of-00003.{suffix}": names[i::3] for i in range(3)}
    for file, keys in parts.items():
        save({key: state[key] for key in keys}, folder / file)
    weight_map = {key: file for file, keys in parts.items() for key in keys}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))


def sharded_safetensors(folder: Path, state: dict) -> None:
    _shards(folder, state, "model", "safetensors", save_file)


def sharded_pickle(folder: Path, state: dict) -> None:
    _shards(folder, state, "pytorch_model", "bin", torch.save)


def name_of_the_sam2_package(folder: Path, state: dict) -> None:
    whole_safetensors(folder, {key.replace(WEIGHT, GAMMA): value for key, value in state.items()})


def both_forms(folder: Path, state: dict) -> None:
    """As some repositories on the Hub: safetensors are preferred, the pickle is not even opened."""
    whole_safetensors(folder, state)
    (folder / "pytorch_model.bin").write_bytes(b"never read")


LAYOUTS = [
    whole_safetensors,
    sharded_safetensors,
    whole_pickle,
    sharded_pickle,
    old_pickle,
    name_of_the_sam2_package,
    both_forms,
]


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_every_layout_loads_to_the_same_bits(saved, folder, write):
    expected = build_and_fill(saved).state_dict()
    write(folder, take_weights(folder))
    found = build_and_fill(folder).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_nothing_is_initialised_and_nothing_stays_without_values(saved):
    before = torch.get_rng_state()
    model = build_and_fill(saved)
    assert torch.equal(torch.get_rng_state(), before), "random weights were made only to be replaced"
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert not model.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_of_matrix_products_go_to_the_dtype_and_all_else_stays_exact(saved, dtype):
    expected = {from_published(name): tensor for name, tensor in load_file(saved / "model.safetensors").items()}
    model = build_and_fill(saved, dtype=dtype)
    halves = model.half_parameters()
    for name, tensor in model.state_dict().items():
        wanted = dtype if name in halves else torch.float32
        assert tensor.dtype == wanted and torch.equal(tensor, expected[name].to(wanted)), name
    assert {"text_hidden_fcs.0.0.weight", "visual_model.image_encoder.trunk.blocks.0.attn.qkv.weight"} <= halves
    exact = ("norm", "pos_embed", "embed_positions", "mask_decoder", "prompt_encoder", "cls_token", "gamma")
    assert not any(part in name for name in halves for part in exact)


@pytest.mark.parametrize("name", ["evf-sam", "evf-sam2", "evf-effi-sam-small", "evf-effi-sam-tiny"])
def test_half_precision_halves_the_published_sizes(name):
    described = manifest(name)
    config = EvfConfig.from_dict(described["config"], kind=segmenter_kind(described["tensors"]))
    model = build_model(config, weights=False)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    half = sum(sizes[name] for name in model.half_parameters())
    assert half > 0.97 * sum(sizes.values())


def test_changing_a_loaded_weight_leaves_the_file_as_it_is(saved):
    before = (saved / "model.safetensors").read_bytes()
    model = build_and_fill(saved)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert (saved / "model.safetensors").read_bytes() == before


def lose(state: dict) -> str:
    del state["text_hidden_fcs.0.2.bias"]
    return "1 missing (text_hidden_fcs.0.2.bias)"


def lose_the_layer_scale(state: dict) -> str:
    """Whoever skips this one gets a tracker that forgets."""
    del state[WEIGHT]
    return f"1 missing ({GAMMA})"


def lose_some_of_the_memory(state: dict) -> str:
    del state["visual_model.memory_encoder.out_proj.bias"]
    return "1 missing (visual_model.memory_encoder.out_proj.bias)"


def add(state: dict) -> str:
    state["lm_head.weight"] = torch.zeros(2)
    return "1 unexpected (lm_head.weight)"


def reshape(state: dict) -> str:
    state["text_hidden_fcs.0.2.bias"] = torch.zeros(7)
    return "text_hidden_fcs.0.2.bias (7,) instead of (32,)"


def rename_many(state: dict) -> str:
    for name in [name for name in state if name.startswith("mm_extractor.")]:
        state[name.replace("mm_extractor.", "encoder.")] = state.pop(name)
    return "..."


@pytest.mark.parametrize(
    "spoil", [lose, lose_the_layer_scale, lose_some_of_the_memory, add, reshape, rename_many], ids=lambda f: f.__name__
)
def test_loading_is_strict_and_names_what_does_not_fit(folder, spoil):
    state = take_weights(folder)
    named = spoil(state)
    whole_safetensors(folder, state)
    with pytest.raises(CheckpointError) as error:
        build_and_fill(folder)
    assert named in str(error.value)


@pytest.mark.parametrize("extras", [True, False], ids=["with its extras", "all of it"])
def test_a_checkpoint_without_memory_serves_pictures_and_refuses_video(saved, folder, extras):
    state = take_weights(folder)
    modules = ("visual_model.memory_encoder.", "visual_model.memory_attention.")
    memory_only = ("maskmem", "no_obj_ptr", "no_mem_pos", "obj_ptr_proj", "visual_model.mask_downsample")
    kept = {
        name: value
        for name, value in state.items()
        if not name.startswith(modules) and (extras or not any(part in name for part in memory_only))
    }
    assert len(kept) < len(state)
    whole_safetensors(folder, kept)
    loaded, full = load_checkpoint(folder), load_checkpoint(saved)
    assert loaded.info.capabilities == ("referring",) and "video" in full.info.capabilities
    assert video_warning(full.info) is None
    assert "use evf-sam2" in video_warning(loaded.info)
    pictures = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 32, 32), torch.tensor([[0, 5, 6, 2]])
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(*pictures).low_res_masks, full.model(*pictures).low_res_masks)


class RunsCode:
    """What a hostile pickle does: it calls a function while it is read."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def pickle_alone(folder: Path, state: dict, payload) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(payload))


def pickle_among_tensors(folder: Path, state: dict, payload) -> None:
    whole_pickle(folder, {**state, "extra": payload})


def pickle_in_the_old_format(folder: Path, state: dict, payload) -> None:
    old_pickle(folder, {**state, "extra": payload})


def pickle_in_a_shard(folder: Path, state: dict, payload) -> None:
    sharded_pickle(folder, {**state, "zzz": payload})


@pytest.mark.parametrize(
    "write",
    [pickle_alone, pickle_among_tensors, pickle_in_the_old_format, pickle_in_a_shard],
    ids=lambda write: write.__name__,
)
def test_a_pickle_that_wants_to_run_code_is_refused_and_nothing_runs(folder, tmp_path, write):
    proof = tmp_path / "it ran"
    write(folder, take_weights(folder), RunsCode(proof))
    with pytest.raises(CheckpointError, match="run code"):
        load_checkpoint(folder)
    assert not proof.exists()
    # The trap is a real one: a reader that trusts the files springs it.
    for path in folder.glob("*.bin"):
        trusting = pickle.loads if write is pickle_alone else None
        trusting(path.read_bytes()) if trusting else torch.load(path, weights_only=False)
    assert proof.exists()


def cut(name: str, keep: float = 0.5):
    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return spoil


def cut_pickle(folder: Path) -> None:
    whole_pickle(folder, take_weights(folder))
    cut("pytorch_model.bin")(folder)


def replace_file(name: str, content: str):
    return lambda folder: (folder / name).write_text(content)


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def lose_a_shard(folder: Path) -> None:
    sharded_safetensors(folder, take_weights(folder))
    (folder / "model-00002-of-00003.safetensors").unlink()


def spoil_the_index(folder: Path) -> None:
    sharded_safetensors(folder, take_weights(folder))
    (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}')


def lead_out_of_the_folder(folder: Path) -> None:
    """An index may name files of its own folder only."""
    (folder / "model.safetensors").rename(folder.parent / "secret.safetensors")
    index = {"weight_map": {"a": "../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def one_tensor_twice(folder: Path) -> None:
    sharded_safetensors(folder, take_weights(folder))
    shutil.copyfile(folder / "model-00001-of-00003.safetensors", folder / "model-00002-of-00003.safetensors")


def hold_a_list(folder: Path) -> None:
    torch.save(list(take_weights(folder).values()), folder / "pytorch_model.bin")


def claim_another_model(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))


def shrink_the_vocabulary(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["mm_extractor"]["vocabulary"] -= 1
    (folder / "config.json").write_text(json.dumps(config))
    state = take_weights(folder)
    name = "mm_extractor.beit3.text_embed.weight"
    whole_safetensors(folder, {**state, name: state[name][:-1].clone()})


DAMAGED = {
    "half a safetensors file": (cut("model.safetensors"), "damaged"),
    "a few bytes of a safetensors file": (cut("model.safetensors", 0.00001), "damaged"),
    "an empty safetensors file": (cut("model.safetensors", 0), "damaged"),
    "half a pickle": (cut_pickle, "damaged"),
    "a web page instead of weights": (replace_file("model.safetensors", "<html>login</html>"), "damaged"),
    "no weights": (remove("model.safetensors"), "holds no weights"),
    "no config": (remove("config.json"), "no config.json"),
    "half a config": (cut("config.json"), "damaged"),
    "a list as config": (replace_file("config.json", "[1]"), "damaged"),
    "another model's config": (claim_another_model, "llama"),
    "a missing shard": (lose_a_shard, "model-00002-of-00003.safetensors"),
    "a damaged index": (spoil_the_index, "index.json is damaged"),
    "an index that leads elsewhere": (lead_out_of_the_folder, "lacks secret.safetensors"),
    "one tensor twice": (one_tensor_twice, "twice"),
    "a list of tensors": (hold_a_list, "by name"),
    "no tokenizer": (remove("sentencepiece.bpe.model"), "no sentencepiece.bpe.model"),
    "half a tokenizer": (cut("sentencepiece.bpe.model"), "damaged"),
    "another checkpoint's tokenizer": (shrink_the_vocabulary, "use files from one checkpoint"),
}


@pytest.mark.parametrize(("spoil", "told"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_and_foreign_folders_are_refused_in_one_sentence(folder, spoil, told):
    spoil(folder)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(folder)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
