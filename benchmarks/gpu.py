"""Prompts, video and memory on a GPU, for all published sizes with random weights.

    python -m benchmarks.gpu                                        # about ten minutes on one GPU
    python -m benchmarks.gpu --models evf-sam2 --precisions bf16 --reference path/to/EVF-SAM
    python -m benchmarks.gpu --size tiny --device cpu --precisions fp32 --modes eager     # seconds: does it run?

"First" is an image with one prompt, "further" is one more prompt on the same image. The share of the peak counts the
floating-point operations of the image encoder against what the chip can do in bf16 without sparsity. With
``--reference`` the reference implementation (see against_reference.py) answers one prompt in the same process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.against_reference import IMAGE, build_theirs, counted_flops, recipe_weights, their_answer, token_ids
from evfsam.modeling.build import build_model
from evfsam.modeling.config import EvfConfig, Sam2Config
from evfsam.modeling.evf_sam import EvfSam
from evfsam.modeling.segmenters.sam2_memory import Sam2Memory
from evfsam.processing.inputs import prepare
from evfsam.processing.masks import restore
from evfsam.runtime import Runtime, choose_runtime, model_step
from evfsam.types import ImageFeatures
from tests.random_model import CONFIG, SMALL_SAM
from tests.random_tracker import WITH_MEMORY

OFFICIAL = {
    "evf-sam": EvfConfig.official("sam", "huge", "large"),
    "evf-sam2": EvfConfig.official("sam2", "large", "large"),
    "evf-effi-sam-l": EvfConfig.official("efficient_sam", "small", "large"),
    "evf-effi-sam-b": EvfConfig.official("efficient_sam", "tiny", "base"),
}
TINY = {"evf-sam": replace(CONFIG, segmenter=SMALL_SAM), "evf-sam2": WITH_MEMORY}
# Dense bf16 FLOP per second, by the makers' data sheets; a part of the device's name.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12}
HALF_PEAKS_OF = ("fp16", "bf16")


def build(config: EvfConfig, runtime: Runtime) -> EvfSam:
    """Random weights, in the runtime's precision where a checkpoint's would be."""
    torch.manual_seed(0)
    model = build_model(config).requires_grad_(False)
    halves = model.half_parameters()
    for name, parameter in model.named_parameters():
        if name in halves:
            parameter.data = parameter.data.to(runtime.dtype)
    return model.to(runtime.device)


def compile_encoders(model: EvfSam, backend: str) -> None:
    """Compile the two encoders in place; the decoder is small."""
    model.visual_model.encode_image = torch.compile(model.visual_model.encode_image, backend=backend)
    model.mm_extractor.beit3.cls = torch.compile(model.mm_extractor.beit3.cls, backend=backend)


def seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The median time of a call, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def image_rows(model: EvfSam, runtime: Runtime, repeats: int) -> dict[str, float]:
    """Seconds of the first and of a further prompt, and of the image encoder alone."""
    inputs = prepare(IMAGE, model.config.pixels)
    pixels, copy = (x.to(runtime.device) for x in (inputs.segmenter_pixels, inputs.encoder_pixels))
    ids = (token_ids(1) % model.config.encoder.vocabulary).to(runtime.device)

    def encode() -> ImageFeatures:
        with model_step(runtime):
            return model.encode_image(pixels)

    def further(features: ImageFeatures) -> torch.Tensor:
        with model_step(runtime):
            tokens = model.encode_prompt(copy, ids).float()
        with model_step(runtime, half=False):
            return restore(model.decode(features, tokens).low_res_masks, inputs.geometry).cpu()

    features = encode()
    return {
        "image_s": seconds(encode, runtime.device, repeats),
        "first_s": seconds(lambda: further(encode()), runtime.device, repeats),
        "further_s": seconds(lambda: further(features), runtime.device, repeats),
    }


def frames_per_second(model: EvfSam, runtime: Runtime, objects: int, frames: int) -> float:
    """Frames of a clip that are encoded, tracked and remembered per second; the first has the prompts."""
    memory = Sam2Memory(model.visual_model)
    pixels = prepare(IMAGE, model.config.pixels).segmenter_pixels.to(runtime.device)
    tokens = torch.randn(objects, 1, model.config.out_dim, device=runtime.device)
    bank, start = memory.new_bank(), 0.0
    for index in range(frames + 2):
        if index == 2:  # the first frame has no memory, and the second warms up
            start = time.perf_counter()
        with model_step(runtime):
            frame = memory.encode_frame(pixels)
            if index == 0:
                masks = model.decode(memory.without_memory(frame), tokens)
            else:
                masks = memory.track(frame, bank, index)
            memory.remember(bank, frame, index, masks, prompted=index == 0)
        masks.low_res_masks.cpu()
    return frames / (time.perf_counter() - start)


def reference_seconds(checkout: Path, name: str, device: str, precision: str, repeats: int) -> float:
    """Seconds of the reference for an image and one prompt."""
    theirs = build_theirs(checkout, name, recipe_weights(name), device, precision)
    inputs, ids = prepare(IMAGE, OFFICIAL[name].pixels), token_ids(1)
    return seconds(lambda: their_answer(theirs, inputs, ids).cpu(), torch.device(device), repeats)


def measure(name: str, config: EvfConfig, precision: str, mode: str, args: argparse.Namespace) -> dict:
    runtime = choose_runtime(args.device, precision)
    cuda = runtime.device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = build(config, runtime)
    if mode == "compiled":
        compile_encoders(model, args.backend)
    row = {"model": name, "precision": precision, "mode": mode, **image_rows(model, runtime, args.repeats)}
    segmenter = config.segmenter
    if isinstance(segmenter, Sam2Config) and segmenter.memory and mode == "eager":
        for objects in args.objects:
            row[f"frames_per_s_{objects}"] = frames_per_second(model, runtime, objects, args.frames)
    peak = next((rate for part, rate in PEAKS.items() if cuda and part in torch.cuda.get_device_name()), None)
    if peak and precision in HALF_PEAKS_OF:
        row["share_of_peak"] = counted_flops(config, prompts=0) / row["image_s"] / peak
    if cuda:
        row["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    if args.reference and name in ("evf-sam", "evf-sam2") and mode == "eager":
        del model
        row["reference_s"] = reference_seconds(args.reference, name, args.device, precision, args.repeats)
        row["first_ratio"] = row["first_s"] / row["reference_s"]
        row["further_ratio"] = row["further_s"] / row["reference_s"]
    return row


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="official", choices=["official", "tiny"])
    parser.add_argument("--models", nargs="+", help="by default all of the size")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precisions", nargs="+", default=["fp16", "bf16"])
    parser.add_argument("--modes", nargs="+", default=["eager", "compiled"], choices=["eager", "compiled"])
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--objects", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--reference", type=Path, help="a checkout of hustvl/EVF-SAM, for the official sizes")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    args = parser.parse_args(words)
    configs = OFFICIAL if args.size == "official" else TINY
    rows = []
    for name in args.models or configs:
        for precision in args.precisions:
            for mode in args.modes:
                rows.append(measure(name, configs[name], precision, mode, args))
                values = rows[-1].items()
                print("  ".join(f"{key} {v:.4g}" if isinstance(v, float) else str(v) for key, v in values), flush=True)
                if args.json:
                    args.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
