"""What a batch works on: every item of a folder, a list, a table or tar shards, under a key of its own."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from evfsam.errors import InputError
from evfsam.values import shown

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
CLIPS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
COLUMNS = ("image", "path", "file")  # of a table, the first of these that is there


@dataclass(frozen=True)
class Item:
    """One image or clip.

    Attributes:
        key: its name in the results; no two items have the same.
        path: the file that it is, or that it lies in.
        offset, size: where it lies in a tar file, in bytes; None for a file of its own.
        prompts: its own prompts; empty for those of the run.
    """

    key: str
    path: str
    offset: int | None = None
    size: int | None = None
    prompts: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix.lower() if self.offset is not None else Path(self.path).suffix.lower()

    @property
    def is_clip(self) -> bool:
        return self.suffix in CLIPS

    def read(self) -> bytes:
        """The item's bytes. Raises InputError if it is gone or cut off."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset or 0)
                content = file.read(-1 if self.size is None else self.size)
        except OSError as error:
            raise InputError(f"{shown(self.key)} cannot be read ({error.strerror}).") from None
        if self.size is not None and len(content) != self.size:
            raise InputError(f"{shown(self.key)} is cut off: the tar file ends too early.")
        return content


def find_items(source: str) -> list[Item]:
    """All items of a source, in an order that is always the same.

    Args:
        source: a folder with images and clips, searched through; a .txt list with one path per line; a .csv or .parquet
            table with a column "image" and perhaps "prompts"; a .tar file of WebDataset, or a folder of them.

    Raises InputError if the source is missing, is of no such kind, holds no item, or names one twice.
    """
    path = Path(source)
    if path.is_dir():
        items = list(_of_folder(path))
    elif not path.is_file():
        raise InputError(f"There is no file or folder {shown(source)}: check the path.")
    elif path.suffix == ".tar":
        items = list(_of_tar(path))
    elif path.suffix in _TABLES:
        items = [_of_row(row, path.parent, number) for number, row in enumerate(_TABLES[path.suffix](path), 1)]
    else:
        raise InputError(f"{shown(source)} is no source: give a folder, or a .txt, .csv, .parquet or .tar file.")
    if not items:
        raise InputError(f"{shown(source)} holds no images or clips: name another source.")
    keys = set()
    for item in items:
        if item.key in keys:
            raise InputError(f"{shown(source)} names {shown(item.key)} twice: name each item once.")
        keys.add(item.key)
    return items


def _of_folder(folder: Path) -> Iterator[Item]:
    shown_ones = (path for path in folder.rglob("*") if "/." not in f"/{path.relative_to(folder).as_posix()}")
    files = sorted(path for path in shown_ones if path.is_file())
    shards = [path for path in files if path.suffix == ".tar"]
    if shards:
        for shard in shards:
            yield from _of_tar(shard, f"{shard.relative_to(folder).with_suffix('').as_posix()}/")
        return
    for path in files:
        if path.suffix.lower() in IMAGES | CLIPS:
            yield Item(path.relative_to(folder).as_posix(), str(path))


def _of_tar(path: Path, before: str = "") -> Iterator[Item]:
    """WebDataset: files of one name up to its first dot are one sample; .txt or .json beside an image has prompts."""
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(path, "r:") as tar:  # not compressed, so that items can be read by their place
            for member in tar:
                if member.isfile():
                    folder, _, name = member.name.rpartition("/")
                    stem, _, suffix = name.partition(".")
                    samples.setdefault(f"{folder}/{stem}".lstrip("/"), {})[f".{suffix.lower()}"] = member
    except tarfile.TarError as error:
        raise InputError(f"{shown(str(path))} is no plain tar file ({error}): unpack or download it again.") from None
    for stem, files in samples.items():
        for suffix, member in files.items():
            if suffix in IMAGES | CLIPS:
                place = str(path), member.offset_data, member.size
                yield Item(f"{before}{stem}{suffix}", *place, _prompts_beside(path, files))


def _prompts_beside(path: Path, files: dict[str, tarfile.TarInfo]) -> tuple[str, ...]:
    for suffix in (".txt", ".json"):
        if suffix in files:
            member = files[suffix]
            text = Item(member.name, str(path), member.offset_data, member.size).read().decode("utf-8", "replace")
            return _prompts(text if suffix == ".txt" else _json_prompts(text), member.name)
    return ()


def _json_prompts(text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return found.get("prompts", "") if isinstance(found, dict) else found


def _of_row(row: dict[str, Any], folder: Path, number: int) -> Item:
    column = next((name for name in COLUMNS if name in row), None)
    if column is None:
        raise InputError("The table has no column image: name the column with the paths so.")
    name = row[column]
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InputError(f"Row {number} of the table has no path in its column {column}: fill it in.")
    return Item(name, str(folder / name), prompts=_prompts(row.get("prompts"), f"row {number}"))


def _prompts(value: Any, where: str) -> tuple[str, ...]:
    """A list, or a text with one prompt per line or with semicolons between them."""
    if value is None:
        return ()
    parts = value.replace(";", "\n").splitlines() if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise InputError(f"The prompts of {shown(where)} are no texts: write one per line, or a list of texts.")
    return tuple(part.strip() for part in parts if part.strip())


def _of_list(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip():
            yield {"image": line.strip()}


def _of_csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        yield from csv.DictReader(file)


def _of_parquet(path: Path) -> Iterator[dict[str, Any]]:
    from evfsam.batch.results import parquet

    names = parquet().read_schema(path).names
    table = parquet().read_table(path, columns=[name for name in (*COLUMNS, "prompts") if name in names])
    yield from table.to_pylist()


_TABLES = {".txt": _of_list, ".csv": _of_csv, ".parquet": _of_parquet}


def read_prompts(path: str) -> tuple[str, ...]:
    """The prompts of a text file, one per line. Raises InputError if it is missing or holds none."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        raise InputError(f"There is no file {shown(path)}: give a text file with one prompt per line.") from None
    prompts = tuple(line.strip() for line in lines if line.strip())
    if not prompts:
        raise InputError(f"{shown(path)} is empty: write one prompt per line.")
    return prompts
