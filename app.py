"""Starts the app: ``python app.py``, or as a Hugging Face Space."""

import os
import sys

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  ZeroGPU has to be there before torch

from evfsam.ui.start import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
