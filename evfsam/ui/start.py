"""Starts the page: ``python app.py`` and ``evfsam app``."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from threading import Thread
from typing import NoReturn

from evfsam.errors import EvfSamError
from evfsam.ui.settings import check, read_settings


def main(arguments: Sequence[str], prog: str = "app.py") -> int:
    """Build the page and serve it until the process is ended. Returns 2 if it cannot be started as asked."""
    try:
        settings = read_settings(arguments)
        print("Starting EVF-SAM ...", flush=True)
        check(settings)
        from evfsam.ui.files import claim_folder

        claim_folder()
        signal.signal(signal.SIGTERM, lambda number, _: _end(128 + number))
        # These take seconds to import: a mistake is told before.
        sys.meta_path.insert(0, WithoutStubs())
        gc.disable()  # imports leave hardly any garbage, and to look for it takes half a second
        from evfsam.ui.app import build_app, serve
        from evfsam.ui.service import ModelService
        from evfsam.ui.tidy import share_heaps

        share_heaps()  # before threads begin
        gc.freeze()  # modules stay: later searches pass them over
        gc.enable()
        service = ModelService(settings)
    except EvfSamError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _end(128 + signal.SIGINT)
    # Beside the page. Whoever asks before the model is loaded waits for this load.
    Thread(target=service.warm, name="warm", daemon=True).start()
    try:
        serve(build_app(service), settings)
    except EvfSamError as error:
        print(f"{prog}: {error}", file=sys.stderr, flush=True)
        _end(2)
    except KeyboardInterrupt:
        pass
    _end(128 + signal.SIGINT)  # Gradio ends at Ctrl+C without an error


class WithoutStubs(MetaPathFinder):
    """Keeps Gradio from writing type stubs beside its own source files: that is half of the time of its import.

    It does so for each of its components in every process that imports it. Only editors read them.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "gradio.component_meta":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module) -> None:
            run(module)
            module.create_or_modify_pyi = lambda *_: None

        spec.loader.exec_module = exec_module
        return spec


def _end(code: int) -> NoReturn:
    from evfsam.ui.files import delete_folders

    # At once: an ordinary exit would wait for the jobs at work, and abort where a thread loads a model.
    delete_folders()
    os._exit(code)
