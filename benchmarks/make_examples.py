"""Renders the example pictures of the app from the test seeds, which no training run may use.

    python -m benchmarks.make_examples

``assets/examples/examples.json`` lists them with their seeds, so that a test can hold an answer against the
scene's truth; the photographs beside them are described in ``assets/examples/CREDITS.md``.
"""

from PIL import Image

from evfsam.data.scenes import make_scene, render
from evfsam.ui.examples import read_examples


def main() -> None:
    for example in read_examples():
        if example.seed is not None:
            width, height = example.size
            picture = render(make_scene(example.seed, width / height), (height, width)).picture_rgb
            Image.fromarray(picture).save(example.picture, quality=92)
            print(example.picture)


if __name__ == "__main__":
    main()
