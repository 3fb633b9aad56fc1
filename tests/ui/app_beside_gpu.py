"""``app.py`` as on a machine with a GPU: what it offers is chosen for one, while its models run on the CPU."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from evfsam.runtime import Runtime
from evfsam.ui import checkpoints, service
from evfsam.ui.start import main

GPU = Runtime(torch.device("cuda"), torch.float16)
FREE_BYTES = 24 * 10**9


class BesideGpu(checkpoints.Checkpoints):
    def __init__(self, names, runtime, download=True):
        super().__init__(names, GPU, download)


if __name__ == "__main__":
    service.Checkpoints = BesideGpu
    checkpoints.free_bytes = lambda device: FREE_BYTES
    sys.exit(main([*sys.argv[1:], "--device", "cpu"]))
