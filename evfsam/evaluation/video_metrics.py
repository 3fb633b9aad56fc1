"""How well masks of clips match their truth: region similarity J and contour accuracy F.

Definitions are those of DAVIS (Perazzi et al., CVPR 2016; arXiv 1704.00675). All frames count. The official
semi-supervised task leaves the first and the last frame out, because there the first mask is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np

from evfsam.evaluation.metrics import count_pixels, ratio

BOUNDARY_TOLERANCE = 0.008  # of the frame's diagonal


@dataclass(frozen=True)
class FrameCounts:
    """One object in T frames.

    Attributes:
        j: IoU of each frame; 1 where both masks are empty.
        f: contour accuracy of each frame.
        visible: 1 for frames on which the target has pixels, else 0.
        predicted: pixels of each predicted mask.
    """

    j: Sequence[float]
    f: Sequence[float]
    visible: Sequence[int]
    predicted: Sequence[int]

    @property
    def iou(self) -> float:
        """Mean J."""
        return math.fsum(self.j) / len(self.j)


def count_frames(predicted: np.ndarray, target: np.ndarray, ignore: np.ndarray | None = None) -> FrameCounts:
    """Compare the masks of a clip, bool (T, H, W) each, outside of the pixels to ignore.

    Raises ValueError if the shapes differ.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"masks of different shapes: {predicted.shape} and {target.shape}")
    if ignore is not None:
        predicted, target = predicted & ~ignore, target & ~ignore
    counts = [count_pixels(*pair) for pair in zip(predicted, target, strict=True)]
    return FrameCounts(
        [c.iou for c in counts],
        [boundary_f(*pair) for pair in zip(predicted, target, strict=True)],
        [int(c.target > 0) for c in counts],
        [c.predicted for c in counts],
    )


def boundary_f(predicted: np.ndarray, target: np.ndarray) -> float:
    """F of two masks, bool (H, W): harmonic mean of the precision and the recall of their contours.

    A contour pixel is right if the other contour passes within 0.8 % of the diagonal, rounded up to whole pixels.
    Two empty contours count 1.
    """
    ours, theirs = contour(predicted), contour(target)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    radius = math.ceil(BOUNDARY_TOLERANCE * math.hypot(*target.shape))
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius).astype(np.uint8)
    near_ours, near_theirs = (cv2.dilate(edge.astype(np.uint8), disk) > 0 for edge in (ours, theirs))
    precision = np.count_nonzero(ours & near_theirs) / np.count_nonzero(ours)
    recall = np.count_nonzero(theirs & near_ours) / np.count_nonzero(theirs)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask: np.ndarray) -> np.ndarray:
    """The pixels, bool (H, W), that differ from their neighbour at the right, below, or at both."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, both = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask != right) | (mask != below) | (mask != both)


@dataclass(frozen=True)
class VideoScores:
    """What :meth:`VideoMetrics.compute` returns. All values are 0..1, NaN where nothing was measured.

    Attributes:
        prompts: how many objects were followed.
        frames: how many frames of them were compared.
        j: mean over objects of the mean J over frames.
        f: the same for F.
        jf: mean of both.
        j_visible: mean J over all frames on which the target is visible.
        j_after_occlusion: the same after the last frame on which it was hidden.
        hidden_rejected: share of the frames without the target that were answered by an empty mask.
    """

    prompts: int
    frames: int
    j: float
    f: float
    jf: float
    j_visible: float
    j_after_occlusion: float
    hidden_rejected: float


@dataclass
class VideoMetrics:
    """Sums over followed objects: update, merge, compute."""

    prompts: int = 0
    frames: int = 0
    j_sum: float = 0.0
    f_sum: float = 0.0
    visible: int = 0
    visible_j_sum: float = 0.0
    returned: int = 0
    returned_j_sum: float = 0.0
    hidden: int = 0
    hidden_rejected: int = 0

    def update(self, counts: FrameCounts) -> None:
        """Add one object."""
        self.prompts += 1
        self.frames += len(counts.j)
        self.j_sum += counts.iou
        self.f_sum += math.fsum(counts.f) / len(counts.f)
        hidden = [t for t, seen in enumerate(counts.visible) if not seen]
        for t, (j, seen) in enumerate(zip(counts.j, counts.visible, strict=True)):
            if not seen:
                self.hidden += 1
                self.hidden_rejected += counts.predicted[t] == 0
                continue
            self.visible += 1
            self.visible_j_sum += j
            if hidden and t > hidden[-1]:
                self.returned += 1
                self.returned_j_sum += j

    def merge(self, other: VideoMetrics) -> None:
        """Add the sums of another part of the data."""
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))

    def compute(self) -> VideoScores:
        """The scores of all objects so far."""
        j, f = ratio(self.j_sum, self.prompts), ratio(self.f_sum, self.prompts)
        return VideoScores(
            prompts=self.prompts,
            frames=self.frames,
            j=j,
            f=f,
            jf=(j + f) / 2,
            j_visible=ratio(self.visible_j_sum, self.visible),
            j_after_occlusion=ratio(self.returned_j_sum, self.returned),
            hidden_rejected=ratio(self.hidden_rejected, self.hidden),
        )
