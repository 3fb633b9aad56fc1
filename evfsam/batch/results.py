"""The results of a batch: Parquet files with one row per item, prompt and frame, and COCO JSON made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from evfsam.errors import InputError
from evfsam.media.export import encode_rle
from evfsam.types import Segmentation

ROWS_AT_ONCE = 500  # that a part collects before it writes them
COCO_NAME, BAD_NAME = "coco.json", "bad.txt"


def parquet() -> ModuleType:
    """pyarrow.parquet. Raises InputError where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise InputError("Parquet files need pyarrow: pip install -r requirements-scale.txt.") from None
    return pyarrow.parquet


def schema():
    """The columns of a part.

    ``frame`` is null for images. ``rle`` is COCO's compressed run lengths, of ``height`` x ``width``. A box is null for
    an empty mask. A bad item has one row, with ``error`` and nothing else.
    """
    import pyarrow as pa

    whole, text = pa.int32(), pa.string()
    return pa.schema(
        [
            pa.field("item", text, nullable=False),
            pa.field("prompt_index", whole),
            pa.field("prompt", text),
            pa.field("frame", whole),
            pa.field("score", pa.float32()),
            pa.field("presence", pa.float32()),
            pa.field("height", whole),
            pa.field("width", whole),
            pa.field("area", pa.int64()),
            *(pa.field(name, whole) for name in ("x_min", "y_min", "x_max", "y_max")),
            pa.field("rle", text),
            pa.field("error", text),
        ]
    )


def row(item: str, index: int, found: Segmentation, frame: int | None = None) -> dict[str, Any]:
    """One answer as a row."""
    box = found.box_xyxy or (None,) * 4
    height, width = found.mask.shape
    return {
        "item": item,
        "prompt_index": index,
        "prompt": found.prompt,
        "frame": frame,
        "score": found.score,
        "presence": found.presence,
        "height": height,
        "width": width,
        "area": int(found.mask.sum()),
        **dict(zip(("x_min", "y_min", "x_max", "y_max"), box, strict=True)),
        "rle": encode_rle(found.mask)["counts"],
    }


def part_name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def write_part(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a part under its name when it is whole: a part that is there is complete, and is never written again."""
    import pyarrow as pa

    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with parquet().ParquetWriter(unfinished, schema()) as writer:
            for some in _groups(rows):
                writer.write_table(pa.Table.from_pylist(some, schema()))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    for one in rows:
        some.append(one)
        if len(some) == ROWS_AT_ONCE:
            yield some
            some = []
    yield some


def read_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """All rows of a batch, in the order of its items."""
    for path in sorted(folder.glob("part-*.parquet")):
        for group in parquet().ParquetFile(path).iter_batches(ROWS_AT_ONCE):
            yield from group.to_pylist()


def write_bad(folder: Path) -> int:
    """Write ``bad.txt``, one line per item that could not be answered, if there is one; returns how many there are."""
    lines = [f"{one['item']}: {one['error']}\n" for one in read_rows(folder) if one["error"] is not None]
    path = folder / BAD_NAME
    path.unlink(missing_ok=True)
    if lines:
        path.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
    return len(lines)


def write_coco(folder: Path) -> Path:
    """One COCO document of a batch: an image per item, or per frame of a clip; a category per prompt."""
    path = folder / COCO_NAME
    images: dict[tuple, int] = {}
    categories: dict[str, int] = {}
    unfinished = path.with_name(f".{path.name}")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        count = 0
        for one in read_rows(folder):
            if one["error"] is not None:
                continue
            size = one["height"], one["width"]
            image = images.setdefault((one["item"], one["frame"], *size), len(images) + 1)
            category = categories.setdefault(one["prompt"], len(categories) + 1)
            if one["x_min"] is None:
                continue
            left, top, right, bottom = (one[name] for name in ("x_min", "y_min", "x_max", "y_max"))
            annotation = {
                "id": (count := count + 1),
                "image_id": image,
                "category_id": category,
                "segmentation": {"size": list(size), "counts": one["rle"]},
                "area": one["area"],
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
                "score": one["score"],
            }
            file.write(("" if count == 1 else ",\n") + json.dumps(annotation))
        known = [{"id": number, "name": name} for name, number in categories.items()]
        named = [
            {"id": number, "file_name": item, "height": height, "width": width}
            | ({} if frame is None else {"frame": frame})
            for (item, frame, height, width), number in images.items()
        ]
        file.write(f'],\n"categories": {json.dumps(known)},\n"images": {json.dumps(named)}}}\n')
    os.replace(unfinished, path)
    return path
