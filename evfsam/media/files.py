"""Files: only regular ones are read, and those that are written are either whole or not there."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from evfsam.errors import EvfSamError, VideoError

LONGEST_NAME = 120  # letters of a name that an error shows


def open_regular(path: Path, error: type[EvfSamError], kind: str) -> BinaryIO:
    """Open a regular file, or a link to one, for reading. A pipe or a device is refused and never waited for.

    Args:
        path: the file.
        error: the class of the error that is raised if the file cannot be read.
        kind: what the file should be, for the error: "image" or "video".
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for a writer
    except FileNotFoundError:
        raise error(f"There is no file {quoted(path)}: check the path.") from None
    except (OSError, ValueError) as failure:  # ValueError: NUL in the name
        reason = getattr(failure, "strerror", None) or failure
        name = quoted(path.name)
        raise error(f"{name} cannot be opened ({reason}): check the path and its permissions.") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise error(f"{quoted(path)} is a folder: name one {kind} in it.")
    raise error(f"{quoted(path.name)} is a pipe or a device: save the {kind} as a file first.")


def quoted(name: str | PathLike) -> str:
    """A file's name for an error: in quotation marks, on one line, not endless, and printable anywhere."""
    text = "".join(letter if letter.isprintable() else "?" for letter in os.fspath(name))
    return f"'{text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME // 2] + '...' + text[-LONGEST_NAME // 2 :]}'"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write to. It becomes ``target`` at the end, or is deleted if anything is raised.

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
