"""What words about place, size and relation mean, with a margin: a thing is named only beyond doubt.

Places are told by the centroids of what is visible, in fractions of the picture (v down); near and far by
where things stand. Every selector takes the things that the noun covers and returns the only one meant, or
None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evfsam.data.scenes.measure import Seen

SIDE_GAP = 0.10  # between the centroids of the outermost thing and the next
STEP_GAP = 0.07  # between neighbours that are counted off ("the second from the left")
FOOT_GAP = 0.08  # between where the nearest thing stands and the next
QUARTER_GAP = 0.05  # from a quarter's borders, for the one inside and for all outside
AREA_FACTOR = 1.5  # between the largest thing and the next
SIZE_FACTOR = 1.12  # the same in length, so that what is merely hidden does not count as small
SPLIT_FACTOR = 1.8  # in area, between the small ones and the large ones

Box = tuple[float, float, float, float]
Group = Sequence[Seen]


def _u(seen: Seen) -> float:
    return seen.centroid[0]


def _v(seen: Seen) -> float:
    return seen.centroid[1]


def _extreme(group: Group, key: Callable[[Seen], float], gap: float) -> Seen | None:
    """The one with the lowest key, if the next is at least ``gap`` higher."""
    if len(group) < 2:
        return None
    first, second = sorted(group, key=key)[:2]
    return first if key(second) - key(first) >= gap else None


def leftmost(group: Group) -> Seen | None:
    return _extreme(group, _u, SIDE_GAP)


def rightmost(group: Group) -> Seen | None:
    return _extreme(group, lambda s: -_u(s), SIDE_GAP)


def highest(group: Group) -> Seen | None:
    return _extreme(group, _v, SIDE_GAP)


def lowest(group: Group) -> Seen | None:
    return _extreme(group, lambda s: -_v(s), SIDE_GAP)


def on_side(group: Group, axis: int, side: int) -> Seen | None:
    """The outermost along an axis (0 = u, 1 = v) that also lies in that half, alone there."""

    def inward(seen: Seen) -> float:
        return (seen.centroid[axis] - 0.5) * -side

    chosen = _extreme(group, inward, SIDE_GAP)
    if chosen is None or inward(chosen) > -0.06:
        return None
    return chosen if all(inward(other) > 0.02 for other in group if other is not chosen) else None


def in_quarter(group: Group, side_u: int, side_v: int) -> Seen | None:
    """The only one in a quarter of the picture (-1 = left or top), others clearly outside."""

    def inside(seen: Seen) -> float:
        return min((_u(seen) - 0.5) * side_u, (_v(seen) - 0.5) * side_v)

    within = [seen for seen in group if inside(seen) > -QUARTER_GAP]
    return within[0] if len(group) > 1 and len(within) == 1 and inside(within[0]) >= QUARTER_GAP else None


def middle_of_three(group: Group) -> Seen | None:
    """The one in the middle of exactly three that stand side by side rather than one above the other."""
    if len(group) != 3:
        return None
    a, b, c = sorted(group, key=_u)
    spread_v = max(map(_v, group)) - min(map(_v, group))
    return b if min(_u(b) - _u(a), _u(c) - _u(b)) >= SIDE_GAP and spread_v < _u(c) - _u(a) else None


def second_from(group: Group, side: int) -> Seen | None:
    """The second from the left (-1) or from the right (1) of at least three."""
    if len(group) < 3:
        return None
    a, b, c = sorted(group, key=lambda s: _u(s) * -side)[:3]
    return b if min(abs(_u(b) - _u(a)), abs(_u(c) - _u(b))) >= STEP_GAP else None


def nearest(group: Group) -> Seen | None:
    return _extreme(group, lambda s: -s.foot, FOOT_GAP) if all(s.support for s in group) else None


def farthest(group: Group) -> Seen | None:
    return _extreme(group, lambda s: s.foot, FOOT_GAP) if all(s.support for s in group) else None


def largest(group: Group) -> Seen | None:
    if len(group) < 2:
        return None
    first = max(group, key=lambda s: s.area)
    others = [seen for seen in group if seen is not first]
    return first if all(_clearly_larger(first, other) for other in others) else None


def smallest(group: Group) -> Seen | None:
    if len(group) < 2:
        return None
    first = min(group, key=lambda s: s.area)
    others = [seen for seen in group if seen is not first]
    return first if first.shown > 0.7 and all(_clearly_larger(other, first) for other in others) else None


def _clearly_larger(a: Seen, b: Seen) -> bool:
    """By what is visible and by true size alike, neither of them mostly hidden."""
    return a.area >= AREA_FACTOR * b.area and a.size >= SIZE_FACTOR * b.size and b.shown > 0.6


def split_by_size(group: Group) -> tuple[list[Seen], list[Seen]] | None:
    """The small ones and the large ones, if a wide gap parts them half-way, and none is mostly hidden."""
    ordered = sorted(group, key=lambda s: s.area)
    if len(ordered) < 2 or any(seen.shown < 0.7 for seen in ordered):
        return None
    ratios = [b.area / a.area for a, b in zip(ordered, ordered[1:], strict=False)]
    cut = max(range(len(ratios)), key=ratios.__getitem__)
    small, large = ordered[: cut + 1], ordered[cut + 1 :]
    halfway = (ordered[0].area * ordered[-1].area) ** 0.5
    if small[-1].area * 1.2 > halfway or large[0].area < halfway * 1.2:
        return None
    if ratios[cut] < SPLIT_FACTOR or min(s.size for s in large) < SIZE_FACTOR * max(s.size for s in small):
        return None
    return small, large


Verdict = bool | None  # None: one could argue


def left_of(t: Seen, landmark: Seen) -> Verdict:
    return _beyond(_u(landmark) - _u(t), abs(_v(landmark) - _v(t)))


def right_of(t: Seen, landmark: Seen) -> Verdict:
    return _beyond(_u(t) - _u(landmark), abs(_v(landmark) - _v(t)))


def _beyond(distance: float, aside: float) -> Verdict:
    if distance <= -0.02:
        return False
    return True if distance >= 0.10 and aside <= 1.3 * distance else None


def above(t: Seen, landmark: Seen) -> Verdict:
    """Higher in the picture and over it; said only where one of the two is in the air."""
    if t.support and landmark.support:
        return None
    return _over(_v(landmark) - _v(t), abs(_u(landmark) - _u(t)))


def below(t: Seen, landmark: Seen) -> Verdict:
    if t.support and landmark.support:
        return None
    return _over(_v(t) - _v(landmark), abs(_u(landmark) - _u(t)))


def _over(distance: float, aside: float) -> Verdict:
    if distance <= -0.02:
        return False
    return True if distance >= 0.13 and aside <= 0.6 * distance else None


def next_to(t: Seen, landmark: Seen) -> Verdict:
    """Nearly touching in what is visible; not so if even their hidden parts are far from each other."""
    if box_gap(t.extent, landmark.extent) >= 0.16:
        return False
    level = min(t.box[3], landmark.box[3]) - max(t.box[1], landmark.box[1]) > 0
    return True if box_gap(t.box, landmark.box) <= 0.05 and level else None


def box_gap(a: Box, b: Box) -> float:
    """Distance between two boxes, 0 where they touch."""
    du = max(a[0] - b[2], b[0] - a[2], 0.0)
    dv = max(a[1] - b[3], b[1] - a[3], 0.0)
    return (du * du + dv * dv) ** 0.5


def in_front_of(t: Seen, landmark: Seen) -> Verdict:
    return _nearer(t, landmark, t.foot - landmark.foot)


def behind(t: Seen, landmark: Seen) -> Verdict:
    return _nearer(t, landmark, landmark.foot - t.foot)


def _nearer(t: Seen, landmark: Seen, step: float) -> Verdict:
    """Both stand on something, their boxes overlap, and one stands a clear step before the other."""
    if not t.support or not landmark.support:
        return None
    aside = max(t.extent[0] - landmark.extent[2], landmark.extent[0] - t.extent[2])
    if aside >= 0.04 or step <= -0.03:
        return False
    wide = min(t.box[2], landmark.box[2]) - max(t.box[0], landmark.box[0])
    tall = min(t.box[3], landmark.box[3]) - max(t.box[1], landmark.box[1])
    narrow = min(t.box[2] - t.box[0], landmark.box[2] - landmark.box[0])
    return True if step >= 0.03 and wide >= 0.35 * narrow and tall > 0 else None


def between(t: Seen, a: Seen, b: Seen) -> Verdict:
    """Inside the span of two landmarks in u, and not far above or below them."""
    left, right = sorted((_u(a), _u(b)))
    if _u(t) <= left - 0.02 or _u(t) >= right + 0.02:
        return False
    level = min(_v(a), _v(b)) - 0.12 <= _v(t) <= max(_v(a), _v(b)) + 0.12
    return True if left + 0.07 <= _u(t) <= right - 0.07 and level else None


def stands_on(t: Seen, stuff: str, horizon_v: float) -> Verdict:
    """On that stuff; for what hangs so low that it might seem to stand somewhere, one could argue."""
    if not t.support and t.box[3] > horizon_v - 0.01:
        return None
    return t.support == stuff


def in_the_sky(t: Seen, horizon_v: float) -> Verdict:
    if t.support:
        return False
    return True if t.box[3] <= horizon_v - 0.01 else None


def only(group: Group, verdict: Callable[..., Verdict], *about: object) -> Seen | None:
    """The single member whose ``verdict(member, *about)`` is yes while it is a clear no for all others."""
    verdicts = [verdict(seen, *about) for seen in group]
    if None in verdicts or verdicts.count(True) != 1:
        return None
    return group[verdicts.index(True)]


def none(group: Group, verdict: Callable[..., Verdict], *about: object) -> bool:
    """True where ``verdict(member, *about)`` is a clear no for everything in the group."""
    return all(verdict(seen, *about) is False for seen in group)
