"""Which functions a call enters."""

from __future__ import annotations

import sys
from pathlib import Path

import evfsam


def functions_entered(call) -> set[str]:
    """Names of this package's functions that a call enters, without comprehensions."""
    root, names = f"{Path(evfsam.__file__).parent}/", set()

    def note(frame, event, _):
        code = frame.f_code
        inline = code.co_name.endswith(("comp>", "<genexpr>", "<lambda>"))
        if event == "call" and code.co_filename.startswith(root) and not inline:
            names.add(f"{code.co_filename.removeprefix(root)} {getattr(code, 'co_qualname', code.co_name)}")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return names
