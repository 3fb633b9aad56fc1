"""What a user types -> a checkpoint, or a sentence that helps."""

from __future__ import annotations

import json

import pytest

from evfsam.checkpoints import registry
from evfsam.checkpoints.keymap import from_published, has_memory, segmenter_kind, to_published
from evfsam.checkpoints.registry import (
    PUBLISHED,
    bundled_models,
    default_model,
    describe_folder,
    find,
    list_models,
    semantic_warning,
    video_warning,
)
from evfsam.errors import CheckpointError
from evfsam.refine.refinement import Refinement
from tests.parity.recipe import manifest

NAMES = [info.name for info in PUBLISHED]
PUBLISHED_CONFIG = {"model_type": "evf", "mm_extractor_scale": "large", "hidden_size": 1024, "out_dim": 256}


def write_config(folder, **config):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**PUBLISHED_CONFIG, **config}))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_published_names_and_hub_names_are_one(name):
    assert find(name) == find(f"YxZhang/{name}") == find(f"  {name} ")
    assert find(name).on_hub


@pytest.mark.parametrize(
    ("name", "manifest_name", "kind", "capabilities"),
    [
        ("evf-sam", "evf-sam", "sam", {"referring"}),
        ("evf-sam-multitask", "evf-sam", "sam", {"referring", "semantic", "parts"}),
        ("evf-sam2", "evf-sam2", "sam2", {"referring", "video"}),
        ("evf-sam2-multitask", "evf-sam2", "sam2", {"referring", "semantic", "parts", "video"}),
    ],
)
def test_published_rows_tell_the_facts(name, manifest_name, kind, capabilities):
    info = find(name)
    assert info.kind == kind and set(info.capabilities) == capabilities
    assert info.parameters == manifest(manifest_name)["parameters_total"]
    assert info.memory_bytes() == 4 * info.parameters
    assert info.pixels.image_size == 1024
    assert info.pixels.keep_aspect_ratio == (kind == "sam")


MISSPELT = {
    "evf-sam2-multitsk": "evf-sam2-multitask",
    "EVF-SAM2": "evf-sam2",
    "evf_sam": "evf-sam",
    "evfsam2": "evf-sam2",
}


@pytest.mark.parametrize(("typed", "meant"), MISSPELT.items())
def test_a_misspelling_is_offered_the_likely_name(typed, meant):
    with pytest.raises(CheckpointError, match=f"Did you mean {meant}\\?"):
        find(typed)


@pytest.mark.parametrize(
    "typed", ["gpt", "", "/no/such/folder", "a/b/c", "../x", "evf sam", "x" * 5000, "\0", "~nobody"]
)
def test_an_unknown_name_lists_the_known_ones(typed):
    with pytest.raises(CheckpointError) as error:
        find(typed)
    assert all(info.name in str(error.value) for info in list_models())
    assert "\n" not in str(error.value)


def test_any_repository_of_the_hub_may_be_named():
    info = find("somebody/their-evf")
    assert info.on_hub and info.source == "somebody/their-evf" and info.kind is None


@pytest.mark.parametrize("name", ["evf-sam2@v1", "YxZhang/evf-sam2@v1"])
def test_a_revision_follows_an_at_sign(name):
    info = find(name)
    assert info.revision == "v1" and info.name == name
    assert (info.source, info.capabilities) == ("YxZhang/evf-sam2", find("evf-sam2").capabilities)
    assert find("somebody/theirs@main").revision == "main" and find("somebody/theirs").revision is None


def test_a_folder_may_have_an_at_sign_and_has_no_revisions(tmp_path):
    folder = write_config(tmp_path / "mine@home", sam_scale="huge")
    assert find(folder).source == str(folder)
    for name in (f"{folder}@v1", "evf-sam2-tiny@v1"):
        with pytest.raises(CheckpointError, match="There is no checkpoint"):
            find(name)


def test_a_folder_may_be_named(tmp_path):
    folder = write_config(tmp_path / "mine", sam_scale="huge")
    assert find(folder).kind == find(str(folder)).kind == "sam"


def test_a_file_is_answered_with_what_to_name_instead(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="name the folder"):
        find(tmp_path / "model.safetensors")


