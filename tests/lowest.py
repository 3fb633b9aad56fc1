"""Imports every module with the lowest versions that requirements.txt allows, and segments once: python tests/lowest.py

Run it with a Python that has the requirements. torch, torchvision, sam2 and segment-anything stay as they are there:
they are gigabytes, or take minutes to build. The others are installed into a folder that is thrown away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "torchvision", "sam2", "segment-anything"}
CHECK = """
import importlib, pkgutil
from importlib.metadata import version
import evfsam
for module in pkgutil.walk_packages(evfsam.__path__, "evfsam."):
    if not module.name.endswith(("__main__", "batch.serve")):  # the latter needs requirements-scale.txt
        importlib.import_module(module.name)
for name, lowest in {lowest}:
    assert version(name) == lowest or version(name).startswith(lowest + "."), (name, version(name))
found = evfsam.Predictor.from_pretrained(device="cpu").segment("assets/examples/street.jpg", "the bus")
assert found[0].mask.any()
"""


def lowest_versions() -> list[tuple[str, str]]:
    """(name, lower bound) of every requirement that is light to install."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    requirements = [Requirement(line) for line in lines if line]
    bounds = {r.name: [s.version for s in r.specifier if s.operator in (">=", "==")] for r in requirements}
    return [(name, bound) for name, (bound,) in bounds.items() if name not in HEAVY]


def main() -> None:
    lowest = lowest_versions()
    with tempfile.TemporaryDirectory() as folder:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pinned = [f"{name}=={version}" for name, version in lowest]
        subprocess.run([*install, "--only-binary=:all:", "--target", folder, *pinned], check=True)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(ROOT)]), "HF_HUB_OFFLINE": "1"}
        subprocess.run([sys.executable, "-c", CHECK.format(lowest=lowest)], cwd=ROOT, env=environment, check=True)
    print(f"works with {', '.join(pinned)}")


if __name__ == "__main__":
    main()
