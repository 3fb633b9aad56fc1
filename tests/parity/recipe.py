"""The parity kit's recipe for weights and images (tests/parity/README.md)."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


def case(name: str) -> dict[str, np.ndarray]:
    with np.load(HERE / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def manifest(name: str) -> dict:
    return json.loads((HERE / f"{name}.json").read_text())


def randn(seed: int, shape) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def tensor(name: str, shape) -> np.ndarray:
    """The recipe's values of the tensor that the reference calls ``name``."""
    x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape) or (1,)).astype(np.float32)
    if len(shape) == 1 and name.endswith(".weight"):
        return 1 + 0.1 * x
    if len(shape) <= 1:
        return (0.1 * x).reshape(shape)
    return x / np.float32(np.sqrt(np.prod(shape[1:])))


def reference_name(name: str) -> str:
    """Ours -> the reference's: it calls the layer scale of the memory fuser ``weight``."""
    if ".fuser.layers." in name and name.endswith(".gamma"):
        return name.removesuffix("gamma") + "weight"
    return name


def fill(module: torch.nn.Module, prefix: str = "") -> None:
    """Give every tensor of the state dict its recipe value; ``prefix`` completes partial modules' names."""
    state = {
        name: torch.from_numpy(tensor(prefix + reference_name(name), tuple(value.shape)))
        for name, value in module.state_dict().items()
    }
    module.load_state_dict(state, strict=True)


def smooth_image(seed: int, height: int, width: int) -> np.ndarray:
    """The kit's smooth test image, uint8 (height, width, 3)."""
    r = np.random.RandomState(seed)
    y, x = np.meshgrid(np.arange(height) / height, np.arange(width) / width, indexing="ij")
    waves = np.zeros((height, width, 3))
    for channel in range(3):
        for _ in range(6):
            fx, fy = r.uniform(0.5, 6, 2)
            phase = r.uniform(0, 2 * np.pi)
            waves[..., channel] += np.cos(2 * np.pi * (fx * x + fy * y) + phase)
    return np.round((waves - waves.min()) / (waves.max() - waves.min()) * 255).astype(np.uint8)
