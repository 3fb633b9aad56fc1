"""One loop for every stage: AdamW, warm-up and linear decay, accelerate, resume, a progress bar, metrics to a file."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections import defaultdict
from pathlib import Path

import cv2
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object, send_to_device
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from evfsam.training.config import Stage
from evfsam.training.parts import parameter_groups

SAVE_EVERY, LOG_EVERY = 500, 50  # steps
PREPARED_AHEAD = 2  # batches of each worker


def train(module: nn.Module, folder: Path, accelerator: Accelerator, workers: int = 0) -> None:
    """Run a stage to its end, from where an earlier run left off.

    Args:
        module: its ``stage`` is the row of the recipe; ``batch(number)`` needs neither weights nor a GPU and always
            gives the same; its forward turns a batch into scalar losses by name, of which "loss" is minimised.
        workers: processes that prepare batches ahead; 0 to prepare them between the steps.

    Processes take batches in turn, and gradients are accumulated until ``stage.batch`` images were read. So N
    processes learn the same as one that accumulates N times as often.

    Writes ``folder/<stage>/`` (state to resume from) and appends to ``folder/metrics.jsonl``: one line every 50 steps
    and one at the end, with means of all losses over all processes, the learning rate and prompts per second.
    """
    stage, on_gpu = module.stage, accelerator.device.type == "cuda"
    processes, main = accelerator.num_processes, accelerator.is_main_process
    every = stage.accumulation(processes)
    accelerator.gradient_accumulation_steps, accelerator.step = every, 0
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        accelerator.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = stage.images
    module.to(accelerator.device)  # before, because the fused optimizer asks where its parameters are
    how = {"lr": stage.learning_rate, "weight_decay": stage.weight_decay, "betas": stage.betas}
    groups = parameter_groups(module, stage)
    rates = [group["lr"] for group in groups]
    prepared, optimizer = accelerator.prepare(module, torch.optim.AdamW(groups, **how, fused=on_gpu))
    state_folder, new_state, start = folder / stage.name, folder / f"{stage.name}.new", 0
    if main:
        _take_over(new_state, state_folder)
    accelerator.wait_for_everyone()
    if (state_folder / "step.json").exists():
        accelerator.load_state(state_folder)
        start = json.loads((state_folder / "step.json").read_text())["step"]
    prepared.train()
    sums, since, logged, step = defaultdict(list), time.monotonic(), start, start
    numbers = range(start * every * processes, stage.steps * every * processes)
    batches = _batches(module, numbers[accelerator.process_index :: processes], workers)
    with tqdm(total=stage.steps, initial=start, desc=stage.name, disable=not main) as bar:
        for batch in batches:
            rate = schedule(stage, step)
            for group, highest in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * highest
            with accelerator.accumulate(prepared):
                losses = prepared(send_to_device(batch, accelerator.device))
                accelerator.backward(losses["loss"])
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            for key, value in losses.items():
                sums[key].append(value.detach())
            if not accelerator.sync_gradients:
                continue
            step += 1
            bar.update()
            last = step == stage.steps
            if step % LOG_EVERY == 0 or last:
                means = mean_over_processes({key: torch.stack(values).mean().item() for key, values in sums.items()})
                seconds, since = time.monotonic() - since, time.monotonic()
                if main:
                    readings = (step - logged) * every * processes
                    row = report(stage, step, readings, seconds, processes, rate * rates[0], means)
                    with (folder / "metrics.jsonl").open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    bar.set_postfix({key: row[key] for key in ("loss", "iou", "cls_hit") if key in row})
                accelerator.log({f"{stage.name}/{key}": value for key, value in means.items()}, step=step)
                sums.clear()
                logged = step
            if step % SAVE_EVERY == 0 or last:
                accelerator.save_state(new_state)
                accelerator.wait_for_everyone()
                if main:
                    (new_state / "step.json").write_text(json.dumps({"step": step}))
                    _take_over(new_state, state_folder)
                accelerator.wait_for_everyone()
    accelerator.free_memory()


def _take_over(new_state: Path, state_folder: Path) -> None:
    """Replace the state by a new one if that is whole: then it has ``step.json``. A run may be killed at any time."""
    if (new_state / "step.json").exists():
        shutil.rmtree(state_folder, ignore_errors=True)
        new_state.rename(state_folder)
    else:
        shutil.rmtree(new_state, ignore_errors=True)


def mean_over_processes(means: dict[str, float]) -> dict[str, float]:
    """Each value's mean over the processes that have it; some losses are not there for every batch."""
    every = gather_object([means])
    names = sorted({name for one in every for name in one})
    return {name: statistics.fmean(one[name] for one in every if name in one) for name in names}


def schedule(stage: Stage, step: int) -> float:
    """The share of its learning rate with which a stage takes this step, counted from 0."""
    return min((step + 1) / stage.warmup, max(0.0, 1 - step / stage.steps))


def report(
    stage: Stage, step: int, readings: int, seconds: float, processes: int, rate: float, means: dict[str, float]
) -> dict[str, object]:
    """A line of the run's metrics: ``means`` of all losses over the last ``readings``, which took ``seconds``.

    Prompts are counted as if every image had as many as the stage asks for.
    """
    prompts = readings * stage.images * stage.prompts
    return {key: round(value, 4) for key, value in means.items()} | {
        "stage": stage.name,
        "step": step,
        "processes": processes,
        "rate": rate,
        "prompts": prompts,
        "prompts_s": round(prompts / seconds, 1),
    }


def _batches(module: nn.Module, numbers: range, workers: int) -> DataLoader:
    """The stage's batches of these numbers in order, prepared ahead by so many processes.

    Memory is not pinned: pinning needs a thread of this process, and the steps leave it no time.
    """
    ahead = {}
    if workers:
        # Forked, they share the caches and what is behind a stage, of which they touch nothing on the GPU.
        ahead = {"multiprocessing_context": "fork", "prefetch_factor": PREPARED_AHEAD, "worker_init_fn": _one_thread}
    return DataLoader(_Batches(module, numbers), None, num_workers=workers, collate_fn=_as_it_is, **ahead)


class _Batches:
    def __init__(self, module: nn.Module, numbers: range):
        self.module, self.numbers = module, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int):
        return self.module.batch(self.numbers[i])


def _as_it_is(batch):
    return batch


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
