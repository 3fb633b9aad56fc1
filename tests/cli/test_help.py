"""Help texts come at once: they import nothing that takes long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "gradio", "transformers", "huggingface_hub", "cv2", "av", "PIL")
VERBS = ("segment", "track", "evaluate", "train", "models", "app")
ASK = f"""
import runpy, sys
try:
    runpy.run_{{how}}({{what!r}}, run_name="__main__")
except SystemExit:
    pass
print("heavy:", [name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("how", "what", "arguments"),
    [
        ("module", "evfsam", ["--help"]),
        ("path", "app.py", ["--help"]),
        *(("module", "evfsam", [verb, "--help"]) for verb in VERBS),
    ],
    ids=str,
)
def test_help_imports_nothing_that_takes_long(how, what, arguments):
    command = [sys.executable, "-c", ASK.format(how=how, what=what), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower() and done.stdout.splitlines()[-1] == "heavy: []"
