"""Makes one thing of a clip pass behind another, so that it is wholly hidden for a while."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evfsam.data.scenes.layout import frame_box, overlap
from evfsam.data.scenes.model import Body, Pose, Scene
from evfsam.data.scenes.motion import Motion, along, facing, moved
from evfsam.data.scenes.palette import paint
from evfsam.data.scenes.rng import Rng
from evfsam.data.scenes.things import KINDS

FOLLOWED = ("car", "person", "dog", "ball", "bird", "kite", "balloon", "umbrella")
TARGET_HEIGHT = (
    0.13,
    0.18,
)  # of the short side: small enough to vanish behind something, large enough to be named


@dataclass(frozen=True)
class Screen:
    """The opaque rectangle inside a kind, in body units, and the largest scale that the kind may have."""

    half_width: float
    top: float
    bottom: float
    largest: float


SCREENS = {
    "house": Screen(0.46, -0.62, 0.0, 0.62),
    "bus": Screen(0.92, -0.96, -0.14, 0.42),
    "tree": Screen(0.17, -0.84, -0.42, 0.85),
    "balloon": Screen(0.26, -0.90, -0.52, 0.75),
}
DRIFT = {"bus": 0.8, "balloon": 0.3}  # how fast they come, as a fraction of the target's way


def plan_occlusion(
    things: list[Body], motions: list[Motion], scene: Scene, pan_uv: tuple[float, float], rng: Rng
) -> None:
    """Move one thing across the image and put a screen in front of its way. Changes both lists in place.

    The screen is a thing of the scene if one fits, else a new thing. Nothing changes if no thing can move across.
    """
    candidates = [i for i, body in enumerate(things) if body.kind in FOLLOWED and body.support != "sea"]
    if not candidates:
        return
    target = rng.pick(candidates)
    things[target], motions[target] = _cross(target, things, motions, scene, pan_uv, rng)
    meeting = rng.uniform(0.4, 0.6)
    choice = _choose_screen(things, target, scene, rng)
    if choice is None:
        return
    number, screen_body = choice
    body, motion = _in_the_way(screen_body, things[target], motions[target], meeting, scene)
    if number is None:
        things.append(body)
        motions.append(motion)
    else:
        things[number], motions[number] = body, motion


def _cross(
    target: int,
    things: list[Body],
    motions: list[Motion],
    scene: Scene,
    pan_uv: tuple[float, float],
    rng: Rng,
) -> tuple[Body, Motion]:
    """The target, made small enough to hide, on the least blocked of several ways across the image."""
    body = things[target]
    _, v0, _, v1 = frame_box(body, scene.aspect)
    shrink = min(1.0, rng.uniform(*TARGET_HEIGHT) * _short_sides(scene.aspect)[1] / (v1 - v0))
    best: tuple[float, Body, Motion] | None = None
    for _ in range(10):
        start, stop = rng.shuffled((rng.uniform(0.10, 0.26), rng.uniform(0.74, 0.90)))
        pose = replace(body.pose, u=start, v=min(body.pose.v, 0.86), scale=body.pose.scale * shrink)
        placed = facing(replace(body, pose=pose), stop - start)
        way = along(placed, (stop - start + pan_uv[0], pan_uv[1]), rng.uniform(0.9, 1.12), 0.0, rng)
        blocked = sum(_blocked(placed, way, things, motions, target, p, scene.aspect) for p in (0.0, 1.0))
        if best is None or blocked < best[0]:
            best = (blocked, placed, way)
    return best[1], best[2]


def _blocked(
    body: Body,
    way: Motion,
    things: list[Body],
    motions: list[Motion],
    target: int,
    progress: float,
    aspect: float,
) -> float:
    """How much of the body's box nearer things cover at ``progress``, summed over these things."""
    at = moved(body, way, progress)
    others = [moved(*pair, progress) for i, pair in enumerate(zip(things, motions, strict=True)) if i != target]
    box = frame_box(at, aspect)
    return sum(overlap(box, frame_box(other, aspect)) for other in others if other.depth > at.depth)


def _choose_screen(things: list[Body], target: int, scene: Scene, rng: Rng) -> tuple[int | None, Body] | None:
    """Number and body, scaled, of a thing that can hide the target; the number is None for a new thing."""
    in_air = not things[target].support
    kinds = ["balloon", "tree"] if in_air else ["house", "bus", "tree"]
    own = [(i, body) for i, body in enumerate(things) if i != target and body.kind in kinds]
    new = [
        (None, KINDS[kind].draw(paint(rng.pick(KINDS[kind].colours), rng), rng).body(Pose(0, 0, 1))) for kind in kinds
    ]
    for number, body in [*rng.shuffled(own), *rng.shuffled(new)]:
        scale = _covering_scale(body.kind, things[target], scene, rng)
        if scale is not None:
            return number, replace(body, pose=replace(body.pose, scale=scale, turn=0.0))
    return None


def _covering_scale(kind: str, target: Body, scene: Scene, rng: Rng) -> float | None:
    """The scale at which the screen hides the target for some frames; None if that is too large."""
    screen = SCREENS[kind]
    short_u, short_v = _short_sides(scene.aspect)
    u0, v0, u1, v1 = frame_box(target, scene.aspect)
    wide = (u1 - u0) * 1.12 / short_u + rng.uniform(0.04, 0.09)
    tall = (v1 - v0) * 1.15 / short_v + 0.02
    scale = max(wide / (2 * screen.half_width), tall / (screen.bottom - screen.top))
    return scale if scale <= screen.largest else None


def _short_sides(aspect: float) -> tuple[float, float]:
    """The short side of the image as a fraction of the width, and of the height."""
    return min(1.0, 1.0 / aspect), min(1.0, aspect)


def _in_the_way(body: Body, target: Body, way: Motion, meeting: float, scene: Scene) -> tuple[Body, Motion]:
    """The screen at the place where the target is at ``meeting``; a bus or a balloon moves towards it."""
    screen = SCREENS[body.kind]
    u0, v0, u1, v1 = frame_box(target, scene.aspect)
    short_v = _short_sides(scene.aspect)[1]
    swing_v = way.travel_uv[1] * meeting
    middle_v = (v0 + v1) / 2 + swing_v
    v = middle_v - short_v * body.pose.scale * (screen.top + screen.bottom) / 2
    if target.support:
        v = max(v, target.pose.v + 0.012)
    u = (u0 + u1) / 2 + way.travel_uv[0] * meeting
    drift = -DRIFT.get(body.kind, 0.0) * way.travel_uv[0]
    support = "" if body.kind == "balloon" else target.support or scene.stuff[-1].kind
    pose = replace(body.pose, u=u - drift * meeting, v=v)
    depth = max(target.depth, target.depth + way.nearer) + 0.05
    placed = facing(replace(body, pose=pose, depth=depth, support=support), drift)
    return placed, Motion((drift, 0.0))
