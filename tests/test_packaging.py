"""The wheel holds the package, its marker for type checkers, the bundled checkpoints and the examples."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import evfsam

ROOT = Path(__file__).parents[1]


def test_an_installed_wheel_works_outside_the_clone(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert wheel.name.startswith(f"evfsam-{evfsam.__version__}-")
    assert (tmp_path / "site" / "evfsam" / "py.typed").is_file()
    (entry_points,) = (tmp_path / "site").glob("*.dist-info/entry_points.txt")
    assert "evfsam = evfsam.__main__:main" in entry_points.read_text()
    code = (
        "import evfsam, evfsam.resources as r;"
        "print(evfsam.__file__, [m.name for m in evfsam.list_models() if not m.on_hub], r.ASSETS / 'examples')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert str(tmp_path / "site") in done.stdout and "'evf-sam2-tiny'" in done.stdout, done.stderr
    assert (tmp_path / "site" / "evfsam" / "assets" / "examples" / "street.jpg").is_file()
