"""One door for values from outside: numbers, choices, prompts, points and boxes.

Python, the command line, links, the page and the API check values here and nowhere else. Each function returns the
value in the one form that the rest of the package works with, or raises InputError with one sentence that says what
to do. Images have a door of their own, ``evfsam.media.images``: every array, path or PIL image goes through it.
"""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from evfsam.errors import InputError

MAX_PROMPTS = 200  # per image; each answer has the size of the image
MAX_PROMPT_CHARACTERS = 1_000  # the encoders read at most about as many tokens
MAX_POINTS = 100  # per prompt
LARGEST = sys.float_info.max
SHOWN_CHARACTERS = 60  # of a wrong value in an error message

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = SHOWN_CHARACTERS


def number(
    value: Any,
    name: str,
    low: float = -LARGEST,
    high: float = LARGEST,
    *,
    whole: bool = False,
    default: float | None = None,
    text: bool = False,
) -> float | int:
    """A finite number between ``low`` and ``high``, both included.

    Args:
        value: an int, a float, a fraction or a numpy number; never a bool.
        name: what the number is, for the sentence: "threshold", "--start".
        whole: only whole numbers; the result is an int instead of a float.
        default: what None stands for; without it, None is refused.
        text: also read numbers that are written as text, as command lines and links have them.

    Raises InputError for anything else, NaN and infinity included.
    """
    if value is None and default is not None:
        return default
    found = _real(value, text)
    if found is None or not low <= found <= high or (whole and found != int(found)):
        raise InputError(f"{name} is {shown(value if found is None else found)}: give {_range(low, high, whole)}.")
    return int(found) if whole else float(found)


def probability(value: Any, name: str = "threshold", *, text: bool = False) -> float:
    """A number strictly between 0 and 1, such as the threshold of a mask. Arguments and errors as :func:`number`."""
    found = _real(value, text)
    if found is None or not 0 < float(found) < 1:
        wrong = shown(value if found is None else found)
        raise InputError(f"{name} is {wrong}: give a number between 0 and 1, for example 0.5.")
    return float(found)


def flag(value: Any, name: str) -> bool:
    """True or False. Raises InputError for anything else, so that the text "no" does not mean yes."""
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"{name} is {shown(value)}: give true or false.")
    return bool(value)


def choice(value: Any, name: str, choices: Iterable[str]) -> str:
    """One of a few names. Raises InputError that lists them."""
    names = list(choices)
    if not isinstance(value, str) or value not in names:
        raise InputError(f"{name} is {shown(value)}: choose one of {', '.join(names)}.")
    return value


def prompt_text(value: Any) -> str:
    """One prompt as text of bounded length; it may still be empty (``processing.text.clean_prompt`` refuses that).

    Raises InputError for what is no text, for more than :data:`MAX_PROMPT_CHARACTERS`, and for half characters (lone
    surrogates), which no file and no tokenizer can hold.
    """
    if not isinstance(value, str):
        raise InputError(f"A prompt must be text, not {shown(value)}: write what to look for.")
    if len(value) > MAX_PROMPT_CHARACTERS:
        raise InputError(f"A prompt has {len(value):,} characters: shorten it to {MAX_PROMPT_CHARACTERS:,} or fewer.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError("A prompt contains half a character (a lone surrogate): type it again.")
    return str(value)


def prompts(value: Any) -> list[str]:
    """A list of prompts, from a list, a tuple or one text alone.

    Raises InputError for an empty list, for more than :data:`MAX_PROMPTS`, and as :func:`prompt_text`.
    """
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray | memoryview):
        raise InputError(f"Prompts must be a list of texts, not {shown(value)}: write what to look for.")
    if not value:
        raise InputError('There is no prompt: write what to look for, for example "the red car".')
    if len(value) > MAX_PROMPTS:
        raise InputError(f"There are {len(value):,} prompts: give at most {MAX_PROMPTS} at a time.")
    plain = [isinstance(text, str) and text.isascii() and len(text) <= MAX_PROMPT_CHARACTERS for text in value]
    return [text if fine else prompt_text(text) for text, fine in zip(value, plain, strict=True)]


