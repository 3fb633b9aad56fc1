"""``python -m evfsam models`` lists the checkpoints and says which are on this disk."""

from __future__ import annotations

import json

import pytest

from evfsam.__main__ import main
from evfsam.checkpoints.registry import list_models
from evfsam.systems.registry import list_systems


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def test_every_named_checkpoint_has_a_line(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [info.name for info in (*list_models(), *list_systems())]
    published = next(line for line in lines if line.startswith("evf-sam2-multitask "))
    assert "898 M" in published and " no " in published and "semantic, parts, video" in published


def test_json_tells_where_a_checkpoint_lies(capsys, tmp_path):
    snapshot = tmp_path / "models--YxZhang--evf-sam" / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    for name in ("model.safetensors", "sentencepiece.bpe.model"):
        (snapshot / name).write_bytes(b"12345")
    config = {"model_type": "evf", "sam_scale": "huge", "mm_extractor_scale": "large"}
    (snapshot / "config.json").write_text(json.dumps(config))
    refs = tmp_path / "models--YxZhang--evf-sam" / "refs"
    refs.mkdir()
    (refs / "main").write_text("c" * 40)
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["evf-sam"]["folder"] == str(snapshot)
    assert rows["evf-sam"]["file_bytes"] == 5
    assert rows["evf-sam2"]["folder"] is None
