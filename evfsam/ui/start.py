"""Starts the page: ``python app.py`` and ``evfsam app``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from evfsam.errors import EvfSamError
from evfsam.ui.files import claim_folder, delete_folders
from evfsam.ui.settings import check, read_settings


def main(arguments: Sequence[str], prog: str = "app.py") -> int:
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

        service = ModelService(settings)
        service.warm()
        serve(build_app(service), settings)
    except EvfSamError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _end(*_: object) -> None:
    # At once: an ordinary exit would wait for the jobs at work.
    delete_folders()
    os._exit(128 + signal.SIGTERM)
