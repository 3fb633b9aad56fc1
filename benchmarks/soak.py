"""Many clients ask a running app at once: is an answer lost, does one get another's, does memory grow, do files stay?

    python benchmarks/soak.py --clients 12 --requests 1000 --seed 0

The app is started on this machine alone, with the bundled checkpoints. Every request has a rendered scene of its own:
its own file name, size and truth. An answer is crossed if it has another name, size or prompt than its request. One
request in ten is bad, and must be refused in a sentence.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from evfsam.data.sample import ABSENT, PART, REFERRING, SEMANTIC  # noqa: E402
from evfsam.data.scenes import make_clip, render  # noqa: E402
from evfsam.data.scenes.dataset import SceneDataset  # noqa: E402
from evfsam.geometry import mask_iou  # noqa: E402
from evfsam.media.export import decode_rle  # noqa: E402
from evfsam.media.video_writer import open_writer  # noqa: E402

SHARES = {"segment": 0.42, "semantic": 0.2, "parts": 0.15, "compare": 0.1, "track": 0.03, "bad": 0.1}
CLIP_FRAMES = 4
PATIENCE_S = 900
ENDING_S = 120
FIRST_SEED = 900_000  # scenes that no checkpoint was trained on


@dataclass
class Outcome:
    """What became of one request."""

    kind: str
    seconds: float
    wrong: str = ""  # "lost" or "crossed", and how
    ious: list[float] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # named in the answer, and the upload


class Asker:
    """Makes request number i, sends it and judges the answer."""

    def __init__(self, url: str, seed: int):
        self.url, self.seed = f"{url}gradio_api/", seed

    def ask(self, number: int) -> Outcome:
        rng = np.random.default_rng([self.seed, number])
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        size_hw = (112 + 2 * (number % 89), 128 + 2 * (number % 97))  # 8,633 requests until a size comes again
        name = f"scene-{number}.png"
        with httpx.Client(timeout=PATIENCE_S) as client:
            began = time.perf_counter()
            outcome = Outcome(kind, 0.0)
            try:
                if kind == "track":
                    self._track(client, outcome, number, size_hw)
                else:
                    sample = SceneDataset(range(FIRST_SEED + number, FIRST_SEED + number + 1), size_hw)[0]
                    picture = self._upload(client, outcome, name, png(sample.image))
                    began = time.perf_counter()
                    if kind == "bad":
                        self._bad(client, outcome, picture, rng)
                    else:
                        self._picture(client, outcome, kind, name, picture, sample, rng)
            except Exception as error:  # whatever went wrong: there is no answer
                outcome.wrong = f"lost: {type(error).__name__}: {error}"
            outcome.seconds = time.perf_counter() - began
        return outcome

    def _upload(self, client: httpx.Client, outcome: Outcome, name: str, content: bytes) -> dict[str, Any]:
        path = client.post(f"{self.url}upload", files={"files": (name, content)}).raise_for_status().json()[0]
        outcome.files.append(path)
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def _call(self, client: httpx.Client, endpoint: str, values: list) -> tuple[str, Any]:
        where = f"{self.url}call/{endpoint}"
        body, headers = json.dumps({"data": values}), {"Content-Type": "application/json"}
        sent = client.post(where, content=body, headers=headers)
        sent.raise_for_status()
        told = client.get(f"{where}/{sent.json()['event_id']}").text
        events = re.findall(r"event: (complete|error)\ndata: (.*)", told)
        if not events:
            raise RuntimeError("the stream of events ended without an answer")
        return events[-1][0], json.loads(events[-1][1])

    def _answer(self, client: httpx.Client, outcome: Outcome, endpoint: str, values: list) -> dict[str, Any]:
        kind, answer = self._call(client, endpoint, values)
        if kind == "error":
            raise RuntimeError(f"refused: {answer}")
        outcome.files += [file["path"] for file in answer[1]]
        return answer[0]

    def _picture(self, client, outcome: Outcome, kind: str, name: str, picture, sample, rng) -> None:
        wanted = {"segment": REFERRING, "compare": REFERRING, "semantic": SEMANTIC, "parts": PART}[kind]
        there = {p.text.removeprefix("[semantic] "): p.mask for p in sample.prompts if p.kind.split("/")[0] == wanted}
        there = there or {p.text: p.mask for p in sample.prompts if p.kind != ABSENT}
        most = {"segment": 3, "compare": 1}.get(kind, 4)
        texts = [str(text) for text in rng.permutation(list(there))[:most]]
        values = {
            "segment": [picture, ", ".join(texts), "", 0.5],
            "semantic": [picture, ", ".join(texts), ""],
            "parts": [picture, "", ", ".join(texts), ""],
            "compare": [picture, ", ".join(texts), "checkpoints", "evf-sam2-tiny, evf-sam-tiny", ""],
        }[kind]
        found = self._answer(client, outcome, kind, values)
        rows = found["sides"] if kind == "compare" else found["results"]
        expected = texts * 2 if kind == "compare" else texts
        if [row["phrase"] for row in rows] != expected:
            outcome.wrong = f"crossed: asked for {expected}, got {[row['phrase'] for row in rows]}"
        masks = [decode_rle(row["rle"]) for row in rows]
        if any(mask.shape != sample.image.shape[:2] for mask in masks):
            outcome.wrong = "crossed: a mask of another size"
        elif "picture" in found and found["picture"]["name"] != name:
            outcome.wrong = f"crossed: {found['picture']['name']} instead of {name}"
        else:
            outcome.ious += [mask_iou(mask, there[text]) for mask, text in zip(masks, expected, strict=True)]

    def _track(self, client, outcome: Outcome, number: int, size_hw: tuple[int, int]) -> None:
        clip = make_clip(FIRST_SEED + number, CLIP_FRAMES, size_hw[1] / size_hw[0])
        phrase = f"the dog number {number}"  # its own words: whether it is there does not matter here
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"clip-{number}.mp4"
            with open_writer(path, Fraction(10)) as writer:
                for t in range(CLIP_FRAMES):
                    writer.write(render(clip.frame(t), size_hw).image, Fraction(t, 10), Fraction(1, 10))
            video = self._upload(client, outcome, path.name, path.read_bytes())
        found = self._answer(client, outcome, "track", [video, phrase, 0, "forward", 0, 0, "", True])
        if [o["phrase"] for o in found["objects"]] != [phrase] or len(found["times_s"]) != CLIP_FRAMES:
            outcome.wrong = f"crossed: asked for {phrase}, got {found['objects']}"

    def _bad(self, client, outcome: Outcome, picture: dict[str, Any], rng) -> None:
        broken = self._upload(client, outcome, "broken.png", b"\x89PNG\r\n\x1a\n" + rng.bytes(500))
        endpoint, values = [
            ("segment", [{"path": "/etc/hostname"}, "the dog", "", 0.5]),
            ("segment", [broken, "the dog", "", 0.5]),
            ("segment", [picture, " ", "", 0.5]),
            ("segment", [picture, "the dog", "", float("nan")]),
            ("semantic", [picture, ", ".join(f"thing {i}" for i in range(13)), ""]),
            ("parts", [picture, "car", "wheel", "no-such-model"]),
            ("compare", [picture, "the dog", "colours", "", ""]),
            ("track", [broken, "the dog", 0, "forward", 0, 0, "", True]),
        ][rng.integers(8)]
        kind, answer = self._call(client, endpoint, values)
        sentence = answer.get("error") if kind == "error" else None
        if not sentence or not sentence.endswith("."):
            raise RuntimeError(f"no sentence for {endpoint} {values[1:]}: {answer}")


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "png")
    return buffer.getvalue()


def start_app(folder: Path, *options: str, root: Path = ROOT) -> tuple[subprocess.Popen, str]:
    """The process of ``python app.py`` in a checkout, which answers by now, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "0", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(root / "app.py"), "--port", str(port), "--device", "cpu", *options]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, cwd=root, **quiet)
    url = f"http://127.0.0.1:{port}/"
    for _ in range(300):
        try:
            httpx.get(url)
            return process, url
        except httpx.HTTPError:
            time.sleep(1)
    process.kill()
    raise RuntimeError("the app did not answer within five minutes")


