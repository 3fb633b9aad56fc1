"""Memory of one request on a large image with many prompts, without the loaded model.

    python benchmarks/large_image_memory.py                       # 24 megapixels, 12 prompts, /segment and /semantic
    python benchmarks/large_image_memory.py --pixels 6000000 --endpoint semantic

Each request runs in its own process, through the function of the endpoint: it reads the image, segments it and writes
all files. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

WORDS = "sky, grass, sea, sand, road, car, tree, house, person, dog, boat, ball"
LIMIT_BYTES = 1.5e9


def status(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    return int(re.search(field + r":\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def write_image(path: Path, pixels: int) -> None:
    """Write a rendered scene, enlarged to 3:2, with noise as from a camera."""
    import cv2
    import numpy as np
    from PIL import Image

    from evfsam.data.scenes import make_scene, render

    height = round((pixels / 1.5) ** 0.5)
    image = cv2.resize(render(make_scene(900013, 1.5), (512, 768)).image, (round(height * 1.5), height))
    noise = np.random.default_rng(0).integers(-6, 7, (height, 1, 3), np.int16)
    Image.fromarray((image + noise).clip(0, 255).astype(np.uint8)).save(path, quality=92)


def child(endpoint: str, model: str, folder: str) -> None:
    """Segment a small image, then the large one. Prints the memory before, at the peak and after, as JSON."""
    from evfsam.ui import api
    from evfsam.ui.service import ModelService
    from evfsam.ui.settings import Settings

    service = ModelService(Settings(models=(model,), device="cpu"))
    ask = {
        "segment": lambda path: api.segment(service, path, WORDS, "", 0.5),
        "semantic": lambda path: api.label(service, path, WORDS, ""),
    }[endpoint]
    ask(f"{folder}/small.jpg")  # the model and its packages are loaded
    before, start = status("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    ask(f"{folder}/large.jpg")
    print(
        json.dumps(
            {
                "before": before,
                "peak": status("VmHWM"),
                "after": status("VmRSS"),
                "seconds": time.perf_counter() - start,
            }
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="evf-sam2-tiny", help="a name or a checkpoint's folder")
    parser.add_argument("--pixels", type=int, default=24_000_000)
    parser.add_argument("--endpoint", nargs="+", default=["segment", "semantic"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child[:1], arguments.model, arguments.child[1])
        return 0
    worst = 0
    print(f"{arguments.pixels / 1e6:g} megapixels, {len(WORDS.split(','))} prompts, {arguments.model}")
    print("endpoint    before     peak    after   beyond the model   seconds")
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder) / "large.jpg", arguments.pixels)
        write_image(Path(folder) / "small.jpg", 60_000)
        for endpoint in arguments.endpoint:
            command = [sys.executable, __file__, "--model", arguments.model, "--child", endpoint, folder]
            environment = {**os.environ, "GRADIO_TEMP_DIR": folder}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            row = json.loads(done.stdout.splitlines()[-1])
            beyond = row["peak"] - row["before"]
            worst = max(worst, beyond)
            print(
                f"{endpoint:<9}{row['before'] / 1e9:6.2f} GB{row['peak'] / 1e9:6.2f} GB{row['after'] / 1e9:6.2f} GB"
                f"{beyond / 1e9:16.2f} GB{row['seconds']:10.1f}",
                flush=True,
            )
    return 0 if worst <= LIMIT_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
