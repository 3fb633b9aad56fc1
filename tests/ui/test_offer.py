"""What is offered for a download, when it is refused, and what the page says of one on its way."""

from __future__ import annotations

import gradio as gr
import pytest
import torch

from evfsam.checkpoints.download import Download, Progress
from evfsam.checkpoints.registry import find
from evfsam.errors import CheckpointError
from evfsam.runtime import Runtime
from evfsam.ui import checkpoints as module
from evfsam.ui.checkpoints import Checkpoints
from evfsam.ui.offer import Offer, about, progress_html
from evfsam.ui.settings import read_settings

ON_CPU = Runtime(torch.device("cpu"), torch.float32)
BEST = "evf-sam2-multitask"


@pytest.fixture(autouse=True)
def nothing_published_is_here(monkeypatch):
    monkeypatch.setattr(module, "local_folder", lambda info: None if info.on_hub else info.source)
    monkeypatch.setattr(module, "is_offline", lambda: False)


@pytest.mark.parametrize(
    ("chosen", "offered"), [("evf-sam2-tiny", BEST), ("evf-sam", "evf-sam"), (BEST, BEST), ("evf-sam2-tiny-coco", BEST)]
)
def test_what_is_offered_beside_the_chosen_checkpoint(chosen, offered):
    assert Checkpoints([], ON_CPU).to_get(chosen).name == offered


def test_nothing_is_offered_once_it_is_here(monkeypatch):
    monkeypatch.setattr(module, "local_folder", lambda info: None if info.name == "evf-sam" else info.source)
    checkpoints = Checkpoints([], ON_CPU)
    assert checkpoints.to_get("evf-sam2-tiny") is None
    assert checkpoints.to_get("evf-sam").name == "evf-sam"
    assert checkpoints.for_photographs().name == BEST


def test_where_the_operator_forbids_downloads_what_is_not_here_is_not_offered():
    checkpoints = Checkpoints(["evf-sam2"], ON_CPU, download=False)
    assert BEST not in checkpoints.models
    assert checkpoints.to_get("evf-sam2-tiny") is None
    with pytest.raises(CheckpointError, match="nobody may download it here; choose evf-sam2-tiny"):
        checkpoints.get("evf-sam2", "somebody")


@pytest.mark.parametrize(
    ("dtype", "free", "sentence"),
    [
        (torch.float32, 3 * 10**9, f"{BEST} needs 4.9 GB of memory, but 3.0 GB are free"),
        (torch.float16, 10**9, f"{BEST} needs 3.1 GB of memory, but 1.0 GB are free"),
    ],
)
def test_too_little_memory_is_told_before_the_download(monkeypatch, dtype, free, sentence):
    monkeypatch.setattr(module, "free_bytes", lambda device: free)
    checkpoints = Checkpoints([], Runtime(torch.device("cpu"), dtype))
    with pytest.raises(CheckpointError, match=sentence):
        checkpoints.get(BEST, "somebody")
    assert checkpoints.downloads.running(BEST) is None


def test_a_machine_with_a_gpu_and_a_network_proposes_it(monkeypatch):
    reached = []
    monkeypatch.setattr(module, "can_be_reached", lambda info: not reached.append(info.name))
    on_gpu = Checkpoints([], Runtime(torch.device("cuda"), torch.float16))
    on_gpu.propose()
    assert on_gpu.proposed.name == BEST and reached == [BEST]
    with gr.Blocks():
        offer = Offer(on_gpu, "evf-sam2-tiny")
    _, line, button, later, _ = offer._offered("evf-sam2-tiny")
    assert "This machine can run it" in line and "needs 3.6 GB of disk, 3.1 GB of GPU memory" in line
    assert button["variant"] == "primary" and later["visible"]
    _, line, button, later, _ = offer._offered("evf-sam2-tiny", declined=BEST)
    assert "Any words, any picture" in line and button["variant"] == "secondary" and not later["visible"]
    monkeypatch.setattr(module, "local_folder", lambda info: None if info.name == BEST else info.source)
    another = Download(find("evf-sam"), lambda info, report: None)
    another.wait()
    assert [offer._ended(another.info, another, name)[3]["visible"] for name in ("", BEST)] == [True, False]
    on_cpu = Checkpoints([], ON_CPU)
    on_cpu.propose()
    assert on_cpu.proposed is None and reached == [BEST], "the Hub was asked without need"


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (Progress(), "asking the Hub …"),
        (Progress(1_000_000, 3_600_000_000), "1 MB of 3.6 GB<"),
        (Progress(1_200_000_000, 3_600_000_000, 25e6), "1.2 GB of 3.6 GB · 25 MB/s · about 2 min left<"),
        (Progress(3_599_000_000, 3_600_000_000, 25e6), "3.6 GB of 3.6 GB · 25 MB/s · about 1 s left<"),
        (Progress(1_000_000, 3_600_000_000, 0.0), "1 MB of 3.6 GB · 0 MB/s<"),
    ],
)
def test_how_far_a_download_is(progress, told):
    html = progress_html(find(BEST), progress)
    assert told in html and BEST in html and "<progress" in html


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "about 1 s"), (42, "about 42 s"), (283.5, "about 5 min"), (9000, "about 2.5 h")]
)
def test_times_as_people_say_them(seconds, told):
    assert about(seconds) == told


@pytest.mark.parametrize(
    ("arguments", "environment", "allowed"),
    [([], {}, True), (["--no-download"], {}, False), ([], {"EVFSAM_DOWNLOAD": "0"}, False)],
)
def test_the_operator_may_forbid_downloads(arguments, environment, allowed):
    assert read_settings(arguments, environment).download == allowed
