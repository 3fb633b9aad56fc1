"""Renders the example images and clips of the app from test seeds, which training never uses.

    python -m benchmarks.make_examples

``examples.json`` and ``clips.json`` in ``assets/examples`` list them with their seeds, so that tests can compare masks
with the truth. ``CREDITS.md`` there describes the photographs.
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
            image = render(make_scene(example.seed, width / height), (height, width)).image
            Image.fromarray(image).save(example.file, quality=92)
            print(example.file)
    for example in read_clips():
        draw_clip(example)
        print(example.file)


def draw_clip(example: ExampleClip) -> None:
    width, height = example.size
    clip = make_clip(example.seed, example.frames, width / height)
    with open_writer(example.file, Fraction(example.fps)) as writer:
        for t in range(example.frames):
            image = render(clip.frame(t), (height, width)).image
            writer.write(image, Fraction(t, example.fps), Fraction(1, example.fps))


if __name__ == "__main__":
    main()
