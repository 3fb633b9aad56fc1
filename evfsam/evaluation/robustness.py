"""How much is lost when the picture is worse, larger, smaller or wider, or the phrase is put in other words."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from evfsam.data.scenes import Expression
from evfsam.evaluation.metrics import MaskMetrics
from evfsam.evaluation.samples import SceneSample, Turn, scene_sample, turns
from evfsam.evaluation.wordings import WORDINGS
from evfsam.evaluation.workers import each
from evfsam.predictor import Predictor

Spoil = Callable[[np.ndarray, np.random.Generator], np.ndarray]

CLEAN_SIZE_HW = (320, 320)
SIZES = (160, 640, 1000, 2000)  # pixels a side
ODD_SIZES_HW = ((160, 480), (480, 160), (240, 426), (426, 240))
# What a checkpoint's config asks for on top of the paper, taken away.
WITHOUT = {
    "outlines that do not follow edges": "guided_filter",
    "phrases for one thing answered once": "point_refinement",
    "masks where they are likely, not where IoU is best": "iou_shift",
    "stray pieces kept": "remove_components",
}
PHRASES_AT_ONCE = 8  # masks of 2000 px take 16 MB each


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Through JPEG of quality 30."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation 20 of 255."""
    return _to_bytes(image + rng.normal(0, 20, image.shape))


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur with a sigma of 0.6 % of the longer side: about 2 px of 320."""
    return cv2.GaussianBlur(image, (0, 0), 0.006 * max(image.shape[:2]))


def darker(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _to_bytes(image * 0.5)


def brighter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _to_bytes(image * 1.4)


SPOILED: dict[str, Spoil] = {
    "JPEG quality 30": jpeg,
    "noise": noise,
    "blur": blur,
    "darker": darker,
    "brighter": brighter,
}


def evaluate_robustness(
    predictor: Predictor,
    seed: int = 900_000,
    count: int = 40,
    on_scene: Callable[[int], None] | None = None,
    workers: int = 1,
) -> dict:
    """gIoU under each change beside the gIoU of the very same phrases without it.

    For a checkpoint whose outlines follow edges, one more change is to leave that out.

    On scenes ``seed`` to ``seed + count - 1``, phrases that name something; ``workers`` processes share the scenes
    (:mod:`evfsam.evaluation.workers`). Pictures of other shapes are other scenes: their clean score is that of all
    phrases. Returns a JSON-ready dict. Raises InputError if there are no such scenes.
    """
    began = time.perf_counter()
    kept = _Kept()
    shapes = [(f"{size} px", (size, size)) for size in SIZES]
    shapes += [(f"{width} x {height} px", (height, width)) for height, width in ODD_SIZES_HW]
    start = partial(_start, CLEAN_SIZE_HW, shapes)
    for one in each(start, predictor, turns(range(seed, seed + count)), workers, on_scene):
        kept.merge(one)
    return {
        "data": "scenes",
        "measure": "robustness",
        "seed": seed,
        "count": count,
        "size_hw": list(CLEAN_SIZE_HW),
        "seconds": round(time.perf_counter() - began, 1),
        "scores": kept.to_json(),
    }


class _Kept:
    """IoUs under each change, and those of the same phrases without it where they are the same."""

    def __init__(self):
        self.changed: dict[str, list[float]] = {}
        self.clean: dict[str, list[float]] = {}

    def add(self, name: str, changed: Sequence[float], clean: Sequence[float] = ()) -> None:
        self.changed.setdefault(name, []).extend(changed)
        self.clean.setdefault(name, []).extend(clean)

    def merge(self, other: _Kept) -> None:
        for name, ious in other.changed.items():
            self.add(name, ious, other.clean[name])

    def to_json(self) -> dict[str, dict]:
        everything = self.clean["clean"] = self.changed["clean"]
        rows = {}
        for name, ious in self.changed.items():
            if ious:
                clean, now = np.mean(self.clean[name] or everything), np.mean(ious)
                figures = {"giou": now, "clean_giou": clean, "drop": clean - now}
                rows[name] = {key: round(float(value), 5) for key, value in figures.items()} | {"samples": len(ious)}
        return rows


def _start(
    clean_size_hw: tuple[int, int], shapes: Sequence[tuple[str, tuple[int, int]]], predictor: Predictor
) -> Callable[[Turn], _Kept]:
    def ask(turn: Turn) -> _Kept:
        kept = _Kept()
        _change_one_scene(predictor, scene_sample(turn, clean_size_hw), kept)
        for name, size_hw in shapes:
            sample = scene_sample(turn, size_hw)
            phrases, targets = _naming(sample)
            kept.add(name, _ious(predictor, sample.image, [phrase.text for phrase in phrases], targets))
        return kept

    return ask


def _change_one_scene(predictor: Predictor, sample: SceneSample, kept: _Kept) -> None:
    phrases, targets = _naming(sample)
    texts = [phrase.text for phrase in phrases]
    clean = _ious(predictor, sample.image, texts, targets)
    kept.add("clean", clean)
    for name, fact in WITHOUT.items():
        if getattr(predictor.info.refinement, fact):
            off = 0.0 if fact == "iou_shift" else False
            plainer = predictor.with_refinement(replace(predictor.info.refinement, **{fact: off}))
            kept.add(name, _ious(plainer, sample.image, texts, targets), clean)
    for number, (name, spoil) in enumerate(SPOILED.items()):
        rng = np.random.default_rng([sample.seed, number])
        kept.add(name, _ious(predictor, spoil(sample.image, rng), texts, targets), clean)
    for number, (name, reword) in enumerate(WORDINGS.items()):
        rng = np.random.default_rng([sample.seed, 100 + number])
        said = [reword(phrase, rng) for phrase in phrases]
        changed = [i for i, text in enumerate(said) if text is not None]
        ious = _ious(predictor, sample.image, [said[i] for i in changed], [targets[i] for i in changed])
        kept.add(name, ious, [clean[i] for i in changed])


def _naming(sample: SceneSample) -> tuple[list[Expression], list[np.ndarray]]:
    """The phrases that name something, and their targets."""
    pairs = [pair for pair in zip(sample.phrases, sample.targets, strict=True) if pair[1].any()]
    return [phrase for phrase, _ in pairs], [target for _, target in pairs]


def _ious(predictor: Predictor, image: np.ndarray, texts: Sequence[str], targets) -> list[float]:
    found = []
    for start in range(0, len(texts), PHRASES_AT_ONCE):
        some = slice(start, start + PHRASES_AT_ONCE)
        answers = predictor.segment(image, texts[some])
        found += [MaskMetrics().update(a.mask, target) for a, target in zip(answers, targets[some], strict=True)]
    return found


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(values, 0, 255).astype(np.uint8)


def to_table(result: dict) -> str:
    width = max(map(len, result["scores"]))
    lines = [f"{'change'.ljust(width)} {'phrases':>8} {'gIoU':>7} {'clean':>7} {'drop':>7}"]
    for name, row in result["scores"].items():
        figures = f"{row['giou']:>7.3f} {row['clean_giou']:>7.3f} {row['drop']:>7.3f}"
        lines.append(f"{name.ljust(width)} {row['samples']:>8} {figures}")
    return "\n".join(lines)
