"""Finds checkpoints of the Hugging Face Hub on this disk, and downloads them if they are not here.

The usual variables of ``huggingface_hub`` work: ``HF_HOME`` or ``HF_HUB_CACHE`` for the folder,
``HF_HUB_OFFLINE``, ``HF_TOKEN``, ``HF_ENDPOINT`` for a mirror.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
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

from evfsam.checkpoints.layout import (
    CONFIG_FILE,
    SENTENCEPIECE_FILE,
    TOKENIZER_FILES,
    WEIGHT_NAMES,
    is_complete,
    shard_names,
    size_text,
)
from evfsam.checkpoints.registry import CheckpointInfo, bundled_models
from evfsam.errors import CheckpointError

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    """The folder that holds a checkpoint's files, downloaded if they are not here yet.

    A checkpoint that is here is used as it is, without asking the Hub for a newer one. After an interrupted
    download the complete files are kept.

    Args:
        info: from :func:`evfsam.checkpoints.registry.find`.

    Raises CheckpointError if there is no network, no such repository or revision, no permission or no disk space,
    or if the download was interrupted.
    """
    folder = local_folder(info)
    if folder is not None:
        return folder
    try:
        return _download(info)
    except (HTTPError, OSError, EntryNotFoundError, HFValidationError) as error:
        raise CheckpointError(_sentence(info, error)) from error


def _download(info: CheckpointInfo) -> Path:
    details = HfApi().model_info(info.source, revision=info.revision, files_metadata=True)
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in details.siblings or []}
    wanted = _wanted(info, sizes)
    _check_room(info, sum(sizes[name] for name in wanted))
    return [_file(info, name) for name in wanted][0].parent


def _file(info: CheckpointInfo, name: str) -> Path:
    return Path(hf_hub_download(info.source, name, revision=info.revision))


def _wanted(info: CheckpointInfo, sizes: dict[str, int]) -> list[str]:
    """The files to download: config, tokenizer, and one form of the weights."""
    weights = next((name for name in WEIGHT_NAMES if name in sizes), None)
    if CONFIG_FILE not in sizes or SENTENCEPIECE_FILE not in sizes or weights is None:
        raise CheckpointError(f"{info.source} on the Hub holds no EVF-SAM checkpoint; choose another.")
    small = [CONFIG_FILE, *(name for name in TOKENIZER_FILES if name in sizes)]
    if not weights.endswith(".json"):
        return [*small, weights]
    shards = shard_names(_file(info, weights))
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
    if isinstance(error, HfHubHTTPError):
        return f"The Hub refused to give {name} (status {error.response.status_code}); try again later{_or_bundled()}."
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return f"The disk is full, {name} could not be written; make room or set HF_HOME to a folder elsewhere."
    if isinstance(error, PermissionError):
        return f"{name} could not be written to the Hub's cache; set HF_HOME to a folder of your own."
    if isinstance(error, HFValidationError):
        return f"{info.source!r} is not a name of a repository on the Hub; write it as owner/name."
    if isinstance(error, OSError) and "Consistency check" in str(error):
        return f"The download of {name} was interrupted; try again."
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
