"""As many models as fit are held; the least recently used goes, and its memory with it."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from evfsam.checkpoints.load import load_checkpoint
from evfsam.checkpoints.pool import ModelPool, weight_bytes
from evfsam.errors import CheckpointError
from tests.checkpoints.small import write_checkpoint

KB = 1024


def model_of(kilobytes: int) -> SimpleNamespace:
    return SimpleNamespace(model=nn.ParameterList([nn.Parameter(torch.zeros(kilobytes * KB // 4))]))


def fill(pool: ModelPool, sizes: dict[str, int], told: bool = True) -> None:
    for key, size in sizes.items():
        pool.get(key, lambda size=size: model_of(size), size * KB if told else 0)


@pytest.mark.parametrize("told", [True, False], ids=["size known before", "size unknown before"])
@pytest.mark.parametrize(
    ("sizes", "held"),
    [
        ({"a": 40, "b": 40}, ("a", "b")),
        ({"a": 40, "b": 40, "c": 40}, ("b", "c")),
        ({"a": 40, "b": 40, "c": 90}, ("c",)),
        ({"a": 40, "b": 500}, ("b",)),
        ({"a": 500}, ("a",)),
        ({"a": 10, "b": 10, "c": 10, "d": 80}, ("b", "c", "d")),
    ],
)
def test_the_least_recently_used_are_let_go(sizes, held, told):
    pool = ModelPool(budget_bytes=100 * KB)
    fill(pool, sizes, told)
    assert pool.keys() == held


def test_asking_again_loads_nothing_and_counts_as_use():
    pool = ModelPool(budget_bytes=100 * KB)
    fill(pool, {"a": 40, "b": 40})
    first = pool.get("a", lambda: pytest.fail("loaded again"))
    fill(pool, {"c": 40})
    assert pool.keys() == ("a", "c")
    assert pool.get("a", lambda: pytest.fail("loaded again")) is first


def test_room_is_made_before_loading():
    pool = ModelPool(budget_bytes=100 * KB)
    fill(pool, {"a": 80})
    alive = weakref.ref(pool.get("a", model_of).model)

    def load():
        assert alive() is None, "both lie in memory"
        return model_of(80)

    pool.get("b", load, 80 * KB)


def test_a_model_in_use_lives_on_and_goes_with_its_user():
    pool = ModelPool(budget_bytes=100 * KB)
    used = pool.get("a", lambda: model_of(80), 80 * KB)
    alive = weakref.ref(used.model)
    fill(pool, {"b": 80})
    assert alive() is used.model
    del used
    gc.collect()
    assert alive() is None


def test_a_failure_is_passed_on_and_leaves_what_was_held():
    pool = ModelPool(budget_bytes=100 * KB)
    fill(pool, {"a": 40})

    def fail():
        raise CheckpointError("It is not here.")

    with pytest.raises(CheckpointError):
        pool.get("b", fail, 10 * KB)
    assert pool.keys() == ("a",)


def test_two_threads_load_once():
    pool = ModelPool(budget_bytes=100 * KB)
    loads, together = [], threading.Barrier(4)

    def load():
        loads.append(1)
        time.sleep(0.05)
        return model_of(40)

    def ask():
        together.wait(timeout=10)
        pool.get("a", load)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(loads) == 1


def test_real_checkpoints_leave_nothing_behind(tmp_path):
    """Every tensor of a model let go is freed: nobody else keeps it."""
    for name in ("one", "two"):
        write_checkpoint(tmp_path / name)
    loaded = load_checkpoint(tmp_path / "one")
    pool = ModelPool(budget_bytes=weight_bytes(loaded.model) * 3 // 2)
    tensors = [weakref.ref(tensor) for tensor in (*loaded.model.parameters(), *loaded.model.buffers())]
    pool.get("one", lambda kept=loaded: kept)
    del loaded
    assert all(tensor() is not None for tensor in tensors)
    pool.get("two", lambda: load_checkpoint(tmp_path / "two"), weight_bytes(pool.get("one", dict).model))
    assert pool.keys() == ("two",)
    assert not any(tensor() is not None for tensor in tensors)
    pool.clear()
    assert pool.keys() == ()
