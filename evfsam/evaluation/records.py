"""One record per prompt and answerer. A report is computed from records; a file of them lets a run go on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from evfsam.errors import InputError
from evfsam.evaluation.metrics import Counts
from evfsam.evaluation.video_metrics import FrameCounts


@dataclass(frozen=True)
class Record:
    """How one prompt of one sample was answered.

    Attributes:
        index: of the sample in its data set.
        name: of the sample.
        number: of the prompt in its sample.
        prompt: its text.
        kind: the group of the prompt, for example "referring/place".
        answerer: who answered.
        counts: what was compared.
    """

    index: int
    name: str
    number: int
    prompt: str
    kind: str
    answerer: str
    counts: Counts | FrameCounts

    @property
    def key(self) -> tuple[int, int]:
        """The same for every answer to the same prompt."""
        return self.index, self.number

    def to_json(self) -> dict[str, Any]:
        """A flat dict: who and what, the IoU (of a clip the mean J), and the counts."""
        row = {name: value for name, value in vars(self).items() if name != "counts"}
        return {**row, "iou": self.counts.iou, **asdict(self.counts)}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Record:
        """The inverse of :meth:`to_json`. Raises KeyError if something is missing."""
        shape = FrameCounts if "j" in row else Counts
        counts = shape(**{name: row[name] for name in shape.__dataclass_fields__})
        return cls(**{name: row[name] for name in cls.__dataclass_fields__ if name != "counts"}, counts=counts)


def open_records(path: Path, run: dict[str, Any], resume: bool) -> tuple[list[Record], TextIO]:
    """Open a file of records for writing.

    Args:
        path: of the file.
        run: what all records of the file have in common, for example the model; stands in every line.
        resume: keep the records of finished samples that the file holds, else begin anew.

    Returns these records and the file, which holds them already. Raises InputError if the file belongs to another run,
    holds something else, or cannot be written.
    """
    try:
        kept = read_records(path, run) if resume and path.exists() else []
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8", errors="backslashreplace")
        write_records(file, run, kept)
    except OSError as error:
        raise InputError(f"'{path}' cannot be used ({error.strerror}): choose another file.") from None
    return kept, file


def write_records(file: TextIO, run: dict[str, Any], records: Iterable[Record]) -> None:
    """One JSON line per record, on the disk when this returns."""
    lines = [json.dumps({**run, **record.to_json()}, ensure_ascii=False) + "\n" for record in records]
    file.write("".join(lines))
    file.flush()


def read_records(path: Path, run: dict[str, Any]) -> list[Record]:
    """The records of a file without its last sample, which may be unfinished.

    Raises InputError if a line is of another run or is no record.
    """
    records = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line break is cut off
        try:
            row = json.loads(line)
            records.append(Record.from_json(row))
            other = [name for name in run if row[name] != run[name]]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"Line {number} of '{path}' is no record: choose another file, or leave --resume out."
            ) from None
        if other:
            raise InputError(
                f"'{path}' belongs to another run ({other[0]} {row[other[0]]!r} there, {run[other[0]]!r} here): "
                "choose another file, or leave --resume out."
            )
    last = records[-1].index if records else None
    return [record for record in records if record.index != last]
