"""Follow things through rendered clips and keep score: region similarity J, and J after a full occlusion.

J is the mean IoU over frames (DAVIS, arXiv 1704.00675). Frames on which the target is fully hidden do not count
for it; whether they were answered with an empty mask is told apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from evfsam.data.scenes import ClipExpression, clip_expressions, make_clip, render
from evfsam.evaluation.workers import each
from evfsam.predictor import Predictor
from evfsam.types import SpatialPrompt, VideoPrompt
from evfsam.video.tracker import VideoTracker

FRAMES = 48
SIZE_HW = (256, 256)
WAYS = WORDS, MEMORY, BOX, NAIVE = "words", "memory", "box", "naive"


@dataclass(frozen=True)
class ClipSample:
    """A drawn clip and one thing to follow.

    Attributes:
        pictures_rgb: uint8 (T, H, W, 3).
        targets: bool (T, H, W).
        phrase: names the thing on the first frame.
    """

    pictures_rgb: np.ndarray
    targets: np.ndarray
    phrase: str


@dataclass
class ClipScores:
    """IoUs of visible frames, of those after a full occlusion, and how hidden frames were answered."""

    visible: list[float] = field(default_factory=list)
    after_occlusion: list[float] = field(default_factory=list)
    hidden_answered_empty: list[bool] = field(default_factory=list)

    def add(self, masks: np.ndarray, targets: np.ndarray) -> None:
        """bool (T, H, W) each; the first frame counts as the others do."""
        hidden = ~targets.any((1, 2))
        last_hidden = np.flatnonzero(hidden)[-1] if hidden.any() else len(hidden)
        for t, (mask, target) in enumerate(zip(masks, targets, strict=True)):
            if hidden[t]:
                self.hidden_answered_empty.append(not mask.any())
                continue
            iou = (mask & target).sum() / (mask | target).sum()
            self.visible.append(float(iou))
            if t > last_hidden:
                self.after_occlusion.append(float(iou))

    def merge(self, other: ClipScores) -> None:
        """Add what another clip gave."""
        for f in fields(self):
            getattr(self, f.name).extend(getattr(other, f.name))

    def to_json(self) -> dict[str, float | int | None]:
        def mean(values):
            return round(float(np.mean(values)), 5) if values else None

        return {
            "J": mean(self.visible),
            "J_after_occlusion": mean(self.after_occlusion),
            "hidden_answered_empty": mean(self.hidden_answered_empty),
            "visible_frames": len(self.visible),
            "frames_after_occlusion": len(self.after_occlusion),
        }


def clip_samples(seeds: Sequence[int]) -> Iterator[ClipSample]:
    """One target a clip: one that vanishes and returns where there is one, else the first worth following."""
    for seed in seeds:
        clip = make_clip(seed, FRAMES)
        found = sorted(clip_expressions(clip), key=lambda expression: not expression.returns)
        if found:
            yield _sample(clip, found[0])


def _sample(clip, expression: ClipExpression) -> ClipSample:
    drawn = [render(clip.frame(t), SIZE_HW) for t in range(clip.frames)]
    targets = np.stack([np.isin(frame.part_map, expression.part_ids) for frame in drawn])
    return ClipSample(np.stack([frame.image for frame in drawn]), targets, expression.text)


def evaluate_clips(
    predictor: Predictor,
    seed: int = 900_000,
    count: int = 60,
    on_clip: Callable[[int], None] | None = None,
    workers: int = 1,
) -> dict:
    """Score a model on clips ``seed`` to ``seed + count - 1``.

    Four ways to follow: tracking from words on the first frame, which are asked again on every frame;
    the same by the memory alone, as published; tracking from the true box there, which tells the tracker's part from
    the words'; and, naively, asking for the words on each frame by itself. ``on_clip`` is told the number of clips done
    after each; ``workers`` processes share them (:mod:`evfsam.evaluation.workers`).

    Returns a JSON-ready dict. Raises VideoError if the checkpoint cannot track.
    """
    began = time.perf_counter()
    ways = {way: ClipScores() for way in WAYS}
    clips = 0
    for found in each(_start, predictor, range(seed, seed + count), workers, on_clip):
        clips += bool(found)
        for way, scores in found.items():
            ways[way].merge(scores)
    return {
        "data": "clips",
        "seed": seed,
        "count": count,
        "clips_with_a_target": clips,
        "frames": FRAMES,
        "size_hw": list(SIZE_HW),
        "seconds": round(time.perf_counter() - began, 1),
        "scores": {way: scores.to_json() for way, scores in ways.items()},
    }


def _start(predictor: Predictor) -> Callable[[int], dict[str, ClipScores]]:
    tracker = VideoTracker(predictor)
    return lambda seed: {way: scores for sample in clip_samples([seed]) for way, scores in _follow(tracker, sample)}


def _follow(tracker: VideoTracker, sample: ClipSample) -> Iterator[tuple[str, ClipScores]]:
    box = VideoPrompt(1, spatial=SpatialPrompt(box=_box(sample.targets[0])))
    words = VideoPrompt(1, sample.phrase)
    for way, prompt, find_again in ((WORDS, words, True), (MEMORY, words, False), (BOX, box, False)):
        frames = tracker.track(iter(sample.pictures_rgb), [prompt], redetect=find_again)
        yield way, _scored([frame.objects[0].mask for frame in frames], sample)
    naive = (tracker.predictor.segment(picture, [sample.phrase])[0].mask for picture in sample.pictures_rgb)
    yield NAIVE, _scored(naive, sample)


def _scored(masks: Iterable[np.ndarray], sample: ClipSample) -> ClipScores:
    scores = ClipScores()
    scores.add(np.stack(list(masks)), sample.targets)
    return scores


def _box(target: np.ndarray) -> tuple[int, int, int, int]:
    y, x = np.flatnonzero(target.any(1)), np.flatnonzero(target.any(0))
    return int(x[0]), int(y[0]), int(x[-1]) + 1, int(y[-1]) + 1


def to_table(result: dict) -> str:
    lines = [f"{'prompt':8} {'J':>7} {'J after occlusion':>18} {'hidden answered empty':>22}"]
    for way, row in result["scores"].items():
        cells = [row["J"], row["J_after_occlusion"], row["hidden_answered_empty"]]
        j, after, hidden = ("-" if cell is None else f"{cell:.3f}" for cell in cells)
        lines.append(f"{way:8} {j:>7} {after:>18} {hidden:>22}")
    return "\n".join(lines)
