"""Several checkpoints in turn: as many as fit stay in memory, the least recently used is let go."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

import torch
from torch import nn


class HasModel(Protocol):
    """A LoadedCheckpoint, a Predictor, or whatever else holds a model."""

    model: nn.Module


T = TypeVar("T", bound=HasModel)


class ModelPool(Generic[T]):
    """Keeps what was loaded, as much of it as fits.

    Room is made before something new is loaded, so that at a switch not both lie in memory; what was asked for
    last is held even if it alone is more than the budget. Safe to share between threads: who asks while another
    loads waits. A model let go lives on for those who still use it.
    """

    def __init__(self, budget_bytes: int):
        """``budget_bytes``: what the weights of all models held may take together."""
        self.budget_bytes = budget_bytes
        self._held: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], T], expected_bytes: int = 0) -> T:
        """What is held under ``key``, or else what ``load`` makes.

        Args:
            key: name and precision, say: all that tells one loaded model from another.
            load: called with the pool's lock held; what it raises is passed on, and nothing is kept.
            expected_bytes: what its weights will take (``CheckpointInfo.memory_bytes``), 0 if not known.
        """
        with self._lock:
            held = self._held.pop(key, None)
            if held is None:
                self._make_room(expected_bytes)
                held = load()
                self._make_room(weight_bytes(held.model))
            self._held[key] = held
            return held

    def clear(self) -> None:
        """Let all models go."""
        with self._lock:
            self._held.clear()
            return_memory()

    def keys(self) -> tuple[Hashable, ...]:
        """What is held, the least recently used first."""
        return tuple(self._held)

    def _make_room(self, wanted_bytes: int) -> None:
        before = len(self._held)
        while self._held and self._held_bytes() + wanted_bytes > self.budget_bytes:
            self._held.popitem(last=False)
        if len(self._held) < before:
            return_memory()

    def _held_bytes(self) -> int:
        return sum(weight_bytes(held.model) for held in self._held.values())


def weight_bytes(model: nn.Module) -> int:
    """What a model's parameters and buffers take."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def return_memory() -> None:
    """Give freed memory back: cycles to Python, cached blocks to the GPU, the heap's free pages to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(_c_library(), "malloc_trim", None)  # glibc has it, others have no need of it
    if trim is not None:
        trim(0)


def _c_library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows
        return None
