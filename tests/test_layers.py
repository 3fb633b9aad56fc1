"""The house keeps its order: imports go one way, libraries stay at home (read with ast, nothing is run)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up. A module may import from lower floors and from its own package, never from a neighbour.
# "evfsam" is the package's own __init__.
FLOORS = (
    ("geometry", "errors", "resources"),
    ("types", "values", "words"),
    ("runtime",),
    ("modeling", "processing"),
    ("refine",),
    ("media",),
    ("checkpoints", "data"),  # data sets read images as the app does
    ("predictor",),
    ("things", "together"),  # what is asked of a predictor in more than one call
    ("video", "systems"),
    ("evfsam",),
    ("evaluation",),
    ("training", "batch"),
    ("ui", "cli"),
    ("__main__", "app"),
)
FLOOR_OF = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}

# A library -> where it may be imported.
HOMES = {
    "gradio": {"ui"},
    "spaces": {"ui", "app"},
    "huggingface_hub": {"checkpoints"},
    "transformers": {"checkpoints", "systems", "modeling"},  # modeling: CLIP and ViLT as encoders
    "gradio_client": {"systems"},
    "sentencepiece": {"checkpoints"},
    "tokenizers": {"checkpoints"},
    "spellchecker": {"words"},
    "segment_anything": {"modeling"},
    "sam2": {"modeling"},
    "accelerate": {"training"},
    "av": {"media"},
    "ray": {"batch"},
    "pycocotools": {"media", "data"},
}
WITHOUT_TORCH = {"data", "media", "errors", "values", "words"}  # rendering and files serve processes that have no model


def modules() -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in [*ROOT.glob("evfsam/**/*.py"), *ROOT.glob("app.py")])


def package_of(parts: tuple[str, ...]) -> str:
    """("evfsam", "ui", "app") -> "ui"; the package's own __init__ is "evfsam"."""
    inside = parts[1:] if parts[0] == "evfsam" else parts
    return inside[0] if inside else "evfsam"


def place_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return package_of(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str) -> set[str]:
    """Dotted names of everything imported anywhere in a file; "from a import b" counts as a.b."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they go"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def offences(place: str, source: str) -> list[str]:
    """What a file of that place may not import, in words."""
    found = []
    for name in sorted(imported(source)):
        parts = tuple(name.split("."))
        if parts[0] == "evfsam":
            package = package_of(parts)
            package = package if package in FLOOR_OF else "evfsam"  # from evfsam import Predictor
            if package != place and FLOOR_OF[package] >= FLOOR_OF[place]:
                found.append(f"{place} imports {name} from its own floor or above")
        elif place not in HOMES.get(parts[0], {place}):
            found.append(f"{parts[0]} lives in {HOMES[parts[0]]}, not in {place}")
        elif parts[0] in ("torch", "torchvision") and place in WITHOUT_TORCH:
            found.append(f"{place} does without torch")
    return found


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports(path):
    place = place_of(path)
    assert place in FLOOR_OF, f"{path} stands on no floor: put it into a package, or add it to FLOORS and say why"
    assert not offences(place, (ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("place", "source", "allowed"),
    [
        ("ui", "import gradio as gr", True),
        ("predictor", "import gradio", False),
        ("predictor", "from evfsam.checkpoints.load import load_checkpoint", True),
        ("checkpoints", "from evfsam.predictor import Predictor", False),
        ("modeling", "from evfsam.processing import inputs", False),
        ("modeling", "from evfsam.modeling.config import EvfConfig", True),
        ("cli", "from evfsam import Predictor", True),
        ("media", "def f():\n    from evfsam import Predictor", False),
        ("data", "def f():\n    import torch.nn", False),
        ("cli", "from huggingface_hub import snapshot_download", False),
    ],
)
def test_the_reader_sees(place, source, allowed):
    assert (not offences(place, source)) == allowed
