"""What each refinement of a bundled checkpoint costs: milliseconds per prompt, each alone beside none.

    python -m benchmarks.beyond_paper

An image is encoded and eight prompts are answered; the best of several rounds counts, all on one thread. Machines are
noisy, so compare the columns of one run. What each refinement is worth is measured by
``python -m evfsam evaluate --probes refinements``.
"""

from __future__ import annotations

import time
from dataclasses import fields, replace

import cv2
import torch

from evfsam.data.scenes import make_scene, render
from evfsam.predictor import Predictor
from evfsam.refine.refinement import Refinement

SIZES_HW = ((320, 320), (720, 960), (1500, 2000))
PROMPTS = (
    "the red car",
    "the left tree",
    "yellow ball",
    "the bird",
    "the largest house",
    "dog",
    "the boat",
    "person in red",
)
ROUNDS = 5


def milliseconds(predictor: Predictor, refinement: Refinement, size_hw: tuple[int, int]) -> float:
    """Per prompt, the best of :data:`ROUNDS`."""
    image = render(make_scene(900_005, size_hw[1] / size_hw[0]), size_hw).image
    took = []
    for _ in range(ROUNDS):
        fresh = predictor.with_refinement(refinement)  # remembers no image
        start = time.perf_counter()
        fresh.segment(image, PROMPTS)
        took.append(time.perf_counter() - start)
    return 1000 * min(took) / len(PROMPTS)


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    predictor = Predictor.from_pretrained("evf-sam2-tiny", device="cpu")
    asked, none = predictor.info.refinement, Refinement()
    columns = {"none": none}
    columns |= {f.name: replace(none, **{f.name: getattr(asked, f.name)}) for f in fields(Refinement)}
    columns |= {"all": asked}
    print("  ".join(["image".rjust(12), *columns]))
    for height, width in SIZES_HW:
        cells = [
            f"{milliseconds(predictor, refinement, (height, width)):{len(name)}.1f}"
            for name, refinement in columns.items()
        ]
        print("  ".join([f"{width} x {height}".rjust(12), *cells]))


if __name__ == "__main__":
    main()
