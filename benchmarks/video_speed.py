"""How fast a clip is followed from file to file: decode, track, draw, encode.

    python -m benchmarks.video_speed                           # this version
    python -m benchmarks.video_speed --before PATH             # beside another checkout of this project, in turns
    python -m benchmarks.video_speed --official                # instead: the official size, random weights, model alone

Frames per second depend on what else the machine does; the ratio of two versions that run in turns, and processor
time per frame, depend on it less. Prints tables; ``--json FILE`` writes the same figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "assets" / "examples" / "street.mp4"
PROMPT = "the bus"


def child(arguments: argparse.Namespace) -> None:
    """Follow the clip whenever a line comes from the standard input, with the code of the checkout on the path."""
    import torch

    from evfsam.__main__ import build_parser
    from evfsam.cli import track
    from evfsam.predictor import Predictor

    torch.set_num_threads(arguments.threads)
    predictor = Predictor.from_pretrained(arguments.model, "cpu")
    track.load_predictor = lambda _: predictor
    with tempfile.TemporaryDirectory() as folder:
        command = ["track", str(arguments.clip), PROMPT, "-o", f"{folder}/out.mp4", "--max-side", str(arguments.side)]
        command += ["--end", str(arguments.seconds), "--quiet"]
        for line in sys.stdin:
            again = line.strip() == "again"
            start, used = time.perf_counter(), time.process_time()
            with open(os.devnull, "w") as silent:
                out, sys.stdout = sys.stdout, silent
                parsed = build_parser().parse_args([*command, *([] if again else ["--no-find-again"])])
                parsed.func(parsed)
                sys.stdout = out
            print(json.dumps([time.perf_counter() - start, time.process_time() - used]), flush=True)


class Version:
    """A checkout in a process of its own."""

    def __init__(self, checkout: Path, arguments: argparse.Namespace):
        command = [sys.executable, __file__, "--child", "--model", arguments.model, "--clip", str(arguments.clip)]
        command += ["--side", str(arguments.side), "--seconds", str(arguments.seconds)]
        command += ["--threads", str(arguments.threads)]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)

    def run(self, again: bool) -> tuple[float, float]:
        """(seconds, processor seconds) of the whole clip."""
        print("again" if again else "once", file=self.process.stdin, flush=True)
        seconds, used = json.loads(self.process.stdout.readline())
        return seconds, used

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def whole(arguments: argparse.Namespace) -> list[dict]:
    """A row per version, with and without asking again."""
    from evfsam.media.video import VideoReader

    frames = len(VideoReader(arguments.clip, end_s=arguments.seconds))
    versions = {"this": Version(ROOT, arguments)}
    if arguments.before:
        versions["before"] = Version(arguments.before, arguments)
    runs: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for round_ in range(arguments.rounds + 1):  # the first one warms up
        for again in (True, False):
            for name, version in versions.items():
                found = version.run(again)
                if round_:
                    runs.setdefault((name, again), []).append(found)
    for version in versions.values():
        version.close()
    rows = []
    for (name, again), found in runs.items():
        ratios = {}
        if name == "before":
            pairs = list(zip(runs["this", again], found, strict=True))
            ratios = {"time_of_this": _median(a[0] / b[0] for a, b in pairs)}
            ratios["processor_of_this"] = _median(a[1] / b[1] for a, b in pairs)
        seconds, used = (_median(each[i] for each in found) for i in (0, 1))
        rows.append(
            {"version": name, "again": again, "frames_per_s": frames / seconds, "cpu_s_per_frame": used / frames}
            | ratios
        )
    return rows


def moving_disc(count: int, size_hw: tuple[int, int]):
    """Frames, uint8 (H, W, 3): a bright disc that moves over a plain background."""
    import numpy as np

    y, x = np.indices(size_hw)
    height, width = size_hw
    ground = np.stack([x * 90 // width, y * 90 // height, (x + y) * 40 // (width + height)], -1).astype(np.uint8)
    for i in range(count):
        centre_y, centre_x = height * (0.5 + 0.3 * np.sin(i / 17)), width * (0.5 + 0.3 * np.cos(i / 23))
        image = ground.copy()
        image[(y - centre_y) ** 2 + (x - centre_x) ** 2 < (height / 6) ** 2] = (220, 40, 30)
        yield image


def shares(predictor, frames: int, size_hw: tuple[int, int], again: bool) -> dict:
    """Processor time of a frame without its decoding and drawing, and where it goes, in a thread of its own."""
    import numpy as np
    import torch

    from evfsam.types import SpatialPrompt, VideoPrompt
    from evfsam.video.tracker import VideoTracker

    torch.set_num_threads(1)
    height, width = size_hw
    disc = SpatialPrompt(box=(width * 0.6, height * 0.3, width * 0.95, height * 0.7))
    prompt = VideoPrompt(1, "the red ball", 0) if again else VideoPrompt(1, "", 0, disc)
    spent: dict[str, list[float]] = {"all": []}
    segmenter = predictor.model.visual_model
    parts = {
        "image encoder": segmenter.image_encoder,
        "memory attention": segmenter.memory_attention,
        "memory encoder": segmenter.memory_encoder,
    }
    for name, module in parts.items():
        spent[name] = []
        module.register_forward_pre_hook(lambda *_, times=spent[name]: times.append(-time.process_time()))
        module.register_forward_hook(lambda *_, times=spent[name]: times.append(times.pop() + time.process_time()))
    spent["words"], encode_prompt = [], predictor.model.encode_prompt

    def timed(*arguments):
        start = time.process_time()
        tokens = encode_prompt(*arguments)
        spent["words"].append(time.process_time() - start)
        return tokens

    predictor.model.encode_prompt = timed
    images = [np.ascontiguousarray(image) for image in moving_disc(frames, size_hw)]
    last = time.process_time()
    for _ in VideoTracker(predictor).track(images, [prompt], redetect=again):
        spent["all"].append(time.process_time() - last)
        last = time.process_time()
    steady = spent["all"][frames // 2 :]
    whole_frame = _median(steady)
    figures = {"cpu_s_per_frame": whole_frame}
    for name, times in spent.items():
        if name != "all" and len(times) >= frames - 1:  # the words are asked once, or on every frame
            figures[f"{name} share"] = _median(times[len(times) // 2 :]) / whole_frame
    return figures


def official_predictor():
    """EVF-SAM-2 with the official SAM-2, random weights; the words' encoder is small, for boxes do not need it."""
    import torch

    from evfsam.checkpoints.load import load_checkpoint
    from evfsam.modeling.config import Sam2Config
    from evfsam.predictor import Predictor
    from evfsam.runtime import choose_runtime
    from tests.random_model import CONFIG, save_random_model

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = save_random_model(Path(folder) / "official", 0, replace(CONFIG, segmenter=Sam2Config()))
        return Predictor(load_checkpoint(path), choose_runtime("cpu"))


