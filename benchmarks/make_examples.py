"""Renders the example pictures of the app from the test seeds, which no training run may use.

    python benchmarks/make_examples.py

``assets/examples/examples.json`` lists them with their seeds, so that a test can hold an answer against the
scene's truth; the photographs beside them are described in ``assets/examples/CREDITS.md``.
"""

import json
from pathlib import Path

from PIL import Image

from evfsam.data.scenes import make_scene, render

FOLDER = Path(__file__).parents[1] / "assets" / "examples"


def main() -> None:
    for row in json.loads((FOLDER / "examples.json").read_text(encoding="utf-8")):
        if row["seed"] is not None:
            width, height = row["size"]
            picture = render(make_scene(row["seed"], width / height), (height, width)).picture_rgb
            Image.fromarray(picture).save(FOLDER / row["picture"], quality=92)
            print(row["picture"])


if __name__ == "__main__":
    main()