def test_a_copy_of_a_published_checkpoint_keeps_its_abilities(tmp_path):
    copy = describe_folder(write_config(tmp_path / "evf-sam2-multitask", sam_scale="large"))
    assert copy.capabilities == find("evf-sam2-multitask").capabilities
    assert not copy.on_hub and copy.source == str(tmp_path / "evf-sam2-multitask")
    other = describe_folder(write_config(tmp_path / "renamed", sam_scale="large"))
    assert "semantic" not in other.capabilities


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({}, Refinement()),
        ({"refinement": {"reject_below": 0.5, "guided_filter": True}}, Refinement(0.5, guided_filter=True)),
        ({"presence_threshold": 0.5, "self_prompts": True}, Refinement(0.5, point_refinement=True)),
    ],
)
def test_the_refinement_comes_from_the_config(written, read, tmp_path):
    assert describe_folder(write_config(tmp_path / "mine", sam_scale="tiny", **written)).refinement == read


def test_a_wrong_refinement_is_refused_in_a_sentence(tmp_path):
    folder = write_config(tmp_path / "mine", sam_scale="tiny", refinement={"reject_below": 9})
    with pytest.raises(CheckpointError, match="reject_below: 9; write a number from 0 to 1"):
        describe_folder(folder)


def test_bundled_checkpoints_come_from_their_folders_the_default_first(tmp_path, monkeypatch):
    for name in ("evf-sam2-tiny-photo", "a-newer-one", "evf-sam2-tiny"):
        write_config(tmp_path / name, sam_scale="tiny", capabilities=["referring", "semantic"])
    (tmp_path / "no checkpoint").mkdir()
    monkeypatch.setattr(registry, "BUNDLED_FOLDER", tmp_path)
    assert [info.name for info in bundled_models()] == ["evf-sam2-tiny", "evf-sam2-tiny-photo", "a-newer-one"]
    assert default_model().name == "evf-sam2-tiny"
    assert find("a-newer-one").capabilities == ("referring", "semantic")
    assert not find("a-newer-one").on_hub


def test_without_a_bundled_checkpoint_the_others_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "BUNDLED_FOLDER", tmp_path / "nowhere")
    assert list_models() == PUBLISHED
    with pytest.raises(CheckpointError, match="evf-sam2-multitask"):
        default_model()


SEMANTIC_ADVICE = {
    "evf-sam": "use evf-sam-multitask.",
    "evf-sam2": "use evf-sam2-multitask.",
    "evf-sam-multitask": None,
    "evf-sam2-multitask": None,
}


@pytest.mark.parametrize(("name", "advice"), SEMANTIC_ADVICE.items())
def test_the_semantic_prefix_is_warned_about_where_it_was_not_trained(name, advice):
    warning = semantic_warning(find(name))
    assert warning is None if advice is None else warning.endswith(advice)


def test_a_checkpoint_of_few_words_names_a_relative(tmp_path, monkeypatch):
    for name, able in (("toy", ["referring"]), ("toy-multitask", ["referring", "semantic"])):
        write_config(tmp_path / name, sam_scale="tiny", capabilities=able, vocabulary=["red", "car"])
    monkeypatch.setattr(registry, "BUNDLED_FOLDER", tmp_path)
    assert semantic_warning(describe_folder(tmp_path / "toy")).endswith("use toy-multitask.")
    assert semantic_warning(find("evf-sam2")).endswith("use evf-sam2-multitask.")


@pytest.mark.parametrize("name", NAMES)
def test_video_is_warned_about_where_there_is_no_memory(name):
    warning = video_warning(find(name))
    assert warning is None if name.startswith("evf-sam2") else "use evf-sam2" in warning


MANIFESTS = {
    "evf-sam": "sam",
    "evf-sam2": "sam2",
    "evf-effi-sam-tiny": "efficient_sam",
    "evf-effi-sam-small": "efficient_sam",
}


@pytest.mark.parametrize(("name", "kind"), MANIFESTS.items())
def test_names_of_tensors_tell_the_segmenter_and_translate_both_ways(name, kind):
    names = list(manifest(name)["tensors"])
    assert segmenter_kind(names) == kind
    assert has_memory(names) == (kind == "sam2")
    ours = [from_published(published) for published in names]
    assert [to_published(own) for own in ours] == names
    assert [from_published(own) for own in ours] == ours, "our own names are accepted as they are"
    assert sum(own != published for own, published in zip(ours, names, strict=True)) == (2 if kind == "sam2" else 0)
