"""EVF-SAM: segment what a phrase names, in pictures and videos.

    import evfsam

    predictor = evfsam.load_model("evf-sam2-tiny")
    for result in predictor.segment(image, ["the red car", "[semantic] sky"]):
        print(result.prompt, result.score, result.mask.shape)

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from evfsam.checkpoints.registry import CheckpointInfo
    from evfsam.predictor import Predictor
    from evfsam.types import Segmentation
    from evfsam.video.tracker import VideoTracker

__version__ = "0.1.0"
__all__ = ["Predictor", "Segmentation", "VideoTracker", "list_models", "load_model"]

DEFAULT_MODEL = "evf-sam2-tiny"
_HOMES = {
    "Predictor": "evfsam.predictor",
    "Segmentation": "evfsam.types",
    "VideoTracker": "evfsam.video.tracker",
}


def load_model(name_or_path: str | Path = DEFAULT_MODEL, device: str = "auto", precision: str = "auto") -> Predictor:
    """Load a checkpoint, ready to segment.

    Args:
        name_or_path: a name from :func:`list_models`, the folder of a checkpoint, or "owner/name" on the Hub
            ("@" and a revision may follow).
        device: "auto" (CUDA, else MPS, else the CPU), "cpu", "cuda", "cuda:1" or "mps".
        precision: "auto", "fp32", "fp16", "bf16", "8bit" or "4bit", as far as the device can.

    Raises CheckpointError if the checkpoint is unknown or cannot be read, InputError if the device or the
    precision is not there.
    """
    from evfsam.checkpoints.load import load_checkpoint
    from evfsam.predictor import Predictor
    from evfsam.runtime import choose_runtime

    runtime = choose_runtime(device, precision)
    loaded = load_checkpoint(name_or_path, runtime.device, runtime.dtype, runtime.quantized_bits)
    return Predictor(loaded, runtime)


def list_models() -> tuple[CheckpointInfo, ...]:
    """All checkpoints that have a name, the bundled ones first, with what each can do."""
    from evfsam.checkpoints import registry

    return registry.list_models()


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'evfsam' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
