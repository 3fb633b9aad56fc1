"""The meaning of words for place, size and relation, with margins: a doubtful case gets no expression.

Places depend on the centroids of visible pixels, as fractions of the image, v down. Near and far depend on where
things stand. Each selector takes the things that a noun covers. It returns the only one that the word fits, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evfsam.data.scenes.measure import Seen

SIDE_GAP = 0.10  # between the centroids of the outermost thing and the next
STEP_GAP = 0.07  # between neighbours, for "the second from the left"
FOOT_GAP = 0.08  # between the places where the nearest thing and the next stand
QUARTER_GAP = 0.05  # from the borders of a quarter, for the thing inside and for all others outside
AREA_FACTOR = 1.5  # between the largest thing and the next
SIZE_FACTOR = 1.12  # the same in length, so that a partly hidden thing does not count as small
SPLIT_FACTOR = 1.8  # in area, between the small things and the large ones

Box = tuple[float, float, float, float]
Group = Sequence[Seen]


def _u(seen: Seen) -> float:
    return seen.centroid[0]


def _v(seen: Seen) -> float:
    return seen.centroid[1]


def _extreme(group: Group, key: Callable[[Seen], float], gap: float) -> Seen | None:
    """The thing with the lowest key, if the next key is higher by at least ``gap``."""
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
    """The outermost thing along an axis (0 = u, 1 = v), if it is the only one in that half of the image."""

    def inward(seen: Seen) -> float:
        return (seen.centroid[axis] - 0.5) * -side

    chosen = _extreme(group, inward, SIDE_GAP)
    if chosen is None or inward(chosen) > -0.06:
        return None
    return chosen if all(inward(other) > 0.02 for other in group if other is not chosen) else None


def in_quarter(group: Group, side_u: int, side_v: int) -> Seen | None:
    """The only thing in a quarter of the image (-1 = left or top), if all others are clearly outside."""

    def inside(seen: Seen) -> float:
        return min((_u(seen) - 0.5) * side_u, (_v(seen) - 0.5) * side_v)

    within = [seen for seen in group if inside(seen) > -QUARTER_GAP]
    return within[0] if len(group) > 1 and len(within) == 1 and inside(within[0]) >= QUARTER_GAP else None


def middle_of_three(group: Group) -> Seen | None:
    """The middle one of exactly three things that are spread more sideways than up and down."""
    if len(group) != 3:
        return None
    a, b, c = sorted(group, key=_u)
    spread_v = max(map(_v, group)) - min(map(_v, group))
    return b if min(_u(b) - _u(a), _u(c) - _u(b)) >= SIDE_GAP and spread_v < _u(c) - _u(a) else None


def second_from(group: Group, side: int) -> Seen | None:
    """The second from the left (-1) or from the right (1) of at least three things."""
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
    """Whether a is larger than b in visible area and in true size, and b is not mostly hidden."""
    return a.area >= AREA_FACTOR * b.area and a.size >= SIZE_FACTOR * b.size and b.shown > 0.6


def split_by_size(group: Group) -> tuple[list[Seen], list[Seen]] | None:
    """The small and the large things, if a wide gap lies between them and none is mostly hidden; else None."""
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


Verdict = bool | None  # None: doubtful


def left_of(t: Seen, landmark: Seen) -> Verdict:
    return _beyond(_u(landmark) - _u(t), abs(_v(landmark) - _v(t)))


def right_of(t: Seen, landmark: Seen) -> Verdict:
    return _beyond(_u(t) - _u(landmark), abs(_v(landmark) - _v(t)))


def _beyond(distance: float, aside: float) -> Verdict:
    if distance <= -0.02:
        return False
    return True if distance >= 0.10 and aside <= 1.3 * distance else None


def above(t: Seen, landmark: Seen) -> Verdict:
    """Higher in the image and roughly in one column; None unless one of the two is in the air."""
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
    """True if the visible boxes nearly touch; False if even the whole boxes are far apart."""
    if box_gap(t.extent, landmark.extent) >= 0.16:
        return False
    level = min(t.box[3], landmark.box[3]) - max(t.box[1], landmark.box[1]) > 0
    return True if box_gap(t.box, landmark.box) <= 0.05 and level else None


def box_gap(a: Box, b: Box) -> float:
    """Distance between two boxes; 0 if they touch."""
    du = max(a[0] - b[2], b[0] - a[2], 0.0)
    dv = max(a[1] - b[3], b[1] - a[3], 0.0)
    return (du * du + dv * dv) ** 0.5


def in_front_of(t: Seen, landmark: Seen) -> Verdict:
    return _nearer(t, landmark, t.foot - landmark.foot)


def behind(t: Seen, landmark: Seen) -> Verdict:
    return _nearer(t, landmark, landmark.foot - t.foot)


def _nearer(t: Seen, landmark: Seen, step: float) -> Verdict:
    """True if both stand on something, their boxes overlap, and t stands clearly nearer."""
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
    """Between two landmarks in u, and not far above or below them."""
    left, right = sorted((_u(a), _u(b)))
    if _u(t) <= left - 0.02 or _u(t) >= right + 0.02:
        return False
    level = min(_v(a), _v(b)) - 0.12 <= _v(t) <= max(_v(a), _v(b)) + 0.12
    return True if left + 0.07 <= _u(t) <= right - 0.07 and level else None


def stands_on(t: Seen, stuff: str, horizon_v: float) -> Verdict:
    """Whether it stands on that stuff; None for a flying thing so low that it may seem to stand."""
    if not t.support and t.box[3] > horizon_v - 0.01:
        return None
    return t.support == stuff


def in_the_sky(t: Seen, horizon_v: float) -> Verdict:
    if t.support:
        return False
    return True if t.box[3] <= horizon_v - 0.01 else None


def only(group: Group, verdict: Callable[..., Verdict], *about: object) -> Seen | None:
    """The only member for which ``verdict(member, *about)`` is True, if it is False for all others; else None."""
    verdicts = [verdict(seen, *about) for seen in group]
    if None in verdicts or verdicts.count(True) != 1:
        return None
    return group[verdicts.index(True)]


def none(group: Group, verdict: Callable[..., Verdict], *about: object) -> bool:
    """Whether ``verdict(member, *about)`` is False for every member."""
    return all(verdict(seen, *about) is False for seen in group)
