"""Peak resident memory of the endpoint /track, for clips of several lengths.

    python benchmarks/track_memory.py                             # a tiny random tracker: fast
    python benchmarks/track_memory.py --model evf-sam2-tiny --frames 60 300

Each length runs in its own process, through the function of the endpoint: it reads a video file and writes all files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.video_memory import write_input  # noqa: E402

TOLERANCE = 0.10
RANDOM = "random"
WORDS = "ball, sky, sea, sand, road, car, tree, house, person, dog, boat, grass"


def random_tracker(folder: str) -> str:
    """The folder of a tiny checkpoint with random weights that can track."""
    from tests.random_model import CONFIG, save_random_model

    segmenter = replace(CONFIG.segmenter, memory=True, memory_width=8, memory_layers=1, memory_feed_forward=16)
    return str(save_random_model(Path(folder) / RANDOM, 0, replace(CONFIG, segmenter=segmenter)))


def child(arguments: argparse.Namespace) -> None:
    """Track objects through one clip. Prints peak memory in MiB, seconds and the number of frames as JSON."""
    from evfsam.ui import api
    from evfsam.ui.service import ModelService
    from evfsam.ui.settings import Settings

    folder = arguments.child
    model = random_tracker(folder) if arguments.model == RANDOM else arguments.model
    service = ModelService(Settings(models=(model,), device="cpu"))
    words = ", ".join(WORDS.split(", ")[: arguments.objects])
    start = time.perf_counter()
    found, _ = api.track(service, f"{folder}/in.mp4", words, 0, "forward", 0, 0, "", True)
    assert len(found["objects"]) == arguments.objects
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([peak, time.perf_counter() - start, len(found["times_s"])]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=RANDOM, help="a name, a checkpoint's folder, or 'random'")
    parser.add_argument("--frames", type=int, nargs="+", default=[60, 1800])
    parser.add_argument("--objects", type=int, default=12)
    parser.add_argument("--size", type=int, nargs=2, default=[240, 320], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return 0
    peaks = []
    for count in arguments.frames:
        with tempfile.TemporaryDirectory() as folder:
            write_input(folder, count, tuple(arguments.size))
            command = [sys.executable, __file__, "--child", folder, "--model", arguments.model]
            command += ["--objects", str(arguments.objects)]
            environment = {**os.environ, "GRADIO_TEMP_DIR": folder}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        peak, seconds, followed = json.loads(done.stdout.splitlines()[-1])
        peaks.append(peak)
        print(
            f"{followed:>6} frames x {arguments.objects} objects: peak {peak:8.1f} MiB, "
            f"{peak / peaks[0]:.3f} of the first, {seconds:.0f} s",
            flush=True,
        )
    return 0 if max(peaks) <= (1 + TOLERANCE) * peaks[0] else 1


if __name__ == "__main__":
    sys.exit(main())
