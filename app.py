"""Starts the app: ``python app.py``, or as a Hugging Face Space."""

import contextlib
import sys

with contextlib.suppress(ImportError):
    import spaces  # noqa: F401  ZeroGPU has to be there before torch

from evfsam.errors import EvfSamError
from evfsam.ui.app import build_app, serve
from evfsam.ui.service import ModelService
from evfsam.ui.settings import read_settings


def main(arguments: list[str]) -> int:
    """Build the page and serve it until interrupted; 2 if it cannot be started as asked."""
    settings = read_settings(arguments)
    try:
        service = ModelService(settings)
    except EvfSamError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    serve(build_app(service), settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
