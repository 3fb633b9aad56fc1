"""Downloading from a Hub on loopback, in a process of its own with the variables a user would set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints.fake_hub import COMMIT, FakeHub, fake_hub

REPOSITORY = Path(__file__).parents[2]
NAME = "YxZhang/evf-sam2"
# What fetch() answers, as JSON: the folder, or the sentence of the error.
ASK = """
import json, sys
from evfsam.checkpoints.fetch import fetch, local_folder
from evfsam.checkpoints.registry import find
from evfsam.errors import CheckpointError

try:
    folder = fetch(find(sys.argv[1]))
    print(json.dumps({"folder": str(folder), "files": sorted(p.name for p in folder.iterdir())}))
except CheckpointError as error:
    print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def hub(tmp_path):
    with fake_hub() as hub:
        hub.folders[NAME] = published(tmp_path / "published")
        yield hub


def published(folder: Path) -> Path:
    """A repository of the evf layout; nobody here reads what is in its files."""
    folder.mkdir()
    for name in ("config.json", "special_tokens_map.json", "tokenizer_config.json", "README.md"):
        (folder / name).write_text("{}")
    (folder / "sentencepiece.bpe.model").write_bytes(b"pieces")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 4000)
    (folder / "pytorch_model.bin").write_bytes(b"the same weights once more")
    return folder


def variables_of(hub: FakeHub | None, home: Path, **variables: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": hub.url if hub else "http://127.0.0.1:9",  # nobody listens at the discard port
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "*",
        **variables,
    }


def run(script: str, *arguments: str, hub: FakeHub | None, home: Path, timeout: float = 120, **variables: str) -> dict:
    """What a script prints last, as JSON."""
    command = [sys.executable, "-c", script, *arguments]
    variables = variables_of(hub, home, **variables)
    done = subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def ask(hub: FakeHub | None, home: Path, name: str = "evf-sam2", **variables: str) -> dict:
    return run(ASK, name, hub=hub, home=home, **variables)


def test_a_checkpoint_is_downloaded_once_and_then_used_offline(hub, tmp_path):
    first = ask(hub, tmp_path)
    folder = Path(first["folder"])
    assert (folder / "model.safetensors").read_bytes() == (hub.folders[NAME] / "model.safetensors").read_bytes()
    assert "pytorch_model.bin" not in first["files"], "the weights were downloaded twice"
    asked = len(hub.asked)
    for variables in ({}, {"HF_HUB_OFFLINE": "1"}):
        assert ask(hub, tmp_path, **variables)["folder"] == str(folder)
    assert len(hub.asked) == asked
    assert ask(None, tmp_path)["folder"] == str(folder)


def test_the_cache_folder_can_be_elsewhere(hub, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    answer = ask(hub, tmp_path, HF_HUB_CACHE=str(elsewhere))
    assert Path(answer["folder"]).is_relative_to(elsewhere)


def test_a_commit_may_be_asked_for(hub, tmp_path):
    assert Path(ask(hub, tmp_path, name=f"evf-sam2@{COMMIT}")["folder"]).name == COMMIT


def test_shards_are_all_downloaded(hub, tmp_path):
    folder = hub.folders[NAME]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (folder / "model.safetensors").rename(folder / shards[0])
    (folder / shards[1]).write_bytes(b"rest")
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert {*shards, "model.safetensors.index.json"} <= set(ask(hub, tmp_path)["files"])


def test_a_dropped_connection_is_tried_again(hub, tmp_path):
    hub.break_off["model.safetensors"] = 300_000
    folder = Path(ask(hub, tmp_path)["folder"])
    assert (folder / "model.safetensors").read_bytes() == (hub.folders[NAME] / "model.safetensors").read_bytes()


def test_half_a_download_is_told_never_taken_for_a_checkpoint_and_resumed(hub, tmp_path):
    hub.break_off["model.safetensors"] = 300_000
    hub.stays_down = True
    error = ask(hub, tmp_path)["error"]
    assert "try again" in error and "\n" not in error
    assert "HF_HUB_OFFLINE" in ask(hub, tmp_path, HF_HUB_OFFLINE="1")["error"]
    hub.break_off.clear()
    hub.ranges.clear()
    folder = Path(ask(hub, tmp_path)["folder"])
    assert (folder / "model.safetensors").read_bytes() == (hub.folders[NAME] / "model.safetensors").read_bytes()
    assert hub.ranges == [300_000], "what had arrived was downloaded again"


def no_change(hub: FakeHub) -> None:
    pass


def gate(hub: FakeHub) -> None:
    hub.gated.add(NAME)


def no_weights(hub: FakeHub) -> None:
    (hub.folders[NAME] / "model.safetensors").unlink()
    (hub.folders[NAME] / "pytorch_model.bin").unlink()


def too_big(hub: FakeHub) -> None:
    hub.sizes["model.safetensors"] = 10**18


REFUSED = {
    "no network": (None, {}, "check the network"),
    "offline": (no_change, {"HF_HUB_OFFLINE": "1"}, "unset it"),
    "missing repository": (no_change, {"name": "nobody/nothing"}, "check the name"),
    "missing revision": (no_change, {"name": "evf-sam2@v9"}, "check the branch"),
    "gated": (gate, {}, "accept its terms"),
    "another layout": (no_weights, {}, "choose another"),
    "asked too often": (lambda hub: hub.status.update(model=429), {}, "again in some minutes"),
    "no permission": (lambda hub: hub.status.update({"model.safetensors": 403}), {}, "hf auth login"),
    "no account": (lambda hub: hub.status.update({"model.safetensors": 401}), {}, "log in"),
    "a file that went away": (lambda hub: hub.status.update({"model.safetensors": 404}), {}, "try again later"),
    "a Hub out of order": (lambda hub: hub.status.update(model=500), {}, "try again later"),
    "a file that is too short": (lambda hub: hub.short.update({"model.safetensors": 999}), {}, "arrived damaged"),
    "other contents": (lambda hub: hub.damaged.add("model.safetensors"), {}, "arrived damaged"),
    "full disk, seen before": (too_big, {}, "make room"),
}


@pytest.mark.parametrize(("prepare", "arguments", "advice"), REFUSED.values(), ids=REFUSED)
def test_each_failure_is_one_sentence_that_says_what_to_do(hub, tmp_path, prepare, arguments, advice):
    if prepare is not None:
        prepare(hub)
    error = ask(None if prepare is None else hub, tmp_path, **arguments)["error"]
    assert advice in error
    assert "\n" not in error and error.endswith(".")


def test_a_disk_that_fills_up_while_writing_is_told_and_freed(hub, tmp_path):
    """The process may write no file beyond 100 kB, which the system reports as it reports a full disk."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + ASK
    error = run(limited, "evf-sam2", hub=hub, home=tmp_path)["error"]
    assert "disk is full" in error and "make room" in error
    assert not list(tmp_path.rglob("*.incomplete"))
