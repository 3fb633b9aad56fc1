"""How long a newcomer waits: ``--help``, the page after ``python app.py``, and the first mask after the page.

    python -m benchmarks.start --before ../base --runs 5 --json start.json

``--before`` is another checkout, such as ``git worktree add ../base COMMIT``; the two take turns. Wall time says what
a user waits; CPU time of the process holds on a busy machine too. "Ready" is the page and a mask that is asked for as
soon as the page is there; "next mask" is one more, of another picture. Each figure is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parents[1]
VERBS = ("segment", "track", "evaluate", "train", "models")
HELPS = {
    "evfsam --help": ["-m", "evfsam", "--help"],
    "app.py --help": ["app.py", "--help"],
    **{f"evfsam {verb} --help": ["-m", "evfsam", verb, "--help"] for verb in VERBS},
}
PICTURES = [HERE / "assets/examples" / name for name in ("street.jpg", "harbour.jpg")]
LONGEST_S = 180


def help_seconds(checkout: Path, command: list[str]) -> dict[str, float]:
    """Seconds until a help text is printed."""
    used, start = _children_cpu(), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=checkout, check=True, stdout=subprocess.DEVNULL)
    return {"wall_s": time.perf_counter() - start, "cpu_s": _children_cpu() - used}


def page_seconds(checkout: Path, temp: Path) -> dict[str, dict[str, float]]:
    """Seconds from the start of ``app.py`` to its page, from there to a mask, and for one more mask."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    environment = {
        **os.environ,
        "GRADIO_ANALYTICS_ENABLED": "0",
        "GRADIO_TEMP_DIR": str(temp),
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "*",
        "OMP_WAIT_POLICY": "passive",  # a thread that waits for a busy core takes no CPU time
    }
    command = [sys.executable, "app.py", "--port", url.rsplit(":", 1)[1]]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait_for(url, process)
        moments = [(start, 0.0), (time.perf_counter(), _cpu_of(process.pid))]
        for picture in PICTURES:
            _ask(url, picture)
            moments.append((time.perf_counter(), _cpu_of(process.pid)))
    finally:
        process.terminate()
        process.wait()
    spans = zip(("page answers", "first mask after that", "next mask"), moments, moments[1:], strict=False)
    return {what: {"wall_s": to[0] - at[0], "cpu_s": to[1] - at[1]} for what, at, to in spans}


def _wait_for(url: str, process: subprocess.Popen) -> None:
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit("app.py ended before its page was there.")
        try:
            urllib.request.urlopen(url).read()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"app.py gave no page within {LONGEST_S} s.")


def _ask(url: str, path: Path) -> None:
    """Ask for a mask as a program would: upload a picture, ask, read the answer."""
    boundary = "picture"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'.encode()
        + path.read_bytes()
        + f"\r\n--{boundary}--\r\n".encode()
    )
    uploaded = _post(f"{url}/gradio_api/upload", body, f"multipart/form-data; boundary={boundary}")[0]
    picture = {"path": uploaded, "meta": {"_type": "gradio.FileData"}}
    asked = json.dumps({"data": [picture, "the bus", "", 0.5]}).encode()
    event = _post(f"{url}/gradio_api/call/segment", asked, "application/json")["event_id"]
    answer = urllib.request.urlopen(f"{url}/gradio_api/call/segment/{event}").read().decode()
    if "event: complete" not in answer:
        raise SystemExit(f"No mask came: {answer[-300:]}")


def _post(url: str, body: bytes, kind: str):
    return json.load(urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind})))


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_of(pid: int) -> float:
    """CPU seconds of a running process with all its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(checkouts: dict[str, Path], runs: int, page_runs: int) -> dict[str, dict[str, list[dict[str, float]]]]:
    """{what: {checkout: its runs}}; the checkouts take turns."""
    found: dict[str, dict[str, list]] = {}
    for run in range(runs):
        for name, checkout in checkouts.items():
            for what, command in HELPS.items():
                found.setdefault(what, {}).setdefault(name, []).append(help_seconds(checkout, command))
            if run < page_runs:
                with tempfile.TemporaryDirectory() as temp:
                    for what, seconds in page_seconds(checkout, Path(temp)).items():
                        found.setdefault(what, {}).setdefault(name, []).append(seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout to compare with")
    parser.add_argument("--runs", type=int, default=5, help="of each help text (default 5)")
    parser.add_argument("--page-runs", type=int, default=3, help="of the page (default 3)")
    parser.add_argument("--json", type=Path, help="where to write all runs")
    args = parser.parse_args()
    checkouts = {**({"before": args.before} if args.before else {}), "now": HERE}
    found = measure(checkouts, args.runs, args.page_runs)
    if args.json:
        args.json.write_text(json.dumps({"cpus": os.cpu_count(), "load": os.getloadavg(), "runs": found}, indent=1))
    print("| seconds (median) | " + " | ".join(f"{name}: wall | CPU" for name in checkouts) + " |")
    print("|---|" + "---|---|" * len(checkouts))
    for what, by in found.items():
        medians = [statistics.median(run[key] for run in by[name]) for name in checkouts for key in ("wall_s", "cpu_s")]
        print(f"| {what} | " + " | ".join(f"{seconds:.2f}" for seconds in medians) + " |")


if __name__ == "__main__":
    main()
