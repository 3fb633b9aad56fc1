"""What bundled checkpoints do beyond the paper, and what it costs: a second answer, edges followed, strays dropped.

    python -m benchmarks.beyond_paper

Once, twice: a phrase for one thing answered without and with a second answer (the second one's ratio to the first).
Smooth, edges: its mask brought back to the picture without and with edges followed. Guide: once a picture.
Strays: small pieces dropped from it, the mean of the phrases' masks.
Milliseconds a phrase, the best of several rounds, all in one run on one thread: machines are noisy, ratios less so.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import torch

from evfsam.data.scenes import make_scene, render
from evfsam.predictor import Predictor
from evfsam.processing.masks import restore, without_strays
from evfsam.refine.guided_filter import filter_masks, make_guide

SIZES_HW = ((320, 320), (720, 960), (1500, 2000))
ASKED = (
    "the red car",
    "the left tree",
    "yellow ball",
    "the bird",
    "the largest house",
    "dog",
    "the boat",
    "person in red",
)
PHRASES, ROUNDS = len(ASKED), 5


def milliseconds(work: Callable[[], object], times: int = 1) -> float:
    """The best of :data:`ROUNDS`, divided by ``times``."""
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return 1000 * min(took) / times


def measure(predictor: Predictor, size_hw: tuple[int, int]) -> str:
    """One line of the table."""
    height, width = size_hw
    phrases = list(ASKED)
    picture = render(make_scene(900_005, width / height), size_hw).image
    plain = predictor.with_facts(self_prompts=False)
    encoded = predictor.encode(picture)
    low_res = torch.cat([masks.low_res_masks for masks, _ in predictor.answers(encoded, phrases)])
    guide = milliseconds(lambda: make_guide(picture, encoded.geometry))
    once = milliseconds(lambda: plain.answers(encoded, phrases), PHRASES)
    twice = milliseconds(lambda: predictor.answers(encoded, phrases), PHRASES)
    smooth = milliseconds(lambda: restore(low_res, encoded.geometry), PHRASES)
    edges = milliseconds(lambda: filter_masks(low_res, encoded.guide), PHRASES)
    followed = filter_masks(low_res, encoded.guide)
    strays = milliseconds(lambda: [without_strays(logits) for logits in followed], PHRASES)
    figures = f"{once:8.1f}{twice:8.1f}{twice / once:14.2f}{smooth:9.1f}{edges:8.1f}{guide:8.1f}{strays:8.1f}"
    return f"{width} x {height}".rjust(12) + figures


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    predictor = Predictor.from_pretrained("evf-sam2-tiny", device="cpu")
    print(
        f"{'picture':>12}{'once':>8}{'twice':>8}{'twice / once':>14}{'smooth':>9}{'edges':>8}{'guide':>8}{'strays':>8}"
    )
    for size_hw in SIZES_HW:
        print(measure(predictor, size_hw))


if __name__ == "__main__":
    main()
