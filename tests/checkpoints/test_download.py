"""Downloads that several people watch, from a Hub on loopback, in processes with the variables a user would set."""

from __future__ import annotations

import pytest

from evfsam.checkpoints.download import Progress
from tests.checkpoints.fake_hub import fake_hub
from tests.checkpoints.test_fetch import NAME, published, run

WEIGHTS = "model.safetensors"
GIGABYTE = 10**9
START = """
import json, sys, time
from pathlib import Path
from evfsam.checkpoints import fetch
from evfsam.checkpoints.download import Downloads
from evfsam.checkpoints.registry import find
from huggingface_hub.constants import HF_HUB_CACHE

info, downloads = find("evf-sam2"), Downloads()

def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)

def kept():
    return sum(path.stat().st_size for path in Path(HF_HUB_CACHE).rglob("*.incomplete"))

def tell(**facts):
    print(json.dumps(facts))
"""


@pytest.fixture
def hub(tmp_path):
    with fake_hub() as hub:
        hub.folders[NAME] = published(tmp_path / "published")
        yield hub


def test_one_download_for_all_who_want_it_with_its_speed(hub, tmp_path):
    hub.zeros[WEIGHTS] = 40_000_000
    hub.bytes_per_second = 20_000_000
    script = """
one, two = downloads.start(info, "one"), downloads.start(info, "two")
until(lambda: one.progress().bytes_per_second)
speed = one.progress().bytes_per_second
one.wait()
tell(same=one is two, speed=speed, here=one.progress().here, whole=one.progress().whole, ended=not one.running,
     there=fetch.local_folder(info) is not None)
"""
    told = run(START + script, hub=hub, home=tmp_path)
    assert told["same"] and told["ended"] and told["there"]
    assert told["here"] == told["whole"] > hub.zeros[WEIGHTS]
    assert 1e6 < told["speed"] < 30e6
    assert sum(path.endswith(WEIGHTS) for path in hub.asked) <= 3  # two looks and one download


def test_who_cancels_stops_it_only_when_nobody_else_waits_and_the_next_one_goes_on(hub, tmp_path):
    hub.zeros[WEIGHTS] = GIGABYTE
    hub.bytes_per_second = 20_000_000
    script = """
download = downloads.start(info, "one")
downloads.start(info, "two")
until(lambda: kept() > 1_000_000)
still = not downloads.cancel("one") and downloads.wanted("two") and not downloads.wanted("one")
stopped = downloads.cancel("two") and downloads.running(info.name) is None
download.wait()
tell(still=still, stopped=stopped, kept=kept(), there=fetch.local_folder(info) is not None)
"""
    first = run(START + script, hub=hub, home=tmp_path)
    assert first["still"] and first["stopped"] and not first["there"]
    hub.zeros[WEIGHTS], hub.bytes_per_second = GIGABYTE, None
    again = """
before = kept()
downloads.start(info, "three").wait()
tell(before=before, there=fetch.local_folder(info) is not None)
"""
    assert run(START + again, hub=hub, home=tmp_path) == {"before": first["kept"], "there": True}
    assert hub.ranges == [first["kept"]]


def test_a_server_that_falls_silent_can_be_left_and_asked_again_at_once(hub, tmp_path):
    hub.zeros[WEIGHTS] = 10_000_000
    hub.bytes_per_second = 20_000  # a piece of 1 kB each 50 ms: it would take minutes
    script = """
download = downloads.start(info, "one")
until(lambda: kept() > 0)
start = time.monotonic()
downloads.cancel("one")
again = downloads.start(info, "one")
tell(other=again is not download, seconds=time.monotonic() - start)
downloads.cancel("one")
again.wait()
"""
    told = run(START + script, hub=hub, home=tmp_path)
    assert told["other"] and told["seconds"] < 1


@pytest.mark.parametrize(
    ("progress", "left"), [(Progress(), None), (Progress(10, 110, 50.0), 2.0), (Progress(10, 110, 0.0), None)]
)
def test_time_left(progress, left):
    assert progress.seconds_left == left
