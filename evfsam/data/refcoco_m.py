"""RefCOCO-M (moondream/refcoco-m): RefCOCO's validation images with masks that follow the edges, in parquet files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from evfsam.data.files import as_text, checked
from evfsam.data.masks import to_mask
from evfsam.data.sample import REFERRING, Prompt, Sample
from evfsam.errors import InputError
from evfsam.media.images import open_image


class RefCocoMDataset:
    """The images, each with the sentences of all its objects."""

    def __init__(self, root: Path):
        self.name = "refcoco-m:val"
        self.rows: list[tuple[Path, int, int]] = []  # file, group of rows, row in the group
        parquet = _parquet()
        root = root / "refcoco-m" if (root / "refcoco-m").is_dir() else root
        for path in sorted(root.rglob("*.parquet")):
            with checked(path), parquet.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    self.rows += [(path, group, row) for row in range(file.metadata.row_group(group).num_rows)]
        if not self.rows:
            raise InputError(f"{root} holds no .parquet file with rows: lay the files out as docs/data.md shows.")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        path, group, row = self.rows[index]
        with checked(path):
            entry = _read_group(path, group)[row]
            data, name, samples = entry["image"]["bytes"], str(entry["image_id"]), entry["samples"]
        where = f"image {name} of {path}"
        try:
            image = open_image(data or b"")
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        prompts = []
        for sample in samples:
            with checked(path):
                number, mask = sample["id"], sample["mask"]
                sentences = [as_text(sentence) for sentence in sample["sentences"]]
            mask = to_mask(mask, image.shape[:2], where)
            prompts += [Prompt(text, mask, REFERRING, object_id=_number(number)) for text in sentences]
        return Sample(name, image, tuple(prompts))

    def texts(self) -> list[str]:
        """Every sentence."""
        said = []
        for path, group in dict.fromkeys((path, group) for path, group, _ in self.rows):
            with checked(path), _parquet().ParquetFile(path) as file:
                rows = file.read_row_group(group, ["samples"]).to_pylist()
                said += [as_text(text) for row in rows for sample in row["samples"] for text in sample["sentences"]]
        return said


def _number(text: Any) -> int | None:
    return int(text) if str(text).isdigit() else None


@lru_cache(maxsize=2)  # rows are asked for one after the other
def _read_group(path: Path, group: int) -> list[dict]:
    with _parquet().ParquetFile(path) as file:
        return file.read_row_group(group, ["image", "image_id", "samples"]).to_pylist()


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError("RefCOCO-M needs the package pyarrow: run pip install pyarrow.") from None
    return parquet


def open_refcoco_m(split: str, root: Path) -> RefCocoMDataset:
    """Raises InputError if ``root`` holds no parquet file, or pyarrow is not installed."""
    return RefCocoMDataset(root)
