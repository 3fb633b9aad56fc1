"""Where a model runs: its device, its precision, and one forward pass at a time."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from evfsam.errors import InputError

# device type -> the precisions it supports; the first is the default.
PRECISIONS: dict[str, tuple[str, ...]] = {
    "cpu": ("fp32", "bf16"),  # bf16: half the memory, but slow on a CPU without bf16
    "cuda": ("fp16", "bf16", "fp32", "8bit", "4bit"),  # fp16 as the authors: nearer to float32 than bf16
    "mps": ("fp16", "fp32"),
}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
QUANTIZED_BITS = {"8bit": 8, "4bit": 4}  # of the encoder's weights; all others are fp16


@dataclass(frozen=True)
class Runtime:
    """A device, and the dtype of matrix products on it; see ``EvfSam.half_parameters``.

    ``quantized_bits``: 8 or 4 if the encoder's weights are quantized (:mod:`evfsam.checkpoints.quantize`), else None.
    """

    device: torch.device
    dtype: torch.dtype
    quantized_bits: int | None = None

    @cached_property
    def precision(self) -> str:
        """The name of the precision, a value of :data:`PRECISIONS`."""
        if self.quantized_bits:
            return f"{self.quantized_bits}bit"
        return next(name for name, dtype in DTYPES.items() if dtype == self.dtype)


def choose_runtime(device: str = "auto", precision: str = "auto") -> Runtime:
    """The device and precision to run with.

    Args:
        device: "cpu", "cuda", "cuda:1" or "mps"; "auto" takes CUDA, else MPS, else the CPU.
        precision: see :data:`PRECISIONS`; "auto" takes the first one of the device.

    Raises InputError if there is no such device, or if it does not support the precision.
    """
    chosen = _available_device() if device in ("auto", "", None) else _named_device(device)
    known = PRECISIONS[chosen.type]
    if precision in ("auto", "", None):
        precision = known[0]
    if precision not in known:
        raise InputError(f"Precision {precision!r} is not offered on {chosen.type}; choose {', '.join(known)} or auto.")
    if precision in QUANTIZED_BITS:
        return Runtime(chosen, torch.float16, QUANTIZED_BITS[precision])
    return Runtime(chosen, DTYPES[precision])


def _available_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _named_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"Unknown device {name!r}; choose one of auto, {', '.join(PRECISIONS)}.") from None
    if device.type not in PRECISIONS:
        raise InputError(f"Device {name!r} is not supported; choose one of auto, {', '.join(PRECISIONS)}.")
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if not available[device.type]():
        raise InputError(f"There is no {device.type} device on this machine; use --device auto or cpu.")
    return device


def weight_budget_bytes(device: torch.device) -> int:
    """The memory, in bytes, that the weights of all loaded models may take: half of the device's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] // 2
    if device.type == "mps":
        return torch.mps.recommended_max_memory() // 2
    if not hasattr(os, "sysconf"):  # Windows
        return 8 * 10**9
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


_LOCK = threading.RLock()


def free_bytes(device: torch.device) -> int | None:
    """The memory of a device, in bytes, that nobody uses at the moment; None if the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    try:
        told = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:  # not Linux
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", told, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


@contextmanager
def model_step(runtime: Runtime, half: bool = True) -> Iterator[None]:
    """The context of every forward pass: no gradients, autocast for half precision, one thread at a time.

    Do not ``yield`` from a generator inside it: a slow consumer would block all other threads.

    Args:
        half: False for steps that always run in float32; their weights and inputs must be float32.
    """
    # Matrix products in half precision, norms and sums in float32.
    half = half and runtime.dtype != torch.float32
    with _LOCK, torch.inference_mode(), torch.autocast(runtime.device.type, runtime.dtype, enabled=half):
        yield
