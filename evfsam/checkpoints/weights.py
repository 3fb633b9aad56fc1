"""Tensors from weight files: safetensors or pickles, memory-mapped.

Names, shapes and dtypes are read first, without the values, so that a file that does not fit costs no memory.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from evfsam.checkpoints.layout import check_file, damaged, label, some
from evfsam.errors import CheckpointError

_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}  # safetensors' names -> torch's
_MOST_HEADER_BYTES = 4_000_000  # the published ones have 0.3 MB
_MOST_PICKLE_BYTES = 1_000_000  # of a pickle without its values; torch's reader needs 2 seconds for as much


@dataclass(frozen=True)
class TensorHeader:
    """A tensor as its file describes it. ``dtype``: torch's name of it ("float16") if it is a float."""

    shape: tuple[int, ...]
    dtype: str
    file: Path


def read_headers(files: list[Path]) -> dict[str, TensorHeader]:
    """Every tensor of ``files`` by its name, read without its values.

    Raises CheckpointError if a file is damaged or unsafe, or if a tensor is there twice or holds no floats.
    """
    headers: dict[str, TensorHeader] = {}
    for path in files:
        read = _safetensors_headers if path.suffix == ".safetensors" else _pickle_headers
        for name, header in read(path).items():
            if name in headers:
                raise CheckpointError(
                    f"{label(path)} and {headers[name].file.name} hold one tensor twice ({some([name])}); "
                    "download them again."
                )
            if header.dtype not in _FLOATS.values():
                raise CheckpointError(
                    f"{label(path)} holds {some([name])} as {header.dtype}; "
                    f"use weights in one of {', '.join(_FLOATS.values())}."
                )
            headers[name] = header
    return headers


def read_tensors(files: list[Path], device: str | torch.device) -> Iterator[tuple[str, torch.Tensor]]:
    """Each tensor of ``files`` with its name, in the file's dtype, on ``device``; call :func:`read_headers` first.

    On the CPU a tensor is a private view of the file: its pages come from disk when they are first read, and
    writing to it leaves the file as it is. Raises CheckpointError if a value is NaN or infinite.
    """
    for path in files:
        with _open(path) as (keys, read):
            for key in keys:
                tensor = read(key).detach()
                _check_finite(path, key, tensor)
                # Not by safetensors' own device argument, which goes past the CUDA that ZeroGPU imitates at start.
                yield key, tensor.to(device)


def _check_finite(path: Path, name: str, tensor: torch.Tensor) -> None:
    """Extremes pass NaN on, and finding them needs no memory."""
    if tensor.numel() and not torch.stack(torch.aminmax(tensor)).isfinite().all():
        raise CheckpointError(
            f"{label(path)} holds NaN or infinite values in {some([name])}; use a checkpoint whose training went well."
        )


@contextmanager
def _open(path: Path) -> Iterator[tuple[list[str], Callable[[str], torch.Tensor]]]:
    """The names in one file and a function that reads one of them."""
    if path.suffix == ".safetensors":
        with safe_open(str(path), framework="pt") as file:
            yield list(file.keys()), file.get_tensor
    else:
        state = read_pickle(path)
        yield list(state), state.__getitem__


def _safetensors_headers(path: Path) -> dict[str, TensorHeader]:
    check_file(path)
    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > _MOST_HEADER_BYTES:
            raise damaged(path, "it is no safetensors file, or its header is too large;")
    try:
        with safe_open(str(path), framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: TensorHeader(tuple(part.get_shape()), _FLOATS.get(part.get_dtype(), part.get_dtype()), path)
                for name, part in slices.items()
            }
    except Exception:  # the library raises anything for a forged header
        raise damaged(path) from None


def _pickle_headers(path: Path) -> dict[str, TensorHeader]:
    check_file(path)
    state = read_pickle(path, values=False)
    return {
        name: TensorHeader(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), path)
        for name, tensor in state.items()
    }


def read_pickle(path: Path, values: bool = True) -> dict[str, torch.Tensor]:
    """A ``pytorch_model.bin``: tensors by name, memory-mapped where its format allows it.

    No code in the file is ever run: only torch's reader of plain tensors is used. ``values``: False to read only
    names, shapes and dtypes.

    Raises CheckpointError if the file carries code, is damaged, or holds anything but tensors.
    """
    zipped = zipfile.is_zipfile(path)
    try:
        if zipped:
            _check_zip(path)
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        elif values:
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:  # the format before torch 1.6: pickles, then the values, which are left out
            with path.open("rb") as file, torch.serialization.skip_data():
                head = io.BytesIO(file.read(_MOST_PICKLE_BYTES))
                state = torch.load(head, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not zipped and not _names_code(path):
            raise damaged(path, "it is no file of weights;") from None
        raise CheckpointError(
            f"{label(path)} is not a plain file of tensors and was refused, because it may want to run code; "
            "use model.safetensors from a source you trust."
        ) from None
    except Exception:  # the reader raises anything for a forged file
        raise damaged(path) from None
    if not isinstance(state, dict) or not all(_is_named_tensor(*item) for item in state.items()):
        raise CheckpointError(f"{label(path)} is not a table of tensors by name; use a checkpoint of the evf layout.")
    return state


def _is_named_tensor(name: object, value: object) -> bool:
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        return False
    return value.layout is torch.strided and not value.is_quantized and value.device.type == "cpu"


class _SmallReads(io.FileIO):
    """A file whose directory must be small: the zip reader takes it into memory in one piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_HEADER_BYTES:
            raise ValueError("the directory of the zip file is too large")
        return super().read(size)


def _check_zip(path: Path) -> None:
    """Raise ValueError if what is not values is large, or if values are compressed and cannot be mapped."""
    with zipfile.ZipFile(_SmallReads(path)) as archive:
        for entry in archive.infolist():
            is_values = entry.filename.split("/")[1:2] == ["data"]
            if entry.compress_type != zipfile.ZIP_STORED or (not is_values and entry.file_size > _MOST_PICKLE_BYTES):
                raise ValueError(f"{entry.filename} is compressed or too large")


def _names_code(path: Path) -> bool:
    """Whether one of the pickles in a file asks for a function or class by name; junk asks for nothing."""
    with path.open("rb") as file:
        head = io.BytesIO(file.read(_MOST_PICKLE_BYTES))
    try:
        while not any(code.name in ("GLOBAL", "STACK_GLOBAL", "INST") for code, _, _ in pickletools.genops(head)):
            pass  # the next pickle
    except Exception:  # here the pickles end
        return False
    return True
