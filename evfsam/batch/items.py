"""What a batch works on: every item of a folder, a list, a table or tar shards, under a key of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from evfsam.errors import InputError
from evfsam.media.images import MAX_FILE_BYTES
from evfsam.values import shown

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
CLIPS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
MOST_PROMPT_BYTES = 2**20  # of a text file with prompts
COLUMNS = ("image", "path", "file")  # of a table, the first of these that is there


@dataclass(frozen=True)
class Item:
    """One image or clip.

    Attributes:
        key: its name in the results, always valid UTF-8; no two items have the same.
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
        """The bytes of an item in a tar file. Raises InputError if it is gone, cut off or too large."""
        if self.size > MAX_FILE_BYTES and not self.is_clip:
            raise InputError(f"{shown(self.key)} has more than {MAX_FILE_BYTES / 1e6:g} MB: pack a smaller image.")
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise InputError(f"{shown(self.key)} cannot be read ({error.strerror}): copy it again.") from None
        if len(content) != self.size:
            raise InputError(f"{shown(self.key)} is cut off, because the tar file ends too early: download it again.")
        return content


def find_items(source: str) -> list[Item]:
    """All items of a source, in an order that is always the same.

    Args:
        source: a folder with images and clips, searched through; a .txt list with one path per line; a .csv or .parquet
            table with a column "image" and perhaps "prompts"; a .tar file of WebDataset, or a folder of them.

    Raises InputError if the source is missing, is of no such kind, holds no item, or names one twice.
    """
    path = Path(source)
    if os.path.isdir(source):
        items = list(_of_folder(path))
    elif not os.path.isfile(source):
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
            yield Item(_key(path.relative_to(folder).as_posix()), str(path))


def _key(name: str) -> str:
    """The name of a file as text that every result file can hold: it need not be UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


@contextmanager
def _reading(path: Path, kind: str, advice: str = "write or download it again") -> Iterator[None]:
    """Whatever a damaged file makes its reader raise becomes an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        raise InputError(f"{shown(str(path))} is no {kind} ({reason}): {advice}.") from None


def _of_tar(path: Path, before: str = "") -> Iterator[Item]:
    """WebDataset: files of one name up to its first dot are one sample; .txt or .json beside an image has prompts."""
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    # Not compressed, so that items can be read by their place.
    with _reading(path, "plain tar file"), tarfile.open(path, "r:") as tar:
        for member in tar:
            if member.isfile():
                if member.issparse() or member.size < 0:
                    raise ValueError(f"{member.name[:40]} is not stored as it is")
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                samples.setdefault(f"{folder}/{stem}".lstrip("/"), {})[f".{suffix.lower()}"] = member
    for stem, files in samples.items():
        for suffix, member in files.items():
            if suffix in IMAGES | CLIPS:
                place = str(path), member.offset_data, member.size
                yield Item(_key(f"{before}{stem}{suffix}"), *place, _prompts_beside(path, files))


def _prompts_beside(path: Path, files: dict[str, tarfile.TarInfo]) -> tuple[str, ...]:
    for suffix in (".txt", ".json"):
        if suffix in files:
            member = files[suffix]
            if member.size > MOST_PROMPT_BYTES:
                raise _too_long(member.name)
            content = Item(member.name, str(path), member.offset_data, member.size).read()
            name = Path(member.name)
            return _prompts(_text(content, name) if suffix == ".txt" else _json_prompts(content, name), member.name)
    return ()


def _too_long(name: str) -> InputError:
    return InputError(f"{shown(name)} has more than {MOST_PROMPT_BYTES:,} bytes: write fewer prompts.")


def _text(content: bytes, path: Path) -> str:
    """Text in UTF-8, with or without its mark at the beginning. Raises InputError for any other."""
    with _reading(path, "text in UTF-8", "save it as UTF-8"):
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("it contains NUL")
    return text


def _json_prompts(content: bytes, path: Path) -> Any:
    with _reading(path, "JSON"):
        found = json.loads(content)
    return found.get("prompts", "") if isinstance(found, dict) else found


def _of_row(row: dict[str, Any], folder: Path, number: int) -> Item:
    column = next((name for name in COLUMNS if name in row), None)
    if column is None:
        raise InputError("The table has no column image: name the column with the paths so.")
    name = row[column]
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InputError(f"Row {number} of the table has no path in its column {column}: fill it in.")
    return Item(_key(name), str(folder / name), prompts=_prompts(row.get("prompts"), f"row {number}"))


def _prompts(value: Any, where: str) -> tuple[str, ...]:
    """A list, or a text with one prompt per line or with semicolons between them."""
    if value is None:
        return ()
    parts = value.replace(";", "\n").splitlines() if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise InputError(f"The prompts of {shown(where)} are no texts: write one per line, or a list of texts.")
    return tuple(part.strip() for part in parts if part.strip())


def _of_list(path: Path) -> Iterator[dict[str, Any]]:
    for line in _text(_content(path), path).splitlines():
        if line.strip():
            yield {"image": line.strip()}


def _of_csv(path: Path) -> Iterator[dict[str, Any]]:
    with _reading(path, "CSV table"):
        yield from csv.DictReader(io.StringIO(_text(_content(path), path), newline=""))


def _of_parquet(path: Path) -> Iterator[dict[str, Any]]:
    from evfsam.batch.results import parquet

    with _reading(path, "Parquet table"):
        names = parquet().read_schema(path).names
        table = parquet().read_table(path, columns=[name for name in (*COLUMNS, "prompts") if name in names])
        yield from table.to_pylist()


def _content(path: Path, most: int = -1) -> bytes:
    with _reading(path, "file that can be read"), path.open("rb") as file:
        return file.read(most)


_TABLES = {".txt": _of_list, ".csv": _of_csv, ".parquet": _of_parquet}


def read_prompts(path: str) -> tuple[str, ...]:
    """The prompts of a text file in UTF-8, one per line. Raises InputError if it is missing, too long or has none."""
    if not os.path.exists(path) or os.path.isdir(path):
        raise InputError(f"There is no file {shown(path)}: give a text file with one prompt per line.")
    content = _content(Path(path), MOST_PROMPT_BYTES + 1)
    if len(content) > MOST_PROMPT_BYTES:
        raise _too_long(path)
    prompts = tuple(line.strip() for line in _text(content, Path(path)).splitlines() if line.strip())
    if not prompts:
        raise InputError(f"{shown(path)} is empty: write one prompt per line.")
    return prompts
