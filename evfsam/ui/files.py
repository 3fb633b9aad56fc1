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

from evfsam.errors import InputError

DAY = 86_400  # seconds
UNFINISHED_S = 600  # after which an upload that does not grow, or an empty folder, is given up
PREFIX, LOCK = "evfsam-", ".lock"
NOT_UPLOADED = "Upload the file to this app first: no other path and no web address is opened."

_claimed: dict[Path, tuple[FileLock, int]] = {}  # folder -> its lock, and the process that holds it


def upload_folder() -> Path:
    """Where uploads and results lie now: what ``gradio.utils.get_upload_folder`` says, without importing Gradio."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir(), "gradio").resolve())


def uploaded_file(path: object) -> Path:
    """The file that a request names by its path, if it is an upload or a result of this app.

    Raises InputError for anything else, always with the same sentence: the answer never tells whether a file
    exists.
    """
    folder = upload_folder()
    try:
        named = Path(path)
        inside = ".." not in named.parts and named.is_relative_to(folder)
        real = named.resolve(strict=True)
        if inside and real.is_relative_to(folder.resolve()) and stat.S_ISREG(real.stat().st_mode):
            return real
    except (TypeError, ValueError, OSError, RuntimeError):  # no text, a NUL, not there, a circle of links
        pass
    raise InputError(NOT_UPLOADED)


def claim_folder() -> Path:
    """Gives this process a folder of its own for uploads and results, and deletes those of ended processes.

    The folder lies in GRADIO_TEMP_DIR, else in the system's temporary folder; afterwards GRADIO_TEMP_DIR names
    it, so that Gradio uses it too, best before Gradio is imported. A second call returns the same folder.

    Raises InputError if it cannot be made.
    """
    current = upload_folder()
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


def delete_old(folder: Path, age_s: float = DAY) -> None:
    """Deletes what lies in the folder and has not changed for so many seconds; unfinished things sooner."""
    now = time.time()
    for entry in folder.iterdir():
        inside = list(entry.rglob("*"))
        changed = max(_changed(path, now) for path in (entry, *inside))
        if now - changed > (age_s if inside else min(age_s, UNFINISHED_S)):
            _delete(entry)


def delete_unfinished(folder: Path) -> None:
    """Deletes uploads that never came to their end: a finished one lies in a folder of its own."""
    for entry in folder.iterdir():
        if not entry.is_dir():
            _delete(entry)


def _changed(path: Path, now: float) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:  # deleted just now
        return now


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
