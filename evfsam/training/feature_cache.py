"""The frozen image encoder's features of every cached scene, on disk in half precision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import trange

from evfsam.modeling.evf_sam import EvfSam
from evfsam.processing.inputs import segmenter_pixels
from evfsam.training.scene_cache import SceneCache

BATCH = 16


@dataclass(frozen=True)
class FeatureCache:
    """float16 (N, C, h, w) arrays: the embedding first, then the levels of higher resolution."""

    levels: tuple[np.ndarray, ...]

    def read(self, scenes: torch.Tensor) -> list[torch.Tensor]:
        """Features of these rows: a level each."""
        return [torch.from_numpy(level[scenes.numpy()]) for level in self.levels]


@torch.no_grad()
def open_feature_cache(folder: Path, model: EvfSam, cache: SceneCache, weights_id: str) -> FeatureCache:
    """Features of all scenes; computed unless ``folder`` holds those of the same weights (``weights_id``)."""
    facts_file, facts = folder / "features.json", {"weights": weights_id, "scenes": len(cache)}
    if not facts_file.exists() or json.loads(facts_file.read_text()) != facts:
        folder.mkdir(parents=True, exist_ok=True)
        facts_file.unlink(missing_ok=True)
        arrays = None
        for start in trange(0, len(cache), BATCH, desc="features"):
            scenes = range(start, min(start + BATCH, len(cache)))
            pixels = [segmenter_pixels(cache.image(i), model.config.pixels)[0] for i in scenes]
            features = model.encode_image(torch.cat(pixels).to(model.device))
            levels = (features.image_embeddings, *features.high_res_features)
            arrays = arrays or [
                np.lib.format.open_memmap(folder / f"level_{i}.npy", "w+", np.float16, (len(cache), *level.shape[1:]))
                for i, level in enumerate(levels)
            ]
            for array, level in zip(arrays, levels, strict=True):
                array[start : start + len(scenes)] = level.half().cpu().numpy()
        facts_file.write_text(json.dumps(facts))
    files = sorted(folder.glob("level_*.npy"))
    return FeatureCache(tuple(np.load(file, mmap_mode="r") for file in files))
