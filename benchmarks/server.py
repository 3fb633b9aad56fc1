"""How the page's server answers many clients at once, beside the same requests one by one.

    python -m benchmarks.server --json server.json
    python -m benchmarks.server --before path/to/another/checkout --device cuda

The app runs in a process of its own and is asked over HTTP. Every client has the same mixture of requests in an order
of its own: one to three prompts, or categories, on one of a few images, half of them on the same one; and a short clip.
First all requests are sent one by one, then by all clients at once, then one client asks while a clip is followed.
Fairness is the longest mean wait of a client, divided by the mean of all clients.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.soak import png, start_app  # noqa: E402
from evfsam.data.scenes import make_clip, make_scene, render  # noqa: E402
from evfsam.media.video_writer import open_writer  # noqa: E402

SIZE_HW = (480, 640)
IMAGES = 4
PHRASES = ["the red car", "the largest tree", "the dog", "the house on the left", "the boat", "the person", "the ball"]
MIXTURE = ("one", "three", "categories", "clip", "one", "three", "one", "categories")  # requests of a client
SHORT_FRAMES, LONG_FRAMES, ALONE = 4, 20, 10
PATIENCE_S = 900


@dataclass
class Answered:
    """One request: whose it was, its kind, when it was sent and answered (seconds)."""

    client: int
    kind: str
    sent: float
    answered: float

    @property
    def seconds(self) -> float:
        return self.answered - self.sent


class Server:
    """A running app with the images and clips that requests are about."""

    def __init__(self, url: str, model: str):
        self.url, self.model = f"{url}gradio_api/", model
        scenes = [render(make_scene(910_000 + i, SIZE_HW[1] / SIZE_HW[0]), SIZE_HW).image for i in range(IMAGES)]
        self.pictures = [self._upload(f"{i}.png", png(scene)) for i, scene in enumerate(scenes)]
        self.clips = {frames: self._upload(f"{frames}.mp4", clip(frames)) for frames in (SHORT_FRAMES, LONG_FRAMES)}

    def _upload(self, name: str, content: bytes) -> dict[str, Any]:
        path = httpx.post(f"{self.url}upload", files={"files": (name, content)}, timeout=PATIENCE_S).json()[0]
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def ask(self, client: int, number: int, kind: str) -> Answered:
        """Raises RuntimeError if the request is refused."""
        rng = np.random.default_rng([client, number])
        picture = self.pictures[0 if rng.random() < 0.5 else rng.integers(1, IMAGES)]
        phrases = rng.permutation(PHRASES)
        endpoint, data = {
            "one": ("segment", [picture, str(phrases[0]), self.model, 0.5]),
            "three": ("segment", [picture, ", ".join(phrases[:3]), self.model, 0.5]),
            "categories": ("semantic", [picture, "sky, grass", self.model]),
            "clip": ("track", [self.clips[SHORT_FRAMES], "the dog", 0, "forward", 0, 0, self.model, True]),
            "long clip": ("track", [self.clips[LONG_FRAMES], "the dog", 0, "forward", 0, 0, self.model, True]),
        }[kind]
        with httpx.Client(timeout=PATIENCE_S) as http:
            sent = time.perf_counter()
            where = f"{self.url}call/{endpoint}"
            event = http.post(where, json={"data": data}).raise_for_status().json()["event_id"]
            told = http.get(f"{where}/{event}").text
        if not re.search(r"event: complete\n", told):
            raise RuntimeError(f"{kind} was refused: {told[-300:]}")
        return Answered(client, kind, sent, time.perf_counter())


def clip(frames: int) -> bytes:
    """A rendered clip as MP4."""
    scene = make_clip(910_000, frames, 1.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with open_writer(path, Fraction(10)) as writer:
            for t in range(frames):
                writer.write(render(scene.frame(t), (240, 360)).image, Fraction(t, 10), Fraction(1, 10))
        return path.read_bytes()


def order(client: int, requests: int) -> list[str]:
    """The kinds of a client's requests: the first ones of the mixture, in an order of its own."""
    return [str(kind) for kind in np.random.default_rng(client).permutation(MIXTURE[:requests])]


def one_by_one(server: Server, clients: int, requests: int) -> list[Answered]:
    orders = [order(client, requests) for client in range(clients)]
    return [server.ask(client, i, orders[client][i]) for i in range(requests) for client in range(clients)]


