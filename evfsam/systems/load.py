"""A model by its name: EVF-SAM's own, or another system."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from evfsam.errors import CheckpointError, VideoError
from evfsam.predictor import Predictor
from evfsam.runtime import Runtime, choose_runtime
from evfsam.systems.base import System
from evfsam.systems.registry import SystemInfo, find_system
from evfsam.systems.weights import folders

if TYPE_CHECKING:
    from evfsam.systems.sam3_video import Sam3Video

# Their modules import much of transformers; one is imported when it is asked for.
_CLASSES = {
    "grounded-sam": ("evfsam.systems.boxes", "GroundedSam"),
    "owlv2-sam2": ("evfsam.systems.boxes", "Owlv2Sam2"),
    "clipseg": ("evfsam.systems.clipseg", "ClipSeg"),
    "florence-2": ("evfsam.systems.florence2", "Florence2"),
    "refersam-tiny": ("evfsam.systems.refersam", "ReferSamSystem"),
    "sam3": ("evfsam.systems.sam3", "Sam3"),
}

_TRACKERS = {"sam3": ("evfsam.systems.sam3_video", "Sam3Video")}


def load_model(name: str | Path | None = None, device="auto", precision="auto") -> Predictor | System:
    """A Predictor, or a system by its name from :func:`evfsam.systems.registry.list_systems`.

    ``device`` and ``precision`` as in :meth:`Predictor.from_pretrained`; systems are not quantized.
    Raises CheckpointError for a name or weights, InputError for a device or precision, that cannot be used.
    """
    info = find_system(name) if isinstance(name, str) else None
    if info is None:
        return Predictor.from_pretrained(name, device, precision)
    return load_system(info, choose_runtime(device, precision))


def load_system(info: SystemInfo, runtime: Runtime) -> System:
    """The system of a row. Raises CheckpointError as :func:`load_model`."""
    return _made(_CLASSES, info, runtime)


def load_tracker(info: SystemInfo, runtime: Runtime) -> Sam3Video:
    """The system of a row, to follow clips. Raises CheckpointError as :func:`load_model`, VideoError if it cannot."""
    if info.name not in _TRACKERS:
        raise VideoError(f"{info.name} segments images alone: follow clips with {' or '.join(_TRACKERS)}.")
    return _made(_TRACKERS, info, runtime)


def _made(classes: dict[str, tuple[str, str]], info: SystemInfo, runtime: Runtime):
    if runtime.quantized_bits:
        raise CheckpointError(f"{info.name} cannot be quantized; choose another precision.")
    found = folders(info)
    module, name = classes[info.name]
    return getattr(import_module(module), name)(info, runtime, found)
