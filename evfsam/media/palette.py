"""Colours for several things at once: told apart by colour-blind people, on light and on dark pages.

The seven are Okabe and Ito's (Color Universal Design, 2008) without black, ordered so that the first ones
stand out from grass, sky and skin; after seven they come back lighter, then darker.
"""

from __future__ import annotations

RGB = tuple[int, int, int]

_OKABE_ITO: tuple[RGB, ...] = (
    (213, 94, 0),  # vermillion
    (0, 114, 178),  # blue
    (204, 121, 167),  # reddish purple
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
)
# (mixed with, share of it) for each round through the seven.
_ROUNDS = (((0, 0, 0), 0.0), ((255, 255, 255), 0.45), ((0, 0, 0), 0.4))
DISTINCT = len(_OKABE_ITO) * len(_ROUNDS)


def colour_of(index: int) -> RGB:
    """The colour (r, g, b), 0..255, of the thing with this index; it repeats after ``DISTINCT``."""
    round_, place = divmod(index % DISTINCT, len(_OKABE_ITO))
    other, share = _ROUNDS[round_]
    mixed = zip(_OKABE_ITO[place], other, strict=True)
    red, green, blue = (round(c * (1 - share) + o * share) for c, o in mixed)
    return red, green, blue


def hex_of(index: int) -> str:
    """As :func:`colour_of`, as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour_of(index))
