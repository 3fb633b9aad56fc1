"""The example pictures, with phrases that fit them."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "assets" / "examples"


def referring_examples(folder: Path = FOLDER) -> list[list[str]]:
    """Rows of [picture path, phrases]; the rendered ones first, which the bundled checkpoint knows."""
    rows = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    return [[str(folder / row["picture"]), ", ".join(row["phrases"])] for row in rows]
