"""How things move through a clip: along a straight line, with sway, rocking and rolling on top."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from evfsam.data.scenes.model import Body
from evfsam.data.scenes.rng import Rng

ROOTED = ("house", "tree", "flower")  # only the camera moves them
FACING = ("car", "bus", "dog", "bird", "boat", "person")  # drawn looking to the right
ROLLING = ("ball",)


@dataclass(frozen=True)
class Motion:
    """The motion of one thing over the whole clip. Distances are fractions of the frame; angles are degrees.

    Attributes:
        travel_uv: from the first frame to the last.
        growth: size at the end divided by size at the start.
        nearer: change of depth.
        sway_uv, rock: amplitudes of ``cycles`` swings.
        roll: total rotation.
    """

    travel_uv: tuple[float, float] = (0.0, 0.0)
    growth: float = 1.0
    nearer: float = 0.0
    sway_uv: tuple[float, float] = (0.0, 0.0)
    rock: float = 0.0
    roll: float = 0.0
    cycles: float = 1.0


def moved(body: Body, motion: Motion, progress: float) -> Body:
    """The body at ``progress`` of its motion, 0 at the first frame, 1 at the last."""
    swing = math.sin(2 * math.pi * motion.cycles * progress)
    pose = body.pose
    placed = replace(
        pose,
        u=pose.u + motion.travel_uv[0] * progress + motion.sway_uv[0] * swing,
        v=pose.v + motion.travel_uv[1] * progress + motion.sway_uv[1] * swing,
        scale=pose.scale * motion.growth**progress,
        turn=pose.turn + motion.rock * swing + motion.roll * progress,
    )
    return replace(body, pose=placed, depth=body.depth + motion.nearer * progress)


def facing(body: Body, travel_u: float) -> Body:
    """The body, mirrored if necessary, so that it faces the direction of its motion."""
    if body.kind not in FACING or travel_u == 0:
        return body
    return replace(body, pose=replace(body.pose, mirrored=travel_u < 0))


def along(body: Body, travel_uv: tuple[float, float], growth: float, nearer: float, rng: Rng) -> Motion:
    """A motion that suits the body's kind: balls roll, boats rock, walkers bob, flying things sway."""
    if body.kind in ROLLING and body.support:
        roll = math.degrees(travel_uv[0] / (body.pose.scale / 2))
        return Motion(travel_uv, growth, nearer, roll=roll)
    if not body.support:
        sway = (rng.uniform(-0.03, 0.03), rng.uniform(0.01, 0.04))
        return Motion(travel_uv, growth, nearer, sway, rng.uniform(3, 14), 0.0, rng.uniform(0.7, 1.6))
    if body.kind == "boat":
        return Motion(travel_uv, growth, nearer, (0.0, 0.004), rng.uniform(2, 6), 0.0, rng.uniform(1.5, 3))
    if body.kind in ("person", "dog", "bird"):
        return Motion(travel_uv, growth, nearer, (0.0, 0.006), 2.5, 0.0, rng.integer(4, 7))
    return Motion(travel_uv, growth, nearer)


def wander(body: Body, horizon_v: float, rng: Rng) -> Motion:
    """A random motion that suits the body's kind and place."""
    if body.kind in ROOTED or rng.chance(0.15):
        return Motion()
    u = rng.sign() * rng.uniform(0.05, 0.4)
    if not body.support:
        growth = rng.uniform(0.75, 1.35)
        return along(body, (u, rng.uniform(-0.12, 0.08)), growth, math.log(growth), rng)
    if body.support in ("sea", "road"):
        return along(body, (u, 0.0), 1.0, 0.0, rng)
    return along(body, *approach(body, u, rng.uniform(-0.1, 0.1), horizon_v), rng)


def approach(body: Body, u: float, v: float, horizon_v: float) -> tuple[tuple[float, float], float, float]:
    """Travel, growth and change of depth of a motion over the ground; nearer things are larger."""
    lowest = horizon_v + 0.12
    v = min(max(body.pose.v + v, min(lowest, body.pose.v)), max(1.0, body.pose.v)) - body.pose.v
    nearer = v / (1.0 - horizon_v)
    growth = (0.62 + 0.45 * (body.depth + nearer)) / (0.62 + 0.45 * body.depth)
    return (u, v), growth, nearer
