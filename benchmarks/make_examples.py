"""Renders the example pictures and clips of the app from the test seeds, which no training run may use.

    python -m benchmarks.make_examples

``examples.json`` and ``clips.json`` in ``assets/examples`` list them with their seeds, so that a test can hold
an answer against the scene's truth; the photographs beside them are described in ``CREDITS.md`` there.
"""

from fractions import Fraction

from PIL import Image

from evfsam.data.scenes import make_scene, render
from evfsam.data.scenes.clips import make_clip
from evfsam.media.video_writer import open_writer
from evfsam.ui.examples import ExampleClip, read_clips, read_examples


def main() -> None:
    for example in read_examples():
        if example.seed is not None:
            width, height = example.size
            picture = render(make_scene(example.seed, width / height), (height, width)).image
            Image.fromarray(picture).save(example.file, quality=92)
            print(example.file)
    for example in read_clips():
        draw_clip(example)
        print(example.file)


def draw_clip(example: ExampleClip) -> None:
    width, height = example.size
    clip = make_clip(example.seed, example.frames, width / height)
    with open_writer(example.file, Fraction(example.fps)) as writer:
        for t in range(example.frames):
            picture = render(clip.frame(t), (height, width)).image
            writer.write(picture, Fraction(t, example.fps), Fraction(1, example.fps))


if __name__ == "__main__":
    main()
