"""What the start leaves out, so that page and first mask come soon."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = """
import sys
from evfsam.ui.start import WithoutStubs
sys.meta_path.insert(0, WithoutStubs())
import gradio
import numpy as np
import evfsam.ui.app
assert gradio.component_meta.create_or_modify_pyi("no class", "", []) is None and gradio.Row.__name__ == "Row"
with gradio.utils.MatplotlibBackendMananger():  # as around each answer
    heavy = ("transformers", "torch._dynamo", "sympy", "torchvision", "matplotlib")
print([name for name in heavy if name in sys.modules])
evfsam.Predictor.from_pretrained("evf-sam2-tiny", "cpu").segment(np.zeros((32, 32, 3), np.uint8), ["the sky"])
print([name for name in ("torch._dynamo", "sympy", "transformers") if name in sys.modules])
"""


def test_page_and_first_mask_need_no_compiler_and_no_transformers_and_gradio_writes_no_type_stubs():
    done = subprocess.run([sys.executable, "-c", START], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["[]", "[]"]