def together(server: Server, clients: int, requests: int) -> list[Answered]:
    def work(client: int) -> list[Answered]:
        return [server.ask(client, i, kind) for i, kind in enumerate(order(client, requests))]

    with ThreadPoolExecutor(clients) as pool:
        return [each for found in pool.map(work, range(clients)) for each in found]


def beside_a_clip(server: Server) -> list[Answered]:
    """One client asks for one prompt after the other until another client's clip is done."""
    found: list[Answered] = []
    clip = threading.Thread(target=lambda: found.append(server.ask(0, 0, "long clip")))
    clip.start()
    number = 0
    while clip.is_alive():
        found.append(server.ask(1, number, "one"))
        number += 1
    clip.join()
    return found


def figures(found: list[Answered]) -> dict[str, float]:
    """Requests per second, seconds at two percentiles, and fairness; long clips count apart."""
    seconds = [each.seconds for each in found]
    means = [np.mean([each.seconds for each in found if each.client == client]) for client in {e.client for e in found}]
    wall = max(each.answered for each in found) - min(each.sent for each in found)
    p50, p95 = np.percentile(seconds, [50, 95])
    return {
        "requests": len(found),
        "per_second": len(found) / wall,
        "p50_s": float(p50),
        "p95_s": float(p95),
        "fairness": float(max(means) / np.mean(means)),
    }


def cpu_seconds(process: subprocess.Popen) -> float:
    """Processor time of a process so far; Linux alone says it."""
    told = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    root: Path, clients: int, requests: int, model: str, options: Sequence[str]
) -> dict[str, tuple[list[Answered], float]]:
    """{how: (its answered requests, processor time of the app)}"""
    with tempfile.TemporaryDirectory() as folder:
        process, url = start_app(Path(folder), *options, root=root)
        try:
            server = Server(url, model)
            for kind in ("one", "clip"):  # loads the checkpoint
                server.ask(0, 0, kind)
            ways = {
                "one by one": lambda: one_by_one(server, clients, requests),
                "together": lambda: together(server, clients, requests),
                "one prompt, alone": lambda: [server.ask(1, i, "one") for i in range(ALONE)],
                "one prompt, beside a clip": lambda: beside_a_clip(server),
            }
            found = {}
            for how, ask in ways.items():
                before = cpu_seconds(process)
                found[how] = ask(), cpu_seconds(process) - before
            return found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument(
        "--requests", type=int, choices=range(1, len(MIXTURE) + 1), default=len(MIXTURE), help="of each"
    )
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout to compare with")
    parser.add_argument("--model", default="", help="a checkpoint that tracks (default: that of the app)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--server", default="", metavar="URL", help="replicas that the app asks, see docs/scale.md")
    parser.add_argument("--json", type=Path, help="where to write every request")
    args = parser.parse_args()
    checkouts = {**({"before": args.before.resolve()} if args.before else {}), "now": ROOT}
    options = ["--device", args.device, *(["--server", args.server] if args.server else [])]
    found = {name: measure(root, args.clients, args.requests, args.model, options) for name, root in checkouts.items()}
    if args.json:
        where = {
            "cpus": os.cpu_count(),
            "device": args.device,
            "server": args.server,
            "clients": args.clients,
            "load": os.getloadavg(),
        }
        runs = {
            name: {how: {"cpu_s": cpu, "requests": [asdict(each) for each in some]} for how, (some, cpu) in by.items()}
            for name, by in found.items()
        }
        args.json.write_text(json.dumps({**where, "runs": runs}, indent=1))
    print("| | code | requests | per second | CPU s | p50 s | p95 s | fairness |\n|---|---|---|---|---|---|---|---|")
    for how in found["now"]:
        for name, by in found.items():
            some, cpu = by[how]
            kinds = [kind for kind in dict.fromkeys(MIXTURE) if any(each.kind == kind for each in some)]
            for kind in ("all", *kinds) if how == "together" else ("all",):
                row = figures(
                    [each for each in some if each.kind == kind or kind == "all" and each.kind != "long clip"]
                )
                told = f"{row['p50_s']:.2f} | {row['p95_s']:.2f}"
                if kind == "all":
                    told = f"{row['per_second']:.2f} | {cpu:.1f} | {told} | {row['fairness']:.2f}"
                else:
                    told = f"| | {told} |"
                print(f"| {how}{'' if kind == 'all' else ': ' + kind} | {name} | {row['requests']} | {told} |")


if __name__ == "__main__":
    main()