def points(coords: Any, labels: Any, size_hw: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Point prompts: coordinates float32 (N, 2) and labels int64 (N,).

    Args:
        coords: N points (x, y) in pixels of the image; one point may stand alone.
        labels: one per point: 1 inside the object, 0 outside of it.
        size_hw: (height, width) of the image; with it, every point must be inside or exactly on the edge.

    Raises InputError for anything else, and for more than :data:`MAX_POINTS`.
    """
    xy = _numbers(coords, "Points", "(x, y) per point, for example [[120, 80]]")
    xy = xy[None] if xy.shape == (2,) else xy
    if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy):
        raise InputError(f"Points must have the shape (N, 2), not {xy.shape}: give (x, y) per point.")
    if len(xy) > MAX_POINTS:
        raise InputError(f"There are {len(xy):,} points: give at most {MAX_POINTS} per prompt.")
    told = "1 inside the object, 0 outside"
    signs = np.atleast_1d(_numbers(labels, "Point labels", f"one per point: {told}", kinds="biuf"))
    if signs.shape != (len(xy),):
        raise InputError(f"There are {len(xy)} points and {signs.size} labels: give one label per point ({told}).")
    if not np.isin(signs, (0, 1)).all():
        wrong = signs[~np.isin(signs, (0, 1))][0]
        raise InputError(f"A point label is {wrong:g}: use {told}.")
    _check_inside(xy, size_hw, "A point")
    return xy, signs.astype(np.int64)


def box(xyxy: Any, size_hw: tuple[int, int] | None = None) -> tuple[float, float, float, float]:
    """A box prompt: (x_min, y_min, x_max, y_max) in pixels of the image. Exchanged corners are put in order.

    Args:
        xyxy: two opposite corners: x, y, x, y.
        size_hw: (height, width) of the image; with it, both corners must be inside or exactly on the edge.

    Raises InputError for anything else, and for a box without area.
    """
    corners = _numbers(xyxy, "A box", "x_min, y_min, x_max, y_max")
    if corners.size != 4:
        raise InputError(f"A box has {corners.size} numbers: give x_min, y_min, x_max, y_max.")
    corners = corners.reshape(2, 2)
    _check_inside(corners, size_hw, "A corner of the box")
    (x0, y0), (x1, y1) = np.sort(corners, axis=0).tolist()
    if x0 == x1 or y0 == y1:
        raise InputError(f"The box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) is empty: give two opposite corners.")
    return x0, y0, x1, y1


def shown(value: Any) -> str:
    """A value as short text on one line, for error messages."""
    try:
        text = " ".join(_short.repr(value).split())
        if not text.startswith("<"):
            return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
    except Exception:  # a number of 5,000 digits, an object whose repr fails
        pass
    return f"a value of type {type(value).__name__}"


def _real(value: Any, text: bool) -> float | int | None:
    """A finite int or float; None if the value is no such number."""
    try:
        if isinstance(value, str) and text:
            try:
                return int(value)
            except ValueError:
                value = float(value)
        if isinstance(value, bool) or not isinstance(value, Real):
            return None
        found = int(value) if isinstance(value, Integral) else float(value)
        return found if math.isfinite(found) else None
    except (ValueError, OverflowError):  # text that is no number, and numbers beyond what a float holds
        return None


def _numbers(value: Any, name: str, wanted: str, kinds: str = "iuf") -> np.ndarray:
    """A float32 array of finite numbers of any shape."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in kinds:
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
            if np.isfinite(array).all():
                return array
    except Exception:  # ragged lists, tensors on a device, objects that refuse
        pass
    raise InputError(f"{name} must be finite numbers, not {shown(value)}: give {wanted}.")


def _check_inside(xy: np.ndarray, size_hw: tuple[int, int] | None, name: str) -> None:
    """Raises InputError if one of (N, 2) places is outside the image. The right and the lower edge are still inside."""
    if size_hw is None:
        return
    height, width = size_hw
    outside = ((xy < 0) | (xy > (width, height))).any(1)
    if outside.any():
        x, y = xy[outside][0]
        raise InputError(
            f"{name} is at ({x:g}, {y:g}), outside the image: give x from 0 to {width} and y from 0 to {height}."
        )


def _range(low: float, high: float, whole: bool) -> str:
    kind = "a whole number" if whole else "a number"
    if low == -LARGEST and high == LARGEST:
        return kind
    if high == LARGEST:
        return f"{kind} of at least {_figure(low)}"
    if low == -LARGEST:
        return f"{kind} of at most {_figure(high)}"
    return f"{kind} from {_figure(low)} to {_figure(high)}"


def _figure(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
