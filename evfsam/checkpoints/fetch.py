"""Where a checkpoint's files lie on this disk, downloading them if need be."""

from __future__ import annotations

from pathlib import Path

from evfsam.checkpoints.registry import CheckpointInfo
from evfsam.errors import CheckpointError


def fetch(info: CheckpointInfo) -> Path:
    """The folder that holds the checkpoint's files. Raises CheckpointError if they cannot be had."""
    if not info.on_hub:
        return Path(info.source)
    raise CheckpointError(f"{info.name} cannot be downloaded yet.")
