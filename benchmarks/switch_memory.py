"""Memory after the app switches between checkpoints.

    python benchmarks/switch_memory.py                          # two folders of the evf-sam2 size, float16 files
    python benchmarks/switch_memory.py FOLDER FOLDER --rounds 5

Loads the checkpoints in turn into a pool that holds one, and prints the resident memory after each switch. Files are
float16 and models float32, so weights are copies and not views of the file. Linux only.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def status_bytes(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def switch(folders: list[Path], rounds: int) -> None:
    from types import SimpleNamespace

    from evfsam.checkpoints.load import build_and_fill
    from evfsam.checkpoints.pool import ModelPool, weight_bytes
    from evfsam.modeling.segmenters import sam, sam2  # noqa: F401  imported before the first measurement

    pool = ModelPool(budget_bytes=0)  # holds only the last model
    start = status_bytes("VmRSS")
    print(f"before any        {start / 1e9:6.2f} GB")
    for round_ in range(rounds):
        for folder in folders:
            held = pool.get(folder, lambda folder=folder: SimpleNamespace(model=build_and_fill(folder)), 1)
            size = weight_bytes(held.model)
            del held
            above = status_bytes("VmRSS") - start
            print(f"round {round_ + 1}, {folder.name:8} + {above / 1e9:6.2f} GB, weights {size / 1e9:.2f} GB")
    print(f"peak at a switch + {(status_bytes('VmHWM') - start) / 1e9:6.2f} GB, with pages of the mapped file")
    pool.clear()
    print(f"after release    + {(status_bytes('VmRSS') - start) / 1e9:6.2f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="checkpoints; by default random ones are written")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.folders:
        switch(args.folders, args.rounds)
        return
    import subprocess

    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in ("one", "two")]
        code = "import sys; from pathlib import Path; from benchmarks.load_memory import write_checkpoint as w; "
        for folder in folders:
            folder.mkdir()
            command = [sys.executable, "-c", code + "w(Path(sys.argv[1]), 'evf-sam2', 'float16')", str(folder)]
            subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
        switch(folders, args.rounds)


if __name__ == "__main__":
    main()
