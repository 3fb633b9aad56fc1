"""``python -m evfsam models``: the checkpoints that have a name, their capabilities, and which are on this disk."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evfsam import DEFAULT_MODEL
from evfsam.checkpoints.layout import size_text

if TYPE_CHECKING:
    from evfsam.checkpoints.registry import CheckpointInfo

HEADINGS = ("name", "parameters", "on this disk", "memory", "licence", "trained for")


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "models",
        help="list the checkpoints, and other systems to compare with",
        description=f"List the checkpoints that have a name. The default is {DEFAULT_MODEL}. --model also takes a "
        "folder, or owner/name on the Hugging Face Hub. Memory is that of the weights in float32.",
    )
    parser.add_argument("--json", action="store_true", help="print all facts as JSON")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from evfsam.checkpoints.fetch import local_folder, local_repository
    from evfsam.checkpoints.registry import describe_folder, list_models
    from evfsam.cli.outputs import write_json
    from evfsam.systems.registry import is_here, list_systems

    rows = [(info, local_folder(info)) for info in list_models()]
    rows = [
        (info if folder is None else replace(info, file_bytes=describe_folder(folder).file_bytes), folder)
        for info, folder in rows
    ]
    for info in list_systems():
        find = local_repository if info.on_hub else Path
        rows.append((info, find(info.source) if is_here(info) else None))
    if args.json:
        models = [{**asdict(info), "folder": None if folder is None else str(folder)} for info, folder in rows]
        write_json({"models": models}, "-")
        return 0
    sys.stdout.write(table([HEADINGS, *(cells(info, folder is not None) for info, folder in rows)]))
    return 0


def cells(info: CheckpointInfo, on_disk: bool) -> tuple[str, ...]:
    """A row of the table."""
    size = "" if info.file_bytes is None else f", {size_text(info.file_bytes)}"
    memory = info.memory_bytes()
    return (
        info.name,
        "?" if info.parameters is None else f"{info.parameters / 1e6:,.0f} M",
        f"yes{size}" if on_disk else "no",
        "?" if memory is None else size_text(memory),
        info.licence,
        ", ".join(info.capabilities),
    )


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "".join(line.rstrip() + "\n" for line in lines)
