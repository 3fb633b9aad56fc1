"""EVF-SAM: segment what a text names, in images and videos.

    import evfsam

    predictor = evfsam.Predictor.from_pretrained("evf-sam2-tiny")
    for result in predictor.segment("street.jpg", ["the red car", "[semantic] sky"]):
        print(result.prompt, result.score, result.mask.shape)

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.2.0"
DEFAULT_MODEL = "evf-sam2-tiny"

# Public name -> its module.
_HOMES = {
    "CheckpointError": "evfsam.errors",
    "EvfSamError": "evfsam.errors",
    "InputError": "evfsam.errors",
    "PointPrompt": "evfsam.types",
    "Predictor": "evfsam.predictor",
    "Refinement": "evfsam.refine.refinement",
    "Segmentation": "evfsam.types",
    "SpatialPrompt": "evfsam.types",
    "TrackedFrame": "evfsam.types",
    "TrackedObject": "evfsam.types",
    "VideoError": "evfsam.errors",
    "VideoPrompt": "evfsam.types",
    "VideoTracker": "evfsam.video.tracker",
    "list_models": "evfsam.checkpoints.registry",
    "separate": "evfsam.things",
    "results_to_coco": "evfsam.media.annotations",
    "to_detections": "evfsam.media.export",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'evfsam' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
