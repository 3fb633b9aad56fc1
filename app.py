"""Starts the app: ``python app.py``, or as a Hugging Face Space."""

from __future__ import annotations

import os
import signal
import sys

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  ZeroGPU has to be there before torch

from evfsam.errors import EvfSamError
from evfsam.ui.files import claim_folder, delete_folders
from evfsam.ui.settings import check, read_settings


def main(arguments: list[str]) -> int:
    """Build the page and serve it until interrupted; 2 if it cannot be started as asked."""
    try:
        settings = read_settings(arguments)
        print("Starting EVF-SAM ...", flush=True)
        check(settings)
        claim_folder()
        signal.signal(signal.SIGTERM, _end)
        # These take seconds to import: a mistake is told before.
        from evfsam.ui.app import build_app, serve
        from evfsam.ui.service import ModelService

        serve(build_app(ModelService(settings)), settings)
    except EvfSamError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _end(*_: object) -> None:
    # At once: an ordinary exit would wait for the jobs at work.
    delete_folders()
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
