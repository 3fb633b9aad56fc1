"""How time and memory grow with prompts, the size of an image, objects, frames and users.

    python -m benchmarks.growth --json growth.json --plot docs/growth.svg
    python -m benchmarks.growth --axes frames --frames 100 1000 10000

Each measurement runs in its own process. Memory is the peak beyond the loaded model; seconds are CPU seconds, which a
busy machine changes less. The bundled model answers images and prompts. A tiny tracker with random weights follows
objects, from a video file to a video file, so that 10,000 frames end and the cost of everything around a model shows.
Prints the exponent e of a fit of value = a * x ** e. Fails if an image takes more than 1.5 GB. ``--limit`` ends it in
time: what is left is said and left out. Linux only.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

AXES = {
    "prompts": (1, 4, 16, 64),
    "megapixels": (0.3, 3, 12, 50),
    "objects": (1, 4, 16),
    "frames": (100, 1000, 10000),
    "users": (1, 4, 16),
}
IMAGE_LIMIT_GB = 1.5
FLAT, LINEAR = 0.15, (0.85, 1.15)  # exponents
COLOURS = dict(zip(AXES, ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#444444"), strict=True))
WORDS = ["sky", "grass", "sea", "sand", "road", "car", "tree", "house", "person", "dog", "boat", "ball"]


def status_gb(field: str) -> float:
    """VmRSS or VmHWM of this process."""
    return int(re.search(field + r":\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024 / 1e9


def scene(megapixels: float) -> np.ndarray:
    """A rendered scene, enlarged to 3:2."""
    import cv2

    from evfsam.data.scenes import make_scene, render

    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    return cv2.resize(render(make_scene(900013, 1.5), (512, 768)).image, (round(height * 1.5), height))


def ball(count: int) -> Iterator[np.ndarray]:
    """Frames of 240 x 320: a disc that moves over a plain background."""
    y, x = np.indices((240, 320))
    for i in range(count):
        image = np.full((240, 320, 3), 90, np.uint8)
        image[(y - 120 - 70 * np.sin(i / 17)) ** 2 + (x - 160 - 90 * np.cos(i / 23)) ** 2 < 1600] = (220, 40, 30)
        yield image


def prompts_and_users(folder: str, model: str, prompts: int = 1, users: int = 1) -> None:
    from evfsam import Predictor

    predictor = Predictor.from_pretrained(model, device="cpu")

    def ask(user: int, count: int) -> None:
        for found in predictor.iter_segment(np.roll(image, user, axis=1), [WORDS[i % 12] for i in range(count)]):
            assert found.mask_logits.shape == image.shape[:2]

    def all_ask() -> None:
        threads = [threading.Thread(target=ask, args=(user, prompts)) for user in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    image = scene(0.3)
    ask(users, 1)
    measured(all_ask)


def large_image(folder: str, model: str, megapixels: float) -> None:
    from PIL import Image

    from evfsam.ui import api
    from evfsam.ui.limits import Limits
    from evfsam.ui.service import ModelService
    from evfsam.ui.settings import Settings

    wide = Limits(pixels=64_000_000, pixels_times_prompts=10**9)  # by default the page takes 25 megapixels
    service = ModelService(Settings(models=(model,), device="cpu", limits=wide))
    for name, size in (("small", 0.06), ("large", megapixels)):
        Image.fromarray(scene(size)).save(f"{folder}/{name}.jpg", quality=92)
    api.segment(service, f"{folder}/small.jpg", ", ".join(WORDS), "", 0.5)
    measured(lambda: api.segment(service, f"{folder}/large.jpg", ", ".join(WORDS), "", 0.5))


def clip(folder: str, model: str, objects: int = 2, frames: int = 100) -> None:
    from evfsam.media.video import VideoReader
    from evfsam.media.video_export import overlay_video
    from evfsam.media.video_writer import open_writer
    from evfsam.video.bidirectional import track_in_order
    from evfsam.video.tracker import VideoTracker
    from tests.random_tracker import save_random_tracker

    def track(count: int) -> None:
        reader = VideoReader(Path(folder) / f"{count}.mp4")
        with overlay_video(Path(folder) / "out.mp4", reader, list(range(1, objects + 1))) as sink:
            for step in track_in_order(tracker, reader, [WORDS[i % 12] for i in range(objects)]):
                sink.add(step.frame, *reader.time_of(step.frame.index))

    for count in {20, frames}:
        with open_writer(Path(folder) / f"{count}.mp4", Fraction(25)) as writer:
            for i, image in enumerate(ball(count)):
                writer.write(image, Fraction(i, 25), Fraction(1, 25))
    tracker = VideoTracker.from_pretrained(save_random_tracker(Path(folder) / "random"), device="cpu")
    track(20)
    measured(lambda: track(frames))


def measured(work: Callable[[], None]) -> None:
    """Run it, and print its CPU seconds and the peak of memory above what was there before, as JSON."""
    before, start = status_gb("VmRSS"), time.process_time()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    work()
    print(json.dumps({"cpu_s": time.process_time() - start, "gb": status_gb("VmHWM") - before}))


CHILDREN: dict[str, Callable] = {
    "prompts": lambda folder, model, value: prompts_and_users(folder, model, prompts=int(value)),
    "users": lambda folder, model, value: prompts_and_users(folder, model, users=int(value)),
    "megapixels": large_image,
    "objects": lambda folder, model, value: clip(folder, model, objects=int(value)),
    "frames": lambda folder, model, value: clip(folder, model, frames=int(value)),
}


def measure(axis: str, value: float, model: str, seconds: float | None) -> dict | None:
    """A row, or None if that takes more than ``seconds``."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.growth", "--child", axis, str(value), folder, "--model", model]
        environment = {**os.environ, "GRADIO_TEMP_DIR": folder}
        try:
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=environment, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return None
    return {axis: value, **json.loads(done.stdout.splitlines()[-1])}