def resident_mib(process: subprocess.Popen) -> float:
    """Resident memory of a process; Linux alone says it. NaN if the process has ended."""
    told = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
    return int(told[1]) / 1024 if told else float("nan")


def files_in(folder: Path) -> set[str]:
    return {str(path.resolve()) for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def run(url: str, process: subprocess.Popen, args: argparse.Namespace) -> tuple[list[Outcome], list[float]]:
    """All outcomes, and the app's memory before the first request and after each tenth of them, while nothing runs."""
    asker, outcomes, memory = Asker(url, args.seed), [], [resident_mib(process)]
    end = time.monotonic() + 60 * args.minutes

    def ask(number: int) -> Outcome | None:
        return asker.ask(number) if time.monotonic() < end else None

    with ThreadPoolExecutor(args.clients) as clients:
        for tenth in np.array_split(np.arange(args.requests), 10):
            outcomes += filter(None, clients.map(ask, tenth.tolist()))
            memory.append(resident_mib(process))
            print(f"{len(outcomes)} requests, {memory[-1]:.0f} MiB", file=sys.stderr, flush=True)
    return outcomes, memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=120, help="no request is sent later than this")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        process, url = start_app(Path(temporary))
        try:
            began = time.perf_counter()
            outcomes, memory = run(url, process, args)
            print(report(outcomes, memory, args, time.perf_counter() - began), flush=True)
            known = {str(Path(path).resolve()) for outcome in outcomes for path in outcome.files}
            unknown = files_in(Path(temporary)) - known
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
                print(f"The app did not end within {ENDING_S} s after SIGTERM.")
        left = files_in(Path(temporary))
    print(f"\nFiles that no answer named: {len(unknown)}. Files after the app was ended: {len(left)}.")
    for outcome in outcomes:
        if outcome.wrong:
            print(f"{outcome.kind}: {outcome.wrong}"[:300])
    return 1 if unknown or left or any(outcome.wrong for outcome in outcomes) else 0


def report(outcomes: list[Outcome], memory: list[float], args: argparse.Namespace, seconds: float) -> str:
    """The table, in Markdown."""
    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_kind[outcome.kind].append(outcome)
    lines = [
        f"{args.clients} clients, {len(outcomes)} requests, seed {args.seed}, {seconds:.0f} s",
        "",
        "| kind | requests | lost | crossed | p50 s | p95 s | median IoU |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in (*SHARES, "all"):
        some = outcomes if kind == "all" else by_kind[kind]
        if not some:
            continue
        times, ious = [o.seconds for o in some], [iou for o in some for iou in o.ious]
        counts = [sum(o.wrong.startswith(word) for o in some) for word in ("lost", "crossed")]
        median = f"{np.median(ious):.3f}" if ious else "-"
        p50, p95 = np.percentile(times, [50, 95])
        lines.append(f"| {kind} | {len(some)} | {counts[0]} | {counts[1]} | {p50:.1f} | {p95:.1f} | {median} |")
    points = ", ".join(f"{mib:.0f}" for mib in memory)
    lines += ["", f"Memory of the app in MiB, at the start and after each tenth of the requests: {points}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
