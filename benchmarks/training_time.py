"""How long a recipe would take on this machine, stage by stage, with nothing else running.

    python -m benchmarks.training_time evf-sam2-tiny-256 --processes 2
    python -m benchmarks.training_time evf-sam2-tiny --processes 1 --batch 8      # on a GPU

Runs a few steps of every stage on few scenes, and multiplies. Rendering, cached features and the calibration at the
end are not counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from evfsam.training.recipes import RECIPES


def measure(name: str, steps: int, scenes: int, processes: int, batch: int) -> dict[str, float]:
    """Stage -> prompts per second."""
    with tempfile.TemporaryDirectory() as folder:
        stages = [stage.name for stage in RECIPES[name].stages]
        launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes), "-m", "evfsam", "train"]
        few = ["--steps", str(steps), "--scenes", str(scenes), "--batch", str(batch), "--stages", *stages]
        subprocess.run([sys.executable, *launch, "--recipe", name, "--out", folder, *few], check=True)
        rows = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").open()]
    return {row["stage"]: row["prompts_s"] for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[name for name, recipe in RECIPES.items() if recipe.renders_all])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1, help="multiplies the images in a batch")
    args = parser.parse_args()
    total = 0.0
    print(f"{'stage':10} {'steps':>6} {'prompts':>8} {'prompts/s':>10} {'minutes':>8}")
    for stage, rate in measure(args.name, args.steps, args.scenes, args.processes, args.batch).items():
        config = RECIPES[args.name].stage(stage)
        prompts = config.steps * config.images * config.prompts * args.processes * args.batch
        total += prompts / rate / 60
        print(f"{stage:10} {config.steps:6} {prompts:8} {rate:10.1f} {prompts / rate / 60:8.0f}")
    print(f"{args.name}: {total:.0f} minutes")


if __name__ == "__main__":
    main()
