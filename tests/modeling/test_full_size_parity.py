"""The published sizes, end to end: from files of the published layout, an image and token ids to mask logits.

Run them by hand (each needs up to 12 GB of memory, 6 GB of disk and some minutes):

    pytest -m slow -s tests/modeling/test_full_size_parity.py

With ``-s`` they print the differences that docs/fidelity.md tells.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from evfsam.checkpoints.load import build_and_fill
from evfsam.processing.inputs import prepare
from evfsam.processing.masks import restore
from tests.parity.recipe import case, manifest, smooth_image, tensor

pytestmark = pytest.mark.slow
TOLERANCE = 1e-3  # of logits up to 20; sums over thousands of terms in another order
SHARD_BYTES = 2_000_000_000


def write_published(folder: Path, name: str, suffix: str) -> Path:
    """Write a repository of the published layout: config.json, shards and their index, by the recipe."""
    described = manifest(name)
    (folder / "config.json").write_text(json.dumps(described["config"]))
    stem = {"safetensors": "model", "bin": "pytorch_model"}[suffix]
    shards: list[dict[str, torch.Tensor]] = [{}]
    weight_map, size = {}, 0

    def write_shard() -> None:
        path = folder / f"{stem}-{len(shards):05d}.{suffix}"
        (save_file if suffix == "safetensors" else torch.save)(shards[-1], path)
        weight_map.update(dict.fromkeys(shards[-1], path.name))
        shards[-1] = {}

    for key, shape in described["tensors"].items():
        values = torch.from_numpy(tensor(key, shape))
        if size + values.nbytes > SHARD_BYTES:
            write_shard()
            shards.append({})
            size = 0
        shards[-1][key] = values
        size += values.nbytes
    write_shard()
    assert len(shards) > 1
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return folder


@torch.inference_mode()
@pytest.mark.parametrize(
    ("manifest_name", "case_name", "suffix"),
    [("evf-sam2", "full_evf_sam2", "safetensors"), ("evf-sam", "full_evf_sam", "bin")],
)
def test_full_size(tmp_path, manifest_name, case_name, suffix):
    expected = case(case_name)
    model = build_and_fill(write_published(tmp_path, manifest_name, suffix))
    inputs = prepare(smooth_image(int(expected["seed"]), *expected["size"]), model.config.pixels)
    features = model.encode_image(inputs.segmenter_pixels)
    for row, wanted, positive in zip(expected["ids"], expected["mask_logits"], expected["mask_positive"], strict=True):
        ids = torch.from_numpy(row[row >= 0]).long()[None]
        masks = model.decode(features, model.encode_prompt(inputs.encoder_pixels, ids))
        logits = restore(masks.low_res_masks, inputs.geometry)[0].numpy()
        difference = np.abs(logits[::8, ::8] - wanted)
        share = float((logits > 0).mean())
        print(
            f"\n| {manifest_name} | {len(ids[0])} tokens | {np.abs(wanted).max():.2f} | {difference.max():.1e} "
            f"| {difference.mean():.1e} | {abs(share - positive):.1e} |"
        )
        assert difference.max() < TOLERANCE
        assert share == pytest.approx(float(positive), abs=1e-4)
