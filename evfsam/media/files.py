"""Files that are either whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evfsam.errors import VideoError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write to; it becomes ``target`` at the end, or goes if anything is raised.

    Raises VideoError if the folder is not there or cannot be written to.
    """
    if not target.parent.is_dir():
        raise VideoError(f"There is no folder '{target.parent}': make it first, or choose another place.")
    part = target.with_name(f".{target.stem[:40]}.{secrets.token_hex(6)}{target.suffix}")
    try:
        yield part
        if part.exists():
            os.replace(part, target)
    except OSError as error:  # the disk is full, the folder may not be written to
        raise VideoError(f"'{target.name}' cannot be written ({error}): choose another place.") from error
    finally:
        part.unlink(missing_ok=True)
