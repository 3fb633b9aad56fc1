"""Other words for the same: what is said, and what cannot be said otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.scenes import Expression, expressions, make_scene
from evfsam.evaluation import wordings
from evfsam.evaluation.wordings import WORDINGS


def phrase(text: str, kind: str = "place") -> Expression:
    return Expression(text, kind, (1,), None)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("the car on the left", "place", "on the left the car"),
        ("leftmost red car", "place", "red car leftmost"),
        ("the car to the left of the tree", "relation", "to the left of the tree the car"),
        ("the red car", "colour", "the car red"),
        ("red car", "colour", "car red"),
        ("the person in the red shirt", "colour", None),
        ("the car", "name", None),
        ("[semantic] car", "things", None),
    ],
)
def test_word_order(rng, text, kind, expected):
    assert wordings.word_order(phrase(text, kind), rng) == expected


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("the car on the left", "place", "left"),
        ("leftmost red car", "place", "leftmost"),
        ("second dog from the left", "place", "second left"),
        ("the biggest house", "size", "largest"),
        ("the bird above the tree", "relation", "above"),
        ("the car on the left of the tree", "relation", "left"),
    ],
)
def test_a_paraphrase_says_the_same_in_another_of_the_worlds_wordings(rng, text, kind, key):
    found = {wordings.paraphrase(phrase(text, kind), rng) for _ in range(40)}
    fillers = wordings.read(phrase(text, kind)).fillers
    templates = wordings.TEMPLATES[kind][key]
    said = {template.format(**fillers) for template in templates if "{N}" not in template}
    assert {answer.removeprefix("the ") for answer in found} == said - {text.removeprefix("the ")}
    assert all(answer.startswith("the ") == text.startswith("the ") for answer in found)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("the red car", "colour"),
        ("[semantic] sky", "stuff"),
        ("the person in the red shirt", "colour"),
        ("dog", "name"),
    ],
)
def test_what_has_no_other_wording_is_left_out(rng, text, kind):
    assert wordings.paraphrase(phrase(text, kind), rng) is None


@pytest.mark.parametrize(
    ("reword", "text", "expected"),
    [
        (wordings.first_capital, "the red car", "The red car"),
        (wordings.first_capital, "[semantic] sky", "[semantic] Sky"),
        (wordings.all_capitals, "[semantic] car wheel", "[semantic] CAR WHEEL"),
    ],
)
def test_capitals_leave_the_prefix_alone(rng, reword, text, expected):
    assert reword(phrase(text), rng) == expected


def test_plurals_are_of_categories(rng):
    assert wordings.plural(phrase("[semantic] person", "things"), rng) == "[semantic] people"
    assert wordings.plural(phrase("[semantic] sky", "stuff"), rng) is None


def test_a_slip_is_small_and_hits_a_longer_word(rng):
    assert wordings.slip(phrase("the red car"), rng) is None
    for _ in range(30):
        slipped = wordings.slip(phrase("the yellow car"), rng)
        word = slipped.removeprefix("the ").removesuffix(" car")
        assert word != "yellow" and word[0] == "y" and 5 <= len(word) <= 6


def test_every_phrase_of_the_world_can_be_reworded_or_is_left_out(rng):
    said = dict.fromkeys(WORDINGS, 0)
    for seed in range(900_000, 900_010):
        for expression in expressions(make_scene(seed)):
            for name, reword in WORDINGS.items():
                text = reword(expression, rng)
                assert text is None or (text.strip() and "{" not in text)
                said[name] += text is not None
    assert all(said.values()), said
