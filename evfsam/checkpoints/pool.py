"""Keeps several loaded checkpoints in memory, as many as fit; the least recently used one is dropped first."""

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
    """A LoadedCheckpoint, a Predictor, or anything else that holds a model."""

    model: nn.Module


T = TypeVar("T", bound=HasModel)


class ModelPool(Generic[T]):
    """A cache of loaded models with a memory budget.

    Models are dropped before a new one is loaded, so that the old and the new one are not in memory together. The
    newest model is kept even if it alone exceeds the budget. Threads may share a pool: while one loads, the others
    wait. A dropped model lives on for as long as somebody uses it.
    """

    def __init__(self, budget_bytes: int):
        """``budget_bytes``: the most bytes that the weights of all kept models may take together."""
        self.budget_bytes = budget_bytes
        self._held: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, load: Callable[[], T], expected_bytes: int = 0) -> T:
        """The model kept under ``key``, or else the one that ``load`` returns.

        Args:
            key: everything that tells one loaded model from another, such as name and precision.
            load: called with the pool's lock held. Its errors are passed on, and nothing is kept then.
            expected_bytes: size of its weights, 0 if not known.
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
        """Drop all models."""
        with self._lock:
            self._held.clear()
            return_memory()

    def keys(self) -> tuple[Hashable, ...]:
        """The keys of all kept models, the least recently used first."""
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
    """Size of a model's parameters and buffers in bytes."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def return_memory() -> None:
    """Return freed memory: collect cycles, empty the GPU cache, return free pages of the heap to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(_c_library(), "malloc_trim", None)  # only glibc has it, and only glibc needs it
    if trim is not None:
        trim(0)


def _c_library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows
        return None