def exponent(xs: list[float], ys: list[float]) -> float:
    """The e of the least-squares fit of y = a * x ** e."""
    return float(np.polyfit(np.log(xs), np.log(np.maximum(ys, 1e-3)), 1)[0])


def in_words(growth: float) -> str:
    if abs(growth) <= FLAT:
        return "flat"
    if LINEAR[0] <= growth <= LINEAR[1]:
        return "linear"
    return "less than linear" if growth < LINEAR[0] else "more than linear"


def plot(rows: dict[str, list[dict]]) -> str:
    """An SVG of two panels, CPU seconds and GB, relative to the first value of each axis; both scales logarithmic."""
    decades = max(1, math.ceil(max(math.log10(found[-1][axis] / found[0][axis]) for axis, found in rows.items())))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="760" height="330" font-family="sans-serif" font-size="12">'
    ]
    parts.append('<rect width="760" height="330" fill="white"/>')
    for panel, key in enumerate(("cpu_s", "gb")):
        left = 50 + 370 * panel
        parts.append(f'<text x="{left}" y="20">{("CPU seconds", "memory beyond the model")[panel]}, first = 1</text>')
        for power in range(decades + 1):
            x, y = left + 300 * power / decades, 270 - 240 * power / decades
            parts.append(f'<path d="M{x:.0f} 30V270M{left} {y:.0f}H{left + 300}" stroke="#ddd"/>')
            parts.append(f'<text x="{x:.0f}" y="285" text-anchor="middle">{10**power}</text>')
            parts.append(f'<text x="{left - 4}" y="{y + 4:.0f}" text-anchor="end">{10**power}</text>')
        for axis, found in rows.items():
            points = []
            for row in found:
                x, y = (math.log10(max(row[k], 1e-3) / max(found[0][k], 1e-3)) / decades for k in (axis, key))
                points.append(f"{left + 300 * x:.0f},{min(max(270 - 240 * y, 30), 275):.0f}")
            line = f'points="{" ".join(points)}" fill="none" stroke="{COLOURS[axis]}" stroke-width="2"'
            parts.append(f"<polyline {line}/>")
    for i, axis in enumerate(rows):
        parts.append(f'<text x="{60 + 120 * i}" y="315" fill="{COLOURS[axis]}">{axis}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--model", default="evf-sam2-tiny", help="for images: a name or a checkpoint's folder")
    for axis, values in AXES.items():
        parser.add_argument(f"--{axis}", nargs="+", type=float, default=values)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="write an SVG here")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="of all measurements together")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.child:
        axis, value, folder = args.child
        CHILDREN[axis](folder, args.model, float(value))
        return 0
    rows: dict[str, list[dict]] = {}
    start = time.perf_counter()
    for axis in args.axes:
        rows[axis] = []
        for value in getattr(args, axis):
            left = None if args.limit is None else max(0.0, args.limit - (time.perf_counter() - start))
            row = measure(axis, value, args.model, left)
            if row is None:
                print(f"{axis:10} {value:8g} left out: it did not end within the limit", flush=True)
                continue
            rows[axis].append(row)
            print(f"{axis:10} {value:8g} {rows[axis][-1]['cpu_s']:9.2f} s {rows[axis][-1]['gb']:7.3f} GB", flush=True)
        if len(rows[axis]) > 1:
            for key, name in (("cpu_s", "time"), ("gb", "memory")):
                growth = exponent([row[axis] for row in rows[axis]], [row[key] for row in rows[axis]])
                print(f"{axis:10} {name}: {in_words(growth)}, exponent {growth:.2f}", flush=True)
        if args.json:
            args.json.write_text(json.dumps(rows, indent=1))
    if args.plot:
        args.plot.write_text(plot({axis: found for axis, found in rows.items() if found}))
    return int(any(row["gb"] > IMAGE_LIMIT_GB for row in rows.get("megapixels", ())))


if __name__ == "__main__":
    sys.exit(main())
