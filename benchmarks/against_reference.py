"""Time and equality beside the reference implementation, in one process, with the same weights.

    git clone https://github.com/hustvl/EVF-SAM
    python -m pip install --no-deps torchscale==0.2.0 "timm<1.1" fairscale        # what it imports
    python -m benchmarks.against_reference --reference EVF-SAM
    python -m benchmarks.against_reference --reference EVF-SAM --prompts 64 --rounds 1 --calls 1 --precision fp32 bf16
    python -m benchmarks.against_reference --reference EVF-SAM --device cuda --precision fp16

Weights follow the recipe of tests/parity, and float32 models share their storage on a CPU. Every round times the
reference and then this project, from prepared pixels to mask logits at the size of the image; the ratio is the median
of the rounds' ratios. The reference answers one prompt per call, as its inference.py does, and each call encodes the
image. ``--calls`` limits how many of its calls are run per round; the others are counted at the mean of those. On a CPU
the reference runs in float32, so the mask IoU tells what bf16 loses. On a GPU it runs in the first precision.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from evfsam.modeling.build import _WithoutWeights, build_model
from evfsam.modeling.config import EvfConfig
from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.linear import linear
from evfsam.modeling.pixels import PixelConv2d
from evfsam.processing.inputs import prepare
from evfsam.processing.masks import restore
from evfsam.runtime import choose_runtime, model_step
from evfsam.types import ModelInput
from tests.parity.recipe import manifest, reference_name, smooth_image, tensor

MODELS = ("evf-sam", "evf-sam2")
TOLERANCE = 1e-3  # of logits, in float32
IMAGE = smooth_image(3, 480, 640)


@dataclass(frozen=True)
class Row:
    """One line of the table; times are medians in seconds, CPU seconds on a CPU, which a busy machine changes less."""

    model: str
    precision: str
    prompts: int
    reference_s: float
    ours_s: float
    ratio: float
    wall_ratio: float
    largest_difference: float
    mask_iou: float


def token_ids(prompts: int) -> torch.Tensor:
    """Prompts of three words: int64 (prompts, 5)."""
    return torch.tensor([[0, 17 + i, 45 + 3 * i, 99, 2] for i in range(prompts)])


def recipe_weights(name: str) -> dict[str, torch.Tensor]:
    """Every tensor of a published size, under the reference's names."""
    described = manifest(name)["tensors"]
    return {key: torch.from_numpy(np.ascontiguousarray(tensor(key, tuple(shape)))) for key, shape in described.items()}


def build_ours(name: str, weights: dict[str, torch.Tensor], device: str, precision: str) -> EvfSam:
    """This project's model, with the storage of ``weights`` where device and dtype allow it."""
    runtime = choose_runtime(device, precision)
    model = build_model(EvfConfig.from_dict(manifest(name)["config"]), weights=False)
    halves = model.half_parameters()
    state = {
        key: weights[reference_name(key)].to(runtime.device, runtime.dtype if key in halves else torch.float32)
        for key in model.state_dict()
    }
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(False).to(runtime.device)


def build_theirs(checkout: Path, name: str, weights: dict[str, torch.Tensor], device: str, precision: str):
    """The reference's model, in half precision as its inference.py loads it."""
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()  # its copy of sam2 registers its configs, as the package sam2 has done
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    from model.configuration_evf import EvfConfig as TheirConfig

    with _WithoutWeights():
        if name == "evf-sam":
            from model.evf_sam import EvfSamModel as Model
        else:
            from model.evf_sam2 import EvfSam2Model as Model
        model = Model(TheirConfig(**manifest(name)["config"]))
    model.load_state_dict(weights, strict=True, assign=True)
    runtime = choose_runtime(device, precision)
    return model.eval().requires_grad_(False).to(runtime.device, runtime.dtype)


def answer(model: EvfSam, inputs: ModelInput, ids: torch.Tensor, device: str, precision: str) -> torch.Tensor:
    """This project's mask logits, (P, H, W), by the steps of the predictor."""
    runtime = choose_runtime(device, precision)
    with model_step(runtime):
        features = model.encode_image(inputs.segmenter_pixels.to(runtime.device))
        tokens = model.encode_prompt(inputs.encoder_pixels.to(runtime.device), ids.to(runtime.device)).float()
    with model_step(runtime, half=False):
        return restore(model.decode(features, tokens).low_res_masks, inputs.geometry)


def their_answer(model, inputs: ModelInput, ids: torch.Tensor) -> torch.Tensor:
    """The reference's mask logits of one prompt, (1, H, W)."""
    geometry, half = inputs.geometry, model.dtype != torch.float32
    pixels = [x.to(model.device, model.dtype) for x in (inputs.segmenter_pixels, inputs.encoder_pixels)]
    autocast = torch.autocast(model.device.type, model.dtype) if half else nullcontext()
    with torch.inference_mode(), autocast:
        sizes = [geometry.resized_size_hw], [geometry.original_size_hw]
        return model.inference(*pixels, ids.to(model.device), *sizes).float()


