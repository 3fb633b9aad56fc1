"""Finds checkpoints of the Hugging Face Hub on this disk, and downloads them if they are not here.

The usual variables of ``huggingface_hub`` work: ``HF_HOME`` or ``HF_HUB_CACHE`` for the folder,
``HF_HUB_OFFLINE``, ``HF_TOKEN``, ``HF_ENDPOINT`` for a mirror.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    get_session,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of the transport library, which has changed before
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status
from tqdm import tqdm

from evfsam.checkpoints.layout import (
    CONFIG_FILE,
    TOKENIZER_FILES,
    WEIGHT_NAMES,
    has_tokenizer,
    is_complete,
    shard_names,
    size_text,
)
from evfsam.checkpoints.registry import CheckpointInfo, bundled_models
from evfsam.errors import CheckpointError

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TRIES = 4  # in a row without one byte
_PAUSE_S = 1.0  # between two of them
_SILENCE_S = 10.0  # after which a server that sends nothing is given up
_LOOK_S = 3.0  # for a server that is only looked for
_LOCK_S = 2 * _SILENCE_S  # for a download that was stopped and still waits for its server
_HASH_BYTES = 1 << 22
_SHA256_LETTERS = 64  # the Hub's ETag of a large file is its SHA-256

# Called with the bytes that are here and the bytes in all; what it raises ends the download.
Report = Callable[[int, int], None]


def local_folder(info: CheckpointInfo) -> Path | None:
    """The folder of a complete checkpoint on this disk, or None. Uses no network."""
    if not info.on_hub:
        return Path(info.source)
    try:
        folder = snapshot_download(info.source, revision=info.revision, local_files_only=True, allow_patterns=[])
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return Path(folder) if is_complete(Path(folder)) else None


def fetch(info: CheckpointInfo) -> Path:
    """The folder that holds a checkpoint's files, downloaded with a bar on stderr if they are not here yet.

    A checkpoint that is here is used as it is, without asking the Hub for a newer one.

    Args:
        info: from :func:`evfsam.checkpoints.registry.find`.

    Raises CheckpointError as :func:`download`.
    """
    folder = local_folder(info)
    if folder is not None:
        return folder
    with tqdm(desc=info.name, unit="B", unit_scale=True) as bar:

        def report(here: int, whole: int) -> None:
            bar.total = whole
            bar.update(here - bar.n)

        return download(info, report)


def download(info: CheckpointInfo, report: Report) -> Path:
    """Bring a checkpoint's files from the Hub into its cache; returns their folder.

    What an interrupted download brought is kept, and the next one goes on from there. Only a disk that is full and
    a file that is not what the Hub announced are cleared away.

    Raises CheckpointError if there is no network, no such repository or revision, no permission or no disk space,
    or if the download was interrupted; and whatever ``report`` raises.
    """
    try:
        return _download(info, report)
    except (HTTPError, OSError, EntryNotFoundError, HFValidationError) as error:
        raise CheckpointError(_sentence(info, error)) from error


def can_be_reached(info: CheckpointInfo) -> bool:
    """Whether the Hub answers for this checkpoint within a few seconds."""
    try:
        HfApi().model_info(info.source, revision=info.revision, timeout=_LOOK_S)
    except (HTTPError, OSError, HFValidationError):
        return False
    return True


def is_offline() -> bool:
    """Whether the user forbids downloads (``HF_HUB_OFFLINE``)."""
    return bool(constants.HF_HUB_OFFLINE)


def _download(info: CheckpointInfo, report: Report) -> Path:
    details = HfApi().model_info(info.source, revision=info.revision, files_metadata=True, timeout=_SILENCE_S)
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in details.siblings or []}
    wanted = _wanted(info, sizes)
    whole, before = sum(sizes[name] for name in wanted), 0
    files = {name: _RemoteFile(info, name) for name in wanted}
    _check_room(info, whole - sum(file.here() for file in files.values()))
    for name, file in files.items():

        def report_file(here: int, before: int = before) -> None:
            report(before + here, whole)

        file.bring(report_file)
        before += sizes[name]
    return [_cached(info, name) for name in wanted][0].parent


def _cached(info: CheckpointInfo, name: str) -> Path:
    """A file of the repository where the cache has it; small ones are downloaded."""
    return Path(hf_hub_download(info.source, name, revision=info.revision))


class _RemoteFile:
    """A file on the Hub, on its way to its place in the cache.

    ``hf_hub_download`` starts from nothing after each interruption. So the bytes are brought here, to the name that
    the cache gives them (``blobs/ETAG``); after that it finds them there and adds the rest.
    """

    def __init__(self, info: CheckpointInfo, name: str):
        self.info, self.name = info, name
        self.url = hf_hub_url(info.source, name, revision=info.revision)
        found = get_hf_file_metadata(self.url, timeout=_SILENCE_S)
        self.etag, self.size = Path(found.etag or "").name, found.size
        folder = repo_folder_name(repo_id=info.source, repo_type="model")
        self.blob = Path(constants.HF_HUB_CACHE) / folder / "blobs" / self.etag
        self.part = self.blob.with_name(f"{self.etag}.incomplete")
        self._lock = Path(constants.HF_HUB_CACHE) / ".locks" / folder / f"{self.etag}.lock"  # as the Hub's own

    def here(self) -> int:
        """The bytes that are on this disk."""
        there = next((path for path in (self.blob, self.part) if path.is_file()), None)
        return there.stat().st_size if there else 0

    def bring(self, report: Callable[[int], None]) -> None:
        """Download what is missing. ``report`` is called with the bytes that are here."""
        if not self.etag or self.size is None:
            return  # the server does not say what it has: hf_hub_download asks again
        for folder in (self.blob.parent, self._lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._lock, timeout=_LOCK_S):
                if not self.blob.exists():
                    self._append_all(report)
                    self._check()
                    self.part.replace(self.blob)
        except Timeout:
            raise CheckpointError(f"Another program is downloading {self.info.name}; wait until it is done.") from None
        report(self.size)

    def _append_all(self, report: Callable[[int], None]) -> None:
        tries = _TRIES
        while (before := self.here()) < (self.size or 0):
            report(before)
            try:
                self._append(report)
            except HfHubHTTPError:
                raise
            except HTTPError:  # the connection
                tries = _TRIES if self.here() > before else tries - 1
                if not tries and self.here():
                    raise CheckpointError(
                        f"The download of {self.info.name} broke off; what has arrived is kept: try again to go on."
                    ) from None
                if not tries:
                    raise
                time.sleep(_PAUSE_S)
            else:
                break  # the server thinks that this is all

    def _append(self, report: Callable[[int], None]) -> None:
        here = self.here()
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        if here:
            headers["Range"] = f"bytes={here}-"
        with get_session().stream("GET", self.url, headers=headers, timeout=_SILENCE_S) as response:
            hf_raise_for_status(response)
            goes_on = response.status_code == 206
            here = here if goes_on else 0
            try:
                with self.part.open("ab" if goes_on else "wb", buffering=0) as file:
                    for chunk in response.iter_raw():
                        report(here)
                        here += file.write(chunk)
            except OSError as error:
                if error.errno in _DISK_ERRORS:
                    self.part.unlink()
                raise

    def _check(self) -> None:
        """Raise CheckpointError, and clear the file away, unless it is what the Hub announced."""
        good = self.here() == self.size
        if good and len(self.etag) == _SHA256_LETTERS:
            digest = hashlib.sha256()
            with self.part.open("rb") as file:
                while chunk := file.read(_HASH_BYTES):
                    digest.update(chunk)
            good = digest.hexdigest() == self.etag
        if not good:
            self.part.unlink()
            raise CheckpointError(f"{self.info.name} arrived damaged ({self.name}) and was removed; try again.")


def _wanted(info: CheckpointInfo, sizes: dict[str, int]) -> list[str]:
    """The files to download: config, tokenizer, and one form of the weights."""
    weights = next((name for name in WEIGHT_NAMES if name in sizes), None)
    if CONFIG_FILE not in sizes or not has_tokenizer(sizes.__contains__) or weights is None:
        raise CheckpointError(f"{info.source} on the Hub holds no EVF-SAM checkpoint; choose another.")
    small = [CONFIG_FILE, *(name for name in TOKENIZER_FILES if name in sizes)]
    if not weights.endswith(".json"):
        return [*small, weights]
    shards = shard_names(_cached(info, weights))
    missing = [name for name in shards if name not in sizes]
    if missing:
        raise CheckpointError(f"{info.source} on the Hub lacks {', '.join(missing)}; choose another checkpoint.")
    return [*small, weights, *shards]


def _check_room(info: CheckpointInfo, needed: int) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise CheckpointError(
            f"{info.name} needs {size_text(needed)}, but the disk of the Hub's cache has {size_text(free)} free; "
            "make room or set HF_HOME to a folder on another disk."
        )


def _sentence(info: CheckpointInfo, error: Exception) -> str:
    """An error as a sentence that says what to do next. Narrow classes come first, for they derive from wide ones."""
    name = info.name if info.name.startswith(info.source) else f"{info.name} ({info.source})"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError):
        return (
            f"{name} is not open to everyone; accept its terms at {constants.ENDPOINT}/{info.source} "
            "and log in with `hf auth login`."
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"There is no public repository {info.source} on the Hub; check the name, or log in if it is private."
    if isinstance(error, RevisionNotFoundError):
        return f"{name} has no revision {info.revision!r} on the Hub; check the branch, tag or commit."
    if isinstance(error, OfflineModeIsEnabled) or constants.HF_HUB_OFFLINE:
        return f"{name} is not on this disk and HF_HUB_OFFLINE forbids downloading it; unset it{_or_bundled()}."
    if status == 429:
        return f"The Hub has had too many requests from here (status 429); try {name} again in some minutes."
    if status in (401, 403):
        return f"The Hub does not let this account have {name} (status {status}); log in with `hf auth login`."
    if status is not None:
        return f"The Hub refused to give {name} (status {status}); try again later{_or_bundled()}."
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return f"The disk is full, {name} could not be written; make room or set HF_HOME to a folder elsewhere."
    if isinstance(error, PermissionError):
        return f"{name} could not be written to the Hub's cache; set HF_HOME to a folder of your own."
    if isinstance(error, HFValidationError):
        return f"{info.source!r} is not a name of a repository on the Hub; write it as owner/name."
    return f"The Hub cannot be reached for {name}; check the network and try again{_or_bundled()}."


def _or_bundled() -> str:
    bundled = bundled_models()
    return f" or use {bundled[0].name}, which needs no download" if bundled else ""


def local_repository(repository: str) -> Path | None:
    """The folder of a repository that was downloaded before, or None. Uses no network."""
    try:
        return Path(snapshot_download(repository, allow_patterns=[], local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def fetch_repository(repository: str) -> Path:
    """The folder with the files of a repository that is no EVF-SAM checkpoint, downloaded if they are not here yet.

    Weights come as safetensors alone, which cannot run code. Raises CheckpointError as :func:`fetch`.
    """
    info = CheckpointInfo(name=repository, source=repository, on_hub=True)
    try:
        patterns = ["*.json", "*.txt", "*.model", "*.safetensors"]
        return local_repository(repository) or Path(snapshot_download(repository, allow_patterns=patterns))
    except (HTTPError, OSError, EntryNotFoundError, HFValidationError) as error:
        raise CheckpointError(_sentence(info, error)) from error
