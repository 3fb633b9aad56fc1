"""Clips: scenes in motion, with the same part numbers on every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from evfsam.data.scenes.language import REFERRING, expressions
from evfsam.data.scenes.layout import make_scene
from evfsam.data.scenes.measure import canonical_size_hw
from evfsam.data.scenes.model import Scene
from evfsam.data.scenes.motion import Motion, facing, moved, wander
from evfsam.data.scenes.occlusion import plan_occlusion
from evfsam.data.scenes.render import render_parts
from evfsam.data.scenes.rng import Rng

CLIP_STREAM = 3
OCCLUSION_SHARE = 0.8  # of clips: one thing is sent behind another; whether it was hidden is measured afterwards
MOVED, GROWN = 0.10, 1.25  # a target moves by this much of the frame, or changes its size by this factor
SEEN_SHARE = 0.55  # of the frames on which a target has to be visible
SEEN_AREA = 0.0015  # of the image, for a frame to count


@dataclass(frozen=True, eq=False)
class Clip:
    """A scene and the motions of its things.

    Attributes:
        pan_uv: the way of the camera from the first frame to the last.
        eased: the motion starts and stops gently.
    """

    scene: Scene
    motions: tuple[Motion, ...]
    pan_uv: tuple[float, float]
    frames: int
    eased: bool

    def progress(self, t: int) -> float:
        """0 at the first frame, 1 at the last."""
        p = t / max(1, self.frames - 1)
        return p * p * (3 - 2 * p) if self.eased else p

    def frame(self, t: int) -> Scene:
        """The scene on frame ``t``, 0 <= t < frames. Raises IndexError beyond the clip."""
        if not 0 <= t < self.frames:
            raise IndexError(f"frame {t} of a clip of {self.frames} frames")
        p = self.progress(t)
        things = tuple(moved(body, motion, p) for body, motion in zip(self.scene.things, self.motions, strict=True))
        shake = 0.003 * math.sin(9 * p)
        return replace(self.scene, things=things, camera_uv=(self.pan_uv[0] * p, self.pan_uv[1] * p + shake))


@dataclass(frozen=True)
class ClipExpression:
    """A referring expression for the first frame of a clip.

    Attributes:
        part_ids: valid on every frame.
        kind, target: as in :class:`~evfsam.data.scenes.language.Expression`.
        hidden_frames: frames on which no pixel of the target is visible.
    """

    text: str
    kind: str
    part_ids: tuple[int, ...]
    target: int
    hidden_frames: tuple[int, ...]

    @property
    def returns(self) -> bool:
        """True if the target is hidden at least once. It is always visible again at the end."""
        return bool(self.hidden_frames)


def make_clip(seed: int, frames: int = 48, aspect: float = 1.0) -> Clip:
    """The clip of a seed: things move, turn, grow and overlap, and the camera may pan.

    In many clips one thing passes behind another, is hidden for a while, and comes out again. The seeds for training
    and test are those of scenes.
    """
    rng = Rng(seed, CLIP_STREAM)
    scene = make_scene(seed, aspect)
    motions = [wander(body, scene.horizon_v, rng) for body in scene.things]
    still = all(motion == Motion() for motion in motions)
    pan_uv = (rng.sign() * rng.uniform(0.05, 0.28), 0.0) if rng.chance(0.5) or still else (0.0, 0.0)
    things = [facing(body, motion.travel_uv[0]) for body, motion in zip(scene.things, motions, strict=True)]
    if rng.chance(OCCLUSION_SHARE):
        plan_occlusion(things, motions, scene, pan_uv, rng)
    return Clip(replace(scene, things=tuple(things)), tuple(motions), pan_uv, frames, rng.chance(0.4))


def visible_areas(clip: Clip) -> np.ndarray:
    """The visible share of the image, 0..1, of each thing on each frame: float64 (frames, things)."""
    thing_of_part = np.array([-1 if part.thing is None else part.thing for part in clip.scene.parts])
    rows = []
    for t in range(clip.frames):
        part_map = render_parts(clip.frame(t), canonical_size_hw(clip.scene.aspect))
        counts = np.bincount(thing_of_part[part_map].ravel() + 1, minlength=len(clip.scene.things) + 1)
        rows.append(counts[1:] / part_map.size)
    return np.array(rows)


def clip_expressions(clip: Clip) -> list[ClipExpression]:
    """Referring expressions of the first frame whose targets move, are visible on most frames, and on the last."""
    areas = visible_areas(clip)
    found = []
    for expression in expressions(clip.frame(0)):
        if expression.kind in REFERRING and _is_worth_following(clip, expression.target, areas[:, expression.target]):
            hidden = tuple(np.flatnonzero(areas[:, expression.target] == 0).tolist())
            found.append(
                ClipExpression(expression.text, expression.kind, expression.part_ids, expression.target, hidden)
            )
    return found


def _is_worth_following(clip: Clip, target: int, areas: np.ndarray) -> bool:
    first, last = (clip.frame(t).things[target].pose for t in (0, clip.frames - 1))
    way = math.hypot(last.u - first.u - clip.pan_uv[0], last.v - first.v - clip.pan_uv[1])
    growth = max(last.scale / first.scale, first.scale / last.scale)
    return (way >= MOVED or growth >= GROWN) and areas[-1] >= SEEN_AREA and (areas >= SEEN_AREA).mean() >= SEEN_SHARE