def timed(call: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float, float]:
    """The answer, and its seconds of processor time and of wall time; on a GPU both are wall time."""
    synchronize = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
    synchronize()
    cpu, wall = time.process_time(), time.perf_counter()
    found = call()
    synchronize()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return found.cpu(), wall if found.is_cuda else cpu, wall


def compare(ours: dict[str, EvfSam], theirs, name: str, prompts: int, args: argparse.Namespace) -> list[Row]:
    """A row per precision. ``ours``: precision -> model."""
    inputs, ids = prepare(IMAGE, next(iter(ours.values())).config.pixels), token_ids(prompts)
    rounds: dict[str, list[tuple]] = {precision: [] for precision in ours}
    for _ in range(args.rounds):
        calls = range(min(prompts, args.calls or prompts))
        answers = [timed(lambda i=i: their_answer(theirs, inputs, ids[i : i + 1])) for i in calls]
        expected = torch.cat([each for each, _, _ in answers])
        reference = [prompts * statistics.fmean(each[k] for each in answers) for k in (1, 2)]
        for precision, model in ours.items():
            found, cpu, wall = timed(lambda m=model, p=precision: answer(m, inputs, ids, args.device, p))
            difference = float((found[: len(expected)] - expected).abs().max())
            inside, truth = found[: len(expected)] > 0, expected > 0
            iou = float((inside & truth).sum() / (inside | truth).sum().clamp(min=1))
            rounds[precision].append((reference[0], cpu, cpu / reference[0], wall / reference[1], difference, iou))
    rows = []
    for precision, found in rounds.items():
        *medians, differences, ious = zip(*found, strict=True)
        rows.append(Row(name, precision, prompts, *map(statistics.median, medians), max(differences), min(ious)))
    return rows


def counted_flops(config: EvfConfig, prompts: int) -> float:
    """Floating-point operations of products and attention, by counting alone; without prompts of the image encoder."""
    model = build_model(config, weights=False).to("meta").requires_grad_(False)
    for module in model.modules():
        if isinstance(module, PixelConv2d):
            module.__class__ = torch.nn.Conv2d  # the meta device has no autocast
    inputs = prepare(IMAGE, config.pixels)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = model.encode_image(inputs.segmenter_pixels.to("meta"))
        if prompts:
            tokens = model.encode_prompt(inputs.encoder_pixels.to("meta"), token_ids(prompts).to("meta"))
            model.decode(features, tokens)
    return float(counter.get_total_flops())


def matrix_rate(name: str) -> float:
    """This machine's rate, FLOP per CPU second, in a product of the segmenter's most frequent shape."""
    segmenter = EvfConfig.from_dict(manifest(name)["config"]).segmenter
    width = segmenter.width * (1 if name == "evf-sam" else 4)
    layer, tokens = torch.nn.Linear(width, 4 * width), torch.randn(4096, width)
    times = []
    with torch.inference_mode():
        for _ in range(7):
            start = time.process_time()
            linear(layer, tokens)
            times.append(time.process_time() - start)
    return 2 * 4096 * 4 * width**2 / statistics.median(times)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="a checkout of hustvl/EVF-SAM")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--prompts", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=0, help="most calls of the reference per round; 0: one per prompt")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "fp16", "bf16"], help="of ours")
    parser.add_argument("--json", type=Path, help="write the table here as well")
    args = parser.parse_args(words)
    rows, limits = [], {}
    print("model     precision  prompts  reference s   ours s   ratio   wall ratio   difference   mask IoU", flush=True)
    for name in args.models:
        weights = recipe_weights(name)
        ours = {precision: build_ours(name, weights, args.device, precision) for precision in args.precision}
        their_precision = "fp32" if args.device == "cpu" else args.precision[0]
        theirs = build_theirs(args.reference, name, weights, args.device, their_precision)
        del weights
        for prompts in args.prompts:
            for row in compare(ours, theirs, name, prompts, args):
                rows.append(row)
                print(
                    f"{row.model:9} {row.precision:9} {row.prompts:8} {row.reference_s:12.2f} {row.ours_s:8.2f}"
                    f"{row.ratio:8.3f} {row.wall_ratio:12.3f} {row.largest_difference:12.1e} {row.mask_iou:10.4f}",
                    flush=True,
                )
                if args.device == "cpu" and row.precision == "fp32":
                    flops, rate = counted_flops(ours["fp32"].config, prompts), matrix_rate(name)
                    limits[f"{name}, {prompts}"] = {"flop": flops, "flop_per_s": rate, "least_s": flops / rate}
                    print(
                        f"          {flops / 1e12:.2f} TFLOP at {rate / 1e9:.0f} GFLOP/s take {flops / rate:.1f} s,"
                        f" {flops / rate / row.ours_s:.2f} of ours"
                    )
        del ours, theirs
    if args.json:
        described = {"threads": torch.get_num_threads(), "device": args.device}
        args.json.write_text(
            json.dumps({**described, "rows": [asdict(row) for row in rows], "limits": limits}, indent=1)
        )
    return int(any(row.precision == "fp32" and row.largest_difference > TOLERANCE for row in rows))


if __name__ == "__main__":
    sys.exit(main())
