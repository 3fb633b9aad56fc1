"""Peak resident memory while a checkpoint of a published size is loaded, compared with the size of its file.

    python benchmarks/load_memory.py                       # evf-sam2, float32: writes and removes 3.6 GB
    python benchmarks/load_memory.py --model evf-sam --dtype float16
    python benchmarks/load_memory.py --folder path/to/a/checkpoint

Loading runs in its own process. The peak includes the pages of the mapped file, but not what the process needed before
(Python, torch, packages). Then every weight is read once, so all of them are in memory. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

CHILD = """
import json, re, sys
from pathlib import Path

import torch
from evfsam.checkpoints.load import build_and_fill
from evfsam.modeling.segmenters import sam, sam2

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

before = status("VmRSS")
model = build_and_fill(sys.argv[1], dtype=getattr(torch, sys.argv[2]))
after_load = status("VmHWM")
for parameter in model.parameters():  # a value of each page, which are of 4 kB or more
    parameter.detach().view(-1)[:: 4096 // parameter.element_size()].float().sum()
print(json.dumps({"before": before, "load": after_load - before, "all_read": status("VmHWM") - before}))
"""


def write_checkpoint(folder: Path, name: str, dtype: str) -> None:
    """Write the files of a published size: its config, and weights that are all ones."""
    import torch
    from safetensors.torch import save_file

    from evfsam.checkpoints.keymap import to_published
    from evfsam.checkpoints.registry import find
    from evfsam.modeling.build import build_model
    from evfsam.modeling.config import EvfConfig

    info = find(name)
    scale = {"sam": "huge", "sam2": "large"}[info.kind]
    config = EvfConfig.official(info.kind, scale, "large")
    state = build_model(config, weights=False).state_dict()
    ones = {to_published(key): torch.ones(value.shape, dtype=getattr(torch, dtype)) for key, value in state.items()}
    save_file(ones, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config.to_dict()))


def measure(folder: Path, dtype: str) -> None:
    """Load the checkpoint in a process and print its memory."""
    from evfsam.checkpoints.layout import weight_files

    size = sum(path.stat().st_size for path in weight_files(folder))
    command = [sys.executable, "-c", CHILD, str(folder), dtype]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    peak = json.loads(done.stdout)
    print(f"file                     {size / 1e9:6.2f} GB")
    print(f"process before           {peak['before'] / 1e9:6.2f} GB")
    print(f"peak while loading     + {peak['load'] / 1e9:6.2f} GB = {peak['load'] / size:.2f} of the file")
    print(f"peak, all weights read + {peak['all_read'] / 1e9:6.2f} GB = {peak['all_read'] / size:.2f} of the file")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="evf-sam2", help="a published name, whose size is imitated")
    parser.add_argument("--dtype", default="float32", help="of the file and of the loaded model")
    parser.add_argument("--folder", type=Path, help="measure the files there instead")
    args = parser.parse_args()
    if args.folder:
        measure(args.folder, args.dtype)
        return
    with tempfile.TemporaryDirectory() as folder:
        # In its own process, so that its memory does not count.
        code = "import sys; from pathlib import Path; from benchmarks.load_memory import write_checkpoint as w; "
        command = [sys.executable, "-c", code + "w(Path(sys.argv[1]), *sys.argv[2:])", folder, args.model, args.dtype]
        subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
        measure(Path(folder), args.dtype)


if __name__ == "__main__":
    main()
