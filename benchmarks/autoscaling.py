"""Replicas on a local Ray cluster come under load and go after it.

    python -m benchmarks.autoscaling --json autoscaling.json

One replica at least, two at most. Clients ask for one prompt again and again until there are two replicas, and for a
while more; then they stop. Prints a line whenever the number of replicas changes, and ends when it is one again; fails
if it does not change in time. The delays are short, so that this ends within minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from evfsam.batch.wire import write_question  # noqa: E402
from evfsam.data.scenes import make_scene, render  # noqa: E402
from evfsam.media.export import png  # noqa: E402

SETTINGS = {
    "min_replicas": "1",
    "max_replicas": "2",
    "target_ongoing_requests": "2",
    "upscale_delay_s": "2",
    "downscale_delay_s": "4",
}
PATIENCE_S = 300  # for a replica to come or go


class Load:
    """Clients that ask until they are stopped. ``answered``: the seconds at which answers came."""

    def __init__(self, url: str, clients: int):
        self.answered: list[float] = []
        self._stop = threading.Event()
        image = png(np.ascontiguousarray(render(make_scene(900_001), (240, 320)).image))
        question = write_question(image, ["the dog"], [None])

        def ask() -> None:
            with httpx.Client(timeout=PATIENCE_S) as http:
                while not self._stop.is_set():
                    http.post(f"{url}/segment", content=question).raise_for_status()
                    self.answered.append(time.perf_counter())

        self._threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def per_second(self, start: float, stop: float) -> float:
        return sum(start <= at < stop for at in self.answered) / (stop - start)


def replicas() -> int:
    """How many answer at the moment."""
    from ray import serve

    (application,) = serve.status().applications.values()
    return application.deployments["Segmenter"].replica_states.get("RUNNING", 0)


def wait_for(count: int) -> float:
    """The second at which there are so many. Raises TimeoutError after ``PATIENCE_S``."""
    end = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < end:
        if replicas() == count:
            return time.perf_counter()
        time.sleep(0.25)
    raise TimeoutError(f"There were not {count} replicas within {PATIENCE_S} s.")


def measure(model: str, clients: int, more_s: float) -> list[dict]:
    """Rows of (what, at_s, replicas, per_second); the seconds count from the first request."""
    import ray
    from ray import serve

    from evfsam.batch.serve import build

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build({"model": model, "device": "cpu", **SETTINGS}))
        start = wait_for(1)
        load = Load(f"http://127.0.0.1:{port}", clients)
        try:
            grown = wait_for(2)
            time.sleep(more_s)
        finally:
            load.stop()
        stopped = time.perf_counter()
        shrunk = wait_for(1)
    finally:
        serve.shutdown()
        ray.shutdown()
    return [
        {"what": f"{clients} clients", "at_s": 0.0, "replicas": 1, "per_second": load.per_second(start, grown)},
        {
            "what": f"{clients} clients",
            "at_s": grown - start,
            "replicas": 2,
            "per_second": load.per_second(grown, stopped),
        },
        {"what": "no clients", "at_s": stopped - start, "replicas": 2, "per_second": 0.0},
        {"what": "no clients", "at_s": shrunk - start, "replicas": 1, "per_second": 0.0},
    ]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="evf-sam2-tiny", help="a name or a checkpoint's folder")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15, help="how long clients ask two replicas")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(words)
    rows = measure(args.model, args.clients, args.seconds)
    print("| | from second | replicas | requests per second |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['what']} | {row['at_s']:.1f} | {row['replicas']} | {row['per_second']:.2f} |")
    if args.json:
        args.json.write_text(json.dumps({"cpus": os.cpu_count(), "settings": SETTINGS, "rows": rows}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
