"""Peak resident memory of tracking, for clips of several lengths.

    python benchmarks/video_memory.py --model evf-sam2-tiny

Each length runs in its own process, on generated frames. With ``--files`` each clip is a video file that is read,
tracked and written without sound, as by ``python -m evfsam track``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

TOLERANCE = 0.05


def frames(count: int, size_hw: tuple[int, int]) -> Iterator[np.ndarray]:
    """A bright disc that moves over a plain background."""
    y, x = np.indices(size_hw)
    height, width = size_hw
    ground = np.stack([x * 90 // width, y * 90 // height, (x + y) * 40 // (width + height)], -1).astype(np.uint8)
    for i in range(count):
        centre_y, centre_x = height * (0.5 + 0.3 * np.sin(i / 17)), width * (0.5 + 0.3 * np.cos(i / 23))
        image = ground.copy()
        image[(y - centre_y) ** 2 + (x - centre_x) ** 2 < (height / 6) ** 2] = (220, 40, 30)
        yield image


def track(model: str, prompts: list[str], count: int, size_hw: tuple[int, int], folder: str | None) -> None:
    """Track objects through one clip and discard the masks."""
    import evfsam
    from evfsam.video.tracker import VideoTracker

    tracker = VideoTracker(evfsam.Predictor.from_pretrained(model, device="cpu"))
    if folder is None:
        for _ in tracker.track(frames(count, size_hw), prompts):
            pass
        return
    from evfsam.media.video import VideoReader
    from evfsam.media.video_export import overlay_video
    from evfsam.video.bidirectional import track_in_order

    reader = VideoReader(Path(folder) / "in.mp4")
    with overlay_video(Path(folder) / "out.mp4", reader, list(range(1, len(prompts) + 1))) as sink:
        for step in track_in_order(tracker, reader, prompts):
            sink.add(step.frame, *reader.time_of(step.frame.index))


def write_input(folder: str, count: int, size_hw: tuple[int, int]) -> None:
    from evfsam.media.video_writer import open_writer

    with open_writer(Path(folder) / "in.mp4", Fraction(25)) as writer:
        for i, image in enumerate(frames(count, size_hw)):
            writer.write(image, Fraction(i, 25), Fraction(1, 25))


def measure(arguments: argparse.Namespace, count: int) -> float:
    """Peak resident memory, in MiB, of a process that tracks ``count`` frames."""
    with tempfile.TemporaryDirectory() as folder:
        child = [sys.executable, __file__, "--child", str(count), "--size", *map(str, arguments.size)]
        child += ["--model", arguments.model, "--prompts", *arguments.prompts]
        if arguments.files:
            write_input(folder, count, tuple(arguments.size))
            child += ["--folder", folder]
        done = subprocess.run(child, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="evf-sam2-tiny", help="a name or a checkpoint's folder")
    parser.add_argument("--frames", type=int, nargs="+", default=[50, 500, 2000])
    parser.add_argument("--size", type=int, nargs=2, default=[240, 320], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--prompts", nargs="+", default=["the red ball", "the sky"])
    parser.add_argument("--files", action="store_true", help="from file to file")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        track(arguments.model, arguments.prompts, arguments.child, tuple(arguments.size), arguments.folder)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return 0
    peaks = {}
    for count in arguments.frames:
        peaks[count] = measure(arguments, count)
        ratio = peaks[count] / peaks[arguments.frames[0]]
        print(f"{count:>6} frames: peak {peaks[count]:8.1f} MiB, {ratio:.3f} of the shortest", flush=True)
    return 0 if max(peaks.values()) <= (1 + TOLERANCE) * peaks[arguments.frames[0]] else 1


if __name__ == "__main__":
    sys.exit(main())
