"""What the start leaves out, so that page and first mask come soon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOAD = """
import sys
import numpy as np
import evfsam
evfsam.Predictor.from_pretrained("evf-sam2-tiny", "cpu").segment(np.zeros((32, 32, 3), np.uint8), ["the sky"])
print([name for name in ("torch._dynamo", "sympy", "transformers") if name in sys.modules])
"""


PAGE = """
import sys
from evfsam.ui.start import WithoutStubs
sys.meta_path.insert(0, WithoutStubs())
import gradio
import evfsam.ui.app
assert gradio.component_meta.create_or_modify_pyi("no class", "", []) is None and gradio.Row.__name__ == "Row"
with gradio.utils.MatplotlibBackendMananger():  # as around each answer
    heavy = ("transformers", "torch._dynamo", "sympy", "torchvision", "matplotlib")
print([name for name in heavy if name in sys.modules])
"""


def last_line(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_a_first_mask_needs_no_compiler_and_no_transformers():
    assert last_line(LOAD) == "[]"


def test_the_page_comes_before_what_only_a_model_needs_and_gradio_writes_no_type_stubs():
    assert last_line(PAGE) == "[]"
