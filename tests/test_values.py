"""Values from outside: what is accepted and in which form, what is refused and with which sentence."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evfsam import values
from evfsam.errors import InputError

NAN, INF = math.nan, math.inf
SIZE_HW = (100, 200)


class Spiteful:
    """An object that cannot be shown, compared or converted."""

    def __repr__(self):
        raise RuntimeError("no")

    __array__ = __eq__ = __float__ = __repr__
    __hash__ = object.__hash__


ODD = [None, True, np.True_, NAN, INF, -INF, np.float32("nan"), 10**5000, 1j, "x", "", b"1", [1], {1: 2}, {1}, ()]
ODD += [np.zeros(3), np.array("x"), Spiteful(), iter([1]), torch.zeros(2, 2), Fraction(10) ** 400, object, lambda: 1]


def refused(call, *words: str) -> str:
    """The sentence with which a call is refused; it holds ``words``, and is one line of bearable length."""
    with pytest.raises(InputError) as error:
        call()
    sentence = str(error.value)
    assert all(word in sentence for word in words)
    assert "\n" not in sentence and len(sentence) < 300
    return sentence


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1), np.uint8(1), Fraction(1, 2)])
def test_numbers_are_accepted(value):
    found = values.number(value, "--start", 0, 1)
    assert type(found) is float and found == value


@pytest.mark.parametrize(("value", "whole"), [("0.5", False), (" 1e-1 ", False), ("7", True), ("7.0", True)])
def test_numbers_as_text_are_accepted_where_text_is_expected(value, whole):
    found = values.number(value, "--start", 0, 10, whole=whole, text=True)
    assert found == float(value) and type(found) is (int if whole else float)
    refused(lambda: values.number(value, "--start", 0, 10, whole=whole), "--start is '")


@pytest.mark.parametrize(
    "value",
    [*ODD, -0.001, 1.001, "nan", "inf", "1e999", "0x1", "0,5", "9" * 6000],
    ids=lambda v: "",
)
def test_what_is_no_number_in_range_is_refused(value):
    for check in (values.number, lambda v, n, *r, text: values.probability(v, n, text=text)):
        refused(lambda check=check: check(value, "threshold", 0, 1, text=True), "threshold is ", "give a number")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: values.number(3, "frame", 0, 2, whole=True), "frame is 3: give a whole number from 0 to 2."),
        (lambda: values.number(1.5, "frame", 0, 2, whole=True), "frame is 1.5: give a whole number from 0 to 2."),
        (
            lambda: values.number(-5, "--max-side", 16, whole=True),
            "--max-side is -5: give a whole number of at least 16.",
        ),
        (lambda: values.number(NAN, "x"), "x is nan: give a number."),
        (lambda: values.probability(1), "threshold is 1: give a number between 0 and 1, for example 0.5."),
        (lambda: values.choice("up", "direction", ("forward", "both")), "choose one of forward, both."),
        (lambda: values.choice(None, "direction", ("forward",)), "direction is None: choose"),
        (lambda: values.flag("no", "find_again"), "find_again is 'no': give true or false."),
    ],
)
def test_the_sentence_names_value_and_range(call, words):
    assert words in refused(call)


def test_none_stands_for_the_default_only_where_there_is_one():
    assert values.number(None, "start", 0, default=0.0) == 0.0
    refused(lambda: values.number(None, "start", 0), "start is None")


@pytest.mark.parametrize(
    ("value", "found"), [("a car", ["a car"]), (["a", "b"], ["a", "b"]), (("a",), ["a"]), ([""], [""])]
)
def test_prompts_are_accepted(value, found):
    assert values.prompts(value) == found


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *[(odd, "") for odd in ODD if not isinstance(odd, str)],
        ([], "no prompt"),
        ([None], "must be text, not None"),
        (["a", 5], "must be text, not 5"),
        ([["a"]], "must be text"),
        (b"car", "list of texts"),
        ({"a": 1}, "list of texts"),
        (iter(["a"]), "list of texts"),
        (["a"] * 201, "at most 200"),
        ("a" * 1001, "1,001 characters: shorten it to 1,000"),
        ("a" * 10_000_000, "shorten it"),
        ("red \ud800 car", "half a character"),
    ],
    ids=lambda v: "",
)
def test_other_prompts_are_refused(value, words):
    refused(lambda: values.prompts(value), words)


@pytest.mark.parametrize(
    ("coords", "labels"),
    [
        ([[1, 2]], [1]),
        ([1, 2], 1),
        (np.array([[1, 2]], np.uint8), np.array([True])),
        (torch.tensor([[1.0, 2.0]]), torch.tensor([1.0])),
        ([(1.0, 2.0)], (1,)),
    ],
)
def test_points_are_accepted(coords, labels):
    xy, signs = values.points(coords, labels, SIZE_HW)
    assert (xy.dtype, xy.tolist(), signs.dtype, signs.tolist()) == (np.float32, [[1, 2]], np.int64, [1])


@pytest.mark.parametrize(
    ("coords", "labels", "words"),
    [
        ([[NAN, 2]], [1], "finite"),
        ([[INF, 2]], [1], "finite"),
        ([[1e300, 2]], [1], "finite"),
        ([[1, 2], [3]], [1, 1], "finite"),
        ([["1", "2"]], [1], "finite"),
        ([[1, 2, 3]], [1], "(1, 3)"),
        ([], [], "(N, 2)"),
        ([[[1, 2]]], [1], "(1, 1, 2)"),
        ([[1, 2]], None, "one per point"),
        ([[1, 2], [3, 4]], [1], "2 points and 1 labels"),
        ([[1, 2]], [2], "label is 2"),
        ([[1, 2]], [-1], "label is -1"),
        ([[1, 2]], [0.5], "label is 0.5"),
        ([[1, 2]], [NAN], "finite"),
        ([[200.5, 2]], [1], "x from 0 to 200 and y from 0 to 100"),
        ([[1, 2], [1, -1]], [1, 1], "(1, -1), outside the image"),
        ([[1, 2]] * 101, [1] * 101, "at most 100"),
        *[(odd, [1], "") for odd in ODD],
        *[([[1, 2]], odd, "") for odd in ODD if not isinstance(odd, bool | np.bool_ | list)],
    ],
    ids=lambda v: "",
)
def test_other_points_are_refused(coords, labels, words):
    refused(lambda: values.points(coords, labels, SIZE_HW), words)


@pytest.mark.parametrize(
    "xyxy", [(10, 20, 30, 40), (30, 40, 10, 20), (10, 40, 30, 20), [30, 20, 10, 40], np.array([[10, 20], [30, 40]])]
)
def test_exchanged_corners_of_a_box_are_put_in_order(xyxy):
    assert values.box(xyxy, SIZE_HW) == (10, 20, 30, 40)


@pytest.mark.parametrize(
    ("xyxy", "words"),
    [
        ((10, 20, 10, 40), "is empty"),
        ((0, 0, 1e-60, 5), "is empty"),
        ((10, 20, 30), "3 numbers"),
        ((10, 20, 30, NAN), "finite"),
        ((10, 20, INF, 40), "finite"),
        ("0,0,9,9", "finite"),
        ((-500, -500, -100, -100), "x from 0 to 200 and y from 0 to 100"),
        ((0, 0, 200, 100.5), "(200, 100.5), outside the image"),
        *[(odd, "") for odd in ODD],
    ],
    ids=lambda v: "",
)
def test_other_boxes_are_refused(xyxy, words):
    refused(lambda: values.box(xyxy, SIZE_HW), words)


def test_the_edge_of_the_image_is_inside_and_its_size_may_be_unknown():
    assert values.box((0, 0, 200, 100), SIZE_HW) == (0, 0, 200, 100)
    assert values.points([[200, 100]], [0], SIZE_HW)[0].tolist() == [[200, 100]]
    assert values.box((-5, 0, 9000, 1)) == (-5, 0, 9000, 1)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9)
ANYTHING = st.recursive(
    SCALARS | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(SCALARS, inner, max_size=2),
)


@given(ANYTHING, ANYTHING)
def test_anything_becomes_a_good_value_or_one_sentence(value, other):
    def tried(call):
        try:
            return call()
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
            return None

    if (found := tried(lambda: values.number(value, "n", -10, 10, text=True))) is not None:
        assert -10 <= found <= 10
    if (found := tried(lambda: values.number(value, "n", whole=True))) is not None:
        assert type(found) is int and found == value
    if (found := tried(lambda: values.probability(value))) is not None:
        assert math.isfinite(math.log(found / (1 - found)))
    if (found := tried(lambda: values.prompts(value))) is not None:
        assert found and all(type(prompt) is str for prompt in found)
    if (found := tried(lambda: values.points(value, other, SIZE_HW))) is not None:
        assert np.isfinite(found[0]).all() and np.isin(found[1], (0, 1)).all() and len(found[0]) == len(found[1])
    if (found := tried(lambda: values.box(value, SIZE_HW))) is not None:
        assert 0 <= found[0] < found[2] <= 200 and 0 <= found[1] < found[3] <= 100
