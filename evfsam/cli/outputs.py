"""Files that the verbs write: checked before the work, written after it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evfsam.errors import InputError

STANDARD_OUTPUT = "-"


def check_files(targets: Iterable[str | None], inputs: Iterable[str | Path] = ()) -> None:
    """Refuse files that could not be written after the work. None and "-" are skipped, and nothing is created.

    Raises InputError if a folder is missing, if writing is not allowed, if two targets are the same file, or if a
    target is one of ``inputs``.
    """
    taken = {os.path.realpath(path): "is an input" for path in inputs if "\0" not in str(path)}
    for target in targets:
        if target is None or target == STANDARD_OUTPUT:
            continue
        _check_name(target)
        folder = os.path.dirname(target) or "."
        if not os.path.isdir(folder):
            raise InputError(f"There is no folder '{folder}' to write '{target}' in: make it first.")
        if os.path.isdir(target):
            raise _unwritable(target, "it is a folder")
        if not os.access(target if os.path.exists(target) else folder, os.W_OK):
            raise _unwritable(target, "permission denied")
        place = os.path.realpath(target)
        if place in taken:
            raise InputError(f"'{target}' {taken[place]} and would be overwritten: choose another name.")
        taken[place] = "is named twice"


def check_folder(target: str) -> None:
    """Refuse a folder that could neither be used nor be made. Nothing is created. Raises InputError."""
    _check_name(target)
    place = os.path.abspath(target)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise _unwritable(target, f"'{place}' is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise _unwritable(target, "permission denied")


def write_json(result: dict[str, Any], target: str) -> None:
    """Write UTF-8 to a file, or to standard output if the target is "-". Raises InputError as :func:`write_file`."""
    text = json.dumps(result, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    content = text.encode("utf-8", "backslashreplace")  # names of files need not be UTF-8
    if target == STANDARD_OUTPUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    else:
        write_file(Path(target), content)


def write_file(path: Path, content: bytes) -> None:
    """Write a file. Raises InputError if the disk or the permissions refuse."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _unwritable(str(path), error.strerror) from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises InputError if the disk or the permissions refuse."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(str(path), error.strerror) from None


def _check_name(target: str) -> None:
    try:
        os.lstat(target)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # a name that is too long, or that contains NUL
        raise _unwritable(target, getattr(error, "strerror", None) or str(error)) from None
    if not target.strip():
        raise _unwritable(target, "it has no name")


def _unwritable(target: str, reason: str) -> InputError:
    shown = target if len(target) <= 200 else target[:200] + "..."
    return InputError(f"'{shown}' cannot be written ({reason}): choose another place.".replace("\0", "\\0"))
