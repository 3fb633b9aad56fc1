"""One loop for every stage: AdamW, warm-up and linear decay, accelerate, resume, a progress bar, metrics to a file."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path

import cv2
import torch
from accelerate import Accelerator
from accelerate.local_sgd import LocalSGD
from accelerate.utils import send_to_device
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from evfsam.training.config import StageConfig

SAVE_EVERY, LOG_EVERY = 500, 50  # steps
# Processes on a CPU wait long for each other, so they average their weights every few steps instead of all gradients.
LOCAL_STEPS = 10  # divides SAVE_EVERY
PREPARED_AHEAD = 2  # batches a worker


def train(stage: nn.Module, config: StageConfig, folder: Path, accelerator: Accelerator, workers: int = 0) -> None:
    """Run a stage to its end, from where an earlier run left off.

    Args:
        workers: processes that prepare batches ahead; 0 to prepare them between the steps.

    Writes ``folder/<stage>/`` (state to resume from) and appends to ``folder/metrics.jsonl``: one line every
    50 steps and one at the end with means of all losses, the learning rate and phrases a second.
    """
    on_gpu = accelerator.device.type == "cuda"
    rates = {"lr": config.learning_rate, "weight_decay": config.weight_decay, "betas": (0.9, 0.98)}
    stage.to(accelerator.device)  # before, for the fused optimizer wants to know where its parameters are
    optimizer = torch.optim.AdamW(stage.parameter_groups(), **rates, fused=on_gpu)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(config, step))
    name = stage.name
    prepared, optimizer = accelerator.prepare(stage, optimizer)
    accelerator.register_for_checkpointing(scheduler)
    state_folder, start = folder / name, 0
    if (state_folder / "step.json").exists():
        accelerator.load_state(state_folder)
        start = json.loads((state_folder / "step.json").read_text())["step"]
    prepared.train()
    sums, since = defaultdict(float), time.monotonic()
    local = LocalSGD(accelerator, prepared, LOCAL_STEPS, enabled=accelerator.device.type == "cpu")
    numbers = range(start * accelerator.num_processes, config.steps * accelerator.num_processes)
    batches = _batches(stage, numbers[accelerator.process_index :: accelerator.num_processes], workers)
    bar = tqdm(total=config.steps, initial=start, desc=name, disable=not accelerator.is_main_process)
    with bar, local:
        for step, batch in enumerate(batches, start):
            losses = prepared(send_to_device(batch, accelerator.device))
            accelerator.backward(losses["loss"])
            accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            local.step()
            for key, value in losses.items():
                sums[key] += value.detach()
            bar.update()
            if ((step + 1) % LOG_EVERY == 0 or step + 1 == config.steps) and accelerator.is_main_process:
                seconds, since = time.monotonic() - since, time.monotonic()
                steps = step + 1 - max(start, step // LOG_EVERY * LOG_EVERY)
                means = {key: value.item() / steps for key, value in sums.items()}
                rate, processes = scheduler.get_last_lr()[0], accelerator.num_processes
                bar.set_postfix(report(folder, stage, step + 1, steps, seconds, processes, rate, means))
                sums.clear()
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == config.steps:
                accelerator.save_state(state_folder)
                if accelerator.is_main_process:
                    (state_folder / "step.json").write_text(json.dumps({"step": step + 1}))
    accelerator.free_memory()


def schedule(config: StageConfig, step: int) -> float:
    """The share of its learning rate with which a stage takes this step, counted from 0."""
    return min((step + 1) / config.warmup, max(0.0, 1 - step / config.steps))


def report(
    folder: Path,
    stage: nn.Module,
    step: int,
    steps: int,
    seconds: float,
    processes: int,
    rate: float,
    means: dict[str, float],
) -> dict[str, float]:
    """Append a line to the run's metrics: ``means`` of all losses over the last ``steps``, which took ``seconds``.

    Returns those that a progress bar shows.
    """
    row = {key: round(value, 4) for key, value in means.items()}
    prompts = steps * stage.config.scenes * stage.config.prompts * processes
    row |= {
        "stage": stage.name,
        "step": step,
        "processes": processes,
        "rate": rate,
        "prompts": prompts,
        "prompts_s": round(prompts / seconds, 1),
    }
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    return {key: row[key] for key in ("loss", "iou", "cls_hit") if key in row}


def _batches(stage: nn.Module, numbers: range, workers: int) -> DataLoader:
    """The stage's batches of these numbers, in order.

    Not in pinned memory: that takes a thread of this process, which the steps keep from its work.
    """
    return open_batches(_Batches(stage, numbers), workers)


def open_batches(batches, workers: int) -> DataLoader:
    """A sequence's items in order, prepared ahead by so many processes; 0 to prepare each when it is asked for."""
    ahead = {}
    if workers:
        # Forked, they share the caches and what is behind a stage, of which they touch nothing on the GPU.
        ahead = {"multiprocessing_context": "fork", "prefetch_factor": PREPARED_AHEAD, "worker_init_fn": _one_thread}
    return DataLoader(batches, None, num_workers=workers, collate_fn=_as_it_is, **ahead)


class _Batches:
    def __init__(self, stage: nn.Module, numbers: range):
        self.stage, self.numbers = stage, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int):
        return self.stage.batch(self.numbers[i])


def _as_it_is(batch):
    return batch


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
