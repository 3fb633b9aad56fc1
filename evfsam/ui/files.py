"""Files of requests: where they lie, which of them a request may name, and when they are deleted.

Uploads and results lie in one folder per process. It is deleted when the process ends; the folder of a process
that was killed is deleted by the next start. While the app runs, files are deleted when they are a day old.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout
from gradio.utils import get_upload_folder

from evfsam.errors import InputError

UPLOAD_BYTES = 200 * 2**20  # of one file
DAY = 86_400  # seconds
UNFINISHED_S = 600  # after which an upload that no longer grows has lost its client
PREFIX, LOCK = "evfsam-", ".lock"
NOT_UPLOADED = "Upload the file to this app first: no other path and no web address is opened."

_claimed: dict[Path, tuple[FileLock, int]] = {}  # folder -> its lock, and the process that holds it


def uploaded_file(path: object) -> Path:
    """The file that a request names by its path, if it is an upload or a result of this app.

    Raises InputError for anything else, always with the same sentence: the answer never tells whether a file
    exists.
    """
    folder = Path(get_upload_folder())
    try:
        named = Path(path)
        inside = ".." not in named.parts and named.is_relative_to(folder)
        real = named.resolve(strict=True)
        if inside and real.is_relative_to(folder.resolve()) and _is_regular(real):
            return real
    except (TypeError, ValueError, OSError, RuntimeError):  # no text, a NUL, not there, a circle of links
        pass
    raise InputError(NOT_UPLOADED)


def _is_regular(path: Path) -> bool:
    status = path.stat()
    return stat.S_ISREG(status.st_mode) and status.st_size <= UPLOAD_BYTES


def claim_folder() -> Path:
    """Gives this process a folder of its own for uploads and results, and deletes those of ended processes.

    The folder lies in GRADIO_TEMP_DIR, else in the system's temporary folder; afterwards GRADIO_TEMP_DIR names
    it, so that Gradio uses it too. A second call returns the same folder.

    Raises InputError if it cannot be made.
    """
    current = Path(get_upload_folder())
    if current in _claimed:
        return current
    base = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).resolve()
    try:
        base.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))  # only its owner may read it
        lock = FileLock(str(folder) + LOCK)
        lock.acquire()
    except OSError as error:
        raise InputError(f"'{base}' cannot be written ({error.strerror}): set GRADIO_TEMP_DIR to another.") from None
    _claimed[folder] = lock, os.getpid()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    _delete_dead(base)
    atexit.register(delete_folders)
    return folder


def delete_folders() -> None:
    """Deletes the folders that this process claimed; does nothing in a process forked from it."""
    for folder, (lock, owner) in list(_claimed.items()):
        if owner != os.getpid():
            continue
        for _ in range(3):  # a thread may still be writing into it
            shutil.rmtree(folder, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        del _claimed[folder]


def _delete_dead(base: Path) -> None:
    """Deletes the folders of processes that have ended: nobody holds their locks any more."""
    for lock_file in base.glob(f"{PREFIX}*{LOCK}"):
        lock = FileLock(lock_file, timeout=0)
        try:
            with lock:
                shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
                lock_file.unlink(missing_ok=True)
        except (Timeout, OSError):  # alive, or somebody else's
            continue


def delete_old(folder: Path, age_s: float = DAY, unfinished_s: float = UNFINISHED_S) -> None:
    """Deletes what lies in the folder and has not changed for so many seconds.

    A finished upload lies in a folder of its own; a file beside these folders is one that never came to its end.
    """
    now = time.time()
    for entry in folder.iterdir():
        changed = max((path.lstat().st_mtime for path in (entry, *entry.rglob("*"))), default=now)
        if entry.is_dir() and now - changed > age_s:
            shutil.rmtree(entry, ignore_errors=True)
        elif not entry.is_dir() and now - changed > unfinished_s:
            entry.unlink(missing_ok=True)
