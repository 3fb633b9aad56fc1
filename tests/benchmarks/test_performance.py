"""The scripts behind docs/performance.md run, on small models and small inputs."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from benchmarks import against_reference, gpu, growth
from evfsam.processing.masks import restore
from evfsam.types import Geometry


@pytest.mark.slow
def test_the_gpu_script_runs_on_a_cpu(tmp_path):
    """With every column that needs no GPU, eager and through torch.compile's tracing."""
    words = ["--size", "tiny", "--device", "cpu", "--precisions", "bf16", "--backend", "eager"]
    words += ["--repeats", "1", "--frames", "2", "--objects", "2", "--json", str(tmp_path / "rows.json")]
    assert gpu.main(words) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 2 * 2
    for row in rows:
        assert row["further_s"] > 0 and row["image_s"] > 0 and row["first_s"] > 0
        assert ("frames_per_s_2" in row) == (row["model"] == "evf-sam2" and row["mode"] == "eager")


@pytest.mark.parametrize("name", ["evf-sam", "evf-sam2"])
def test_both_compiled_encoders_give_the_same(name):
    runtime = gpu.choose_runtime("cpu", "fp32")
    model = gpu.build(gpu.TINY[name], runtime)
    pixels, copy, ids = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 32, 32), torch.tensor([[0, 5, 2]])
    with torch.inference_mode():
        before = model.encode_image(pixels).image_embeddings, model.encode_prompt(copy, ids)
        gpu.compile_encoders(model, "eager")
        after = model.encode_image(pixels).image_embeddings, model.encode_prompt(copy, ids)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["evf-sam", "evf-sam2"])
def test_operations_are_counted(name):
    counts = [against_reference.counted_flops(gpu.TINY[name], prompts) for prompts in (0, 1, 2)]
    assert 0 < counts[0] < counts[1] < counts[2]


class Reference(torch.nn.Module):
    """Stands for the reference, which is not installed here: this project's model in float32, called as that one is."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, model):
        super().__init__()
        self.model = model

    def inference(self, pixels, copy, ids, resized, original):
        tokens = self.model.encode_prompt(copy, ids)
        low_res = self.model.decode(self.model.encode_image(pixels), tokens).low_res_masks
        return restore(low_res, Geometry(original[0], resized[0], tuple(pixels.shape[-2:])))


@pytest.mark.parametrize("name", ["evf-sam", "evf-sam2"])
def test_64_prompts_in_both_precisions_of_a_cpu(name):
    ours = {each: gpu.build(gpu.TINY[name], gpu.choose_runtime("cpu", each)) for each in ("fp32", "bf16")}
    args = argparse.Namespace(rounds=1, calls=2, device="cpu")
    full, half = against_reference.compare(ours, Reference(ours["fp32"]), name, 64, args)
    assert (full.precision, half.precision, full.prompts, half.prompts) == ("fp32", "bf16", 64, 64)
    assert full.largest_difference < 1e-3 and full.mask_iou > 0.999
    assert full.largest_difference < half.largest_difference < 1 and half.ratio > 0


@pytest.mark.parametrize(
    ("ys", "words"),
    [
        ([2, 2.1, 2], "flat"),
        ([1, 4, 16], "linear"),
        ([1, 2, 4], "less than linear"),
        ([1, 16, 256], "more than linear"),
    ],
)
def test_growth_in_words(ys, words):
    assert growth.in_words(growth.exponent([1, 4, 16], ys)) == words


def test_growth_is_drawn():
    drawn = growth.plot({"users": [{"users": n, "cpu_s": n / 8, "gb": 0.0} for n in (1, 4, 200)]})
    assert ElementTree.fromstring(drawn).tag.endswith("svg") and drawn.count("<polyline") == 2


@pytest.mark.slow
def test_growth_is_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    table = tmp_path / "growth.json"
    assert growth.main(["--axes", "objects", "--objects", "2", "--json", str(table)]) == 0
    (row,) = json.loads(table.read_text())["objects"]
    assert row["objects"] == 2 and row["cpu_s"] > 0


def test_growth_ends_in_time(capsys):
    assert growth.main(["--axes", "objects", "--limit", "0.1"]) == 0
    assert capsys.readouterr().out.count("left out") == 3


@pytest.mark.slow
def test_replicas_come_and_go(random_checkpoint, tmp_path):
    """Starts a cluster; a minute or two."""
    pytest.importorskip("ray")
    from benchmarks import autoscaling

    table = tmp_path / "rows.json"
    assert autoscaling.main(["--model", str(random_checkpoint), "--seconds", "1", "--json", str(table)]) == 0
    assert [row["replicas"] for row in json.loads(table.read_text())["rows"]] == [1, 2, 2, 1]


@pytest.mark.slow
@pytest.mark.skipif("EVF_SAM_REFERENCE" not in os.environ, reason="set it to a checkout of hustvl/EVF-SAM")
def test_against_the_reference():
    """12 GB of memory and some minutes."""
    words = ["--reference", os.environ["EVF_SAM_REFERENCE"], "--prompts", "1", "--rounds", "1", "--calls", "1"]
    assert against_reference.main(words) == 0


def test_the_server_benchmark_tells_waits_and_fairness():
    from benchmarks.server import MIXTURE, Answered, figures, order

    found = [Answered(0, "one", 0.0, 1.0), Answered(0, "one", 1.0, 2.0), Answered(1, "one", 0.0, 4.0)]
    told = figures(found)
    assert told["requests"] == 3 and told["per_second"] == pytest.approx(3 / 4) and told["p50_s"] == 1.0
    assert told["fairness"] == pytest.approx(4 / 2.5)
    assert sorted(order(3, 4)) == sorted(MIXTURE[:4]) and order(3, 8) != order(4, 8)