def _median(values) -> float:
    return statistics.median(list(values))


def table(title: str, rows: list[dict]) -> None:
    """Print rows of figures in Markdown."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    print(f"\n{title}\n\n| {' | '.join(keys)} |\n|{' --- |' * len(keys)}")
    for row in rows:
        cells = (row.get(key, "") for key in keys)
        print(f"| {' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in cells)} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="evf-sam2-tiny")
    parser.add_argument("--before", type=Path, help="another checkout of this project")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--side", type=int, default=480, help="long side, at most, in pixels")
    parser.add_argument("--seconds", type=float, default=2.0, help="of the clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--official", action="store_true", help="only the shares of the official size")
    parser.add_argument("--official-frames", type=int, default=4, help="at least 3; the last half counts")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return 0
    from evfsam.predictor import Predictor

    figures: dict[str, list[dict]] = {}
    if arguments.official:
        found = shares(official_predictor(), arguments.official_frames, (320, 480), False)
        figures["shares"] = [{"model": "evf-sam2, random", "again": False} | found]
    else:
        figures["whole"] = whole(arguments)
        table("From file to file", figures["whole"])
        small = Predictor.from_pretrained(arguments.model, "cpu")
        figures["shares"] = [
            {"model": arguments.model, "again": again} | shares(small, 12, (320, 480), again) for again in (False, True)
        ]
    table("Where a frame's processor time goes: one object, one thread, without reading and drawing", figures["shares"])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
