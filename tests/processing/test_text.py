"""Prompts reach the encoder in one clean form, the same way everywhere; what cannot be read is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import evfsam
from evfsam.checkpoints.tokenizer import load_tokenizer, train_tokenizer
from evfsam.data.scenes import expressions, make_scene
from evfsam.errors import InputError
from evfsam.predictor import Predictor
from evfsam.processing.text import PAD_ID, clean_prompt, tokenize, unknown_words
from evfsam.values import MAX_PROMPT_CHARACTERS
from tests.checkpoints.small import BEIT3, PHRASES

PICTURE = np.zeros((40, 60, 3), np.uint8)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(PHRASES, folder, vocabulary_size=90)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return evfsam.Predictor.from_pretrained(random_checkpoint, device="cpu")


CLEANED = {
    # What belongs to the prompt stays.
    "the Red car's door, left!": "the Red car's door, left!",
    "where is the dog?": "where is the dog?",
    "sky [semantic]": "sky [semantic]",
    "l'\u00e9t\u00e9 \u7a7a 3": "l'\u00e9t\u00e9 \u7a7a 3",
    "the dogs' tails": "the dogs' tails",
    "man (left) and dog (right)": "man (left) and dog (right)",
    "a t-shirt": "a t-shirt",
    # White space and what cannot be seen.
    "  the \n red\tcar ": "the red car",
    "the\u00a0red\u3000car": "the red car",
    "um\u00adbrella": "umbrella",
    "the\u00adbus": "the bus",
    "the\u200bbus": "the bus",
    "\ufeffthe \u202ebus\u200d": "the bus",
    "the bus\x00": "the bus",
    # Quotation marks of all kinds, a sentence's end, a list's mark.
    '"the bus"': "the bus",
    "'the bus'": "the bus",
    "\u201cthe bus.\u201d": "the bus",
    "\u201ethe bus\u201c": "the bus",
    "\u00ab the bus \u00bb": "the bus",
    "\u300cthe bus\u300d": "the bus",
    "``the bus''": "the bus",
    "\u00b4the bus\u00b4": "the bus",
    '"the bus': "the bus",
    "the bus.": "the bus",
    "the bus...": "the bus",
    "the bus\u2026": "the bus",
    "the bus\u3002": "the bus",
    "the bus ,": "the bus",
    "- the bus": "the bus",
    "the dog\u2019s tail": "the dog's tail",
    # Full-width letters and ligatures.
    "\uff54\uff48\uff45 \uff42\uff55\uff53": "the bus",
    "\ufb01sh": "fish",
    # The prefix in every form.
    "[semantic] sky": "[semantic] sky",
    "[Semantic]sky": "[semantic] sky",
    "[SEMANTIC]: sky": "[semantic] sky",
    "[ semantic ] : sky": "[semantic] sky",
    "\uff3bsemantic\uff3d\uff1asky": "[semantic] sky",
    '"[semantic] sky."': "[semantic] sky",
    '[semantic] "sky"': "[semantic] sky",
    "[semantic] [semantic] sky": "[semantic] sky",
}


# Characters without a shape. "|" stands for one of them.
VANISH = {  # inside a word; between two words they part them
    **{"\u00ad": "soft hyphen", "\u200b": "zero-width space", "\u200c": "non-joiner", "\u200d": "joiner"},
    **{"\u2060": "word joiner", "\ufeff": "byte order mark", "\u034f": "grapheme joiner", "\u061c": "Arabic mark"},
    **{"\u200e": "left to right", "\u200f": "right to left", "\u202e": "override", "\u2066": "isolate"},
    **{"\ufe0f": "variation selector 16", "\U000e0100": "variation selector 17", "\U000e0041": "tag A"},
    **{"\x00": "NUL", "\x07": "bell", "\x1b": "escape", "\x7f": "delete", "\u0086": "C1", "\u2062": "invisible times"},
    **{"\u180e": "vowel separator", "\u206a": "deprecated mark", "\ufff9": "annotation", "\u17b4": "Khmer vowel"},
}
PART = {  # words, as a space does
    **{"\u00a0": "no-break space", "\u202f": "narrow space", "\u2009": "thin space", "\u3000": "ideographic space"},
    **{"\u2028": "line separator", "\u2029": "paragraph separator", "\x85": "next line", "\x0b": "vertical tab"},
    **{"\x1c": "file separator", "\u1680": "Ogham space", "\u205f": "mathematical space", "\ufffc": "object"},
    **{"\u3164": "Hangul filler", "\uffa0": "half-width filler", "\u115f": "first filler", "\u2800": "Braille blank"},
}


@pytest.mark.parametrize("hidden", VANISH, ids=VANISH.values())
@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("|the bus|", "the bus"),
        ("the| |bus", "the bus"),
        ("the b|us", "the bus"),
        ("the b||u|s", "the bus"),
        ("the|bus", "the bus"),
        ("The|Red|Bus", "The Red Bus"),
        ("the|um|brella", "the umbrella"),
        ("a foot|ball", "a football"),
        ("[seman|tic]| bus", "[semantic] bus"),
    ],
)
def test_what_has_no_shape_goes_and_words_stay_apart(hidden, typed, read):
    assert clean_prompt(typed.replace("|", hidden)) == read


@pytest.mark.parametrize("hidden", PART, ids=PART.values())
@pytest.mark.parametrize("typed", ["the|bus", "|the||bus|", "the |bus"])
def test_what_parts_words_is_one_space(hidden, typed):
    assert clean_prompt(typed.replace("|", hidden)) == "the bus"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("the zor\u00adblax", "the zorblax"),  # no English words: nothing tells
        ("the\u200bzorblax", "the zorblax"),  # but this is a space
        ("b\u0336u\u0336s\u0336", "bus"),
        ("the b\u0301u\u0323\u0323s", "the b\u1ee5s"),
        ("cafe\u0301 5\ufe0f\u20e3", "caf\u00e9 5"),
        ("\u05d1\u05b8\u05bc", "\u05d1\u05b8\u05bc"),  # points that Hebrew has
        ("\u0915\u093f\u0924\u093e\u092c", "\u0915\u093f\u0924\u093e\u092c"),  # vowels that Hindi has
        ("a t\u2011shirt, left\u2010hand", "a t-shirt, left-hand"),
        ("\U0001d42d\U0001d421\U0001d41e \u24d1\u24e4\u24e2", "the bus"),
    ],
)
def test_letters_keep_only_marks_that_are_theirs(typed, read):
    assert clean_prompt(typed) == read


@pytest.mark.parametrize(("typed", "read"), CLEANED.items(), ids=map(ascii, CLEANED))
def test_marks_around_a_prompt_go_and_its_words_stay(typed, read):
    assert clean_prompt(typed) == read


@given(st.text(max_size=60) | st.text("\"'`.,[]:- \u00ad\u201c\uff3bsemanticSEM", max_size=30))
def test_cleaning_again_changes_nothing(text):
    try:
        cleaned = clean_prompt(text)
    except InputError:
        return
    assert clean_prompt(cleaned) == cleaned


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("?!", "empty"),
        ("[semantic] ", "empty"),
        ("[Semantic]:", "empty"),
        ('"\u2026"', "empty"),
        ("\u200b\u00ad", "empty"),
        (b"the bus", "must be text"),
        (None, "must be text"),
        (5, "must be text"),
        ("red \ud800 car", "half a character"),
        ("a" * (MAX_PROMPT_CHARACTERS + 1), "shorten it"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(predictor, typed, told):
    for ask in (clean_prompt, lambda text: predictor.segment(PICTURE, [text])):
        with pytest.raises(InputError, match=told) as error:
            ask(typed)
        assert "\n" not in str(error.value) and len(str(error.value)) < 200


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(4, 38))
def test_phrases_of_any_length_fit_the_positions(tokenizer, lengths, longest):
    prompts = [" ".join(["red"] * length) for length in lengths]
    text = tokenize(tokenizer, prompts, longest)
    assert text.token_ids.shape == text.padding_mask.shape and text.token_ids.shape[1] <= longest
    for row, prompt in enumerate(prompts):
        full = tokenizer(prompt)["input_ids"]
        read = text.token_ids[row][~text.padding_mask[row]].tolist()
        assert text.cut[row] == (len(full) > longest)
        assert read[-1] == tokenizer.eos_token_id and read[:-1] == full[: len(read) - 1]
        assert (text.token_ids[row][text.padding_mask[row]] == PAD_ID).all()


def test_marks_that_a_tokenizer_does_not_know_do_not_change_the_words(tokenizer):
    plain = tokenize(tokenizer, ["[semantic] red car"], BEIT3.longest_text)
    assert tokenizer.unk_token_id not in plain.token_ids
    for typed in ("[semantic] red (car)", "[semantic] red & car", "[semantic] red \u201ccar\u201d"):
        assert torch.equal(tokenize(tokenizer, [typed], BEIT3.longest_text).token_ids, plain.token_ids)


def test_a_phrase_that_is_cut_is_said(predictor):
    short, long = predictor.segment(PICTURE, ["the red car", "the red car " * 80])
    assert not short.warnings
    assert ["its end was left out" in warning for warning in long.warnings] == [True]


def test_many_unknown_words_are_named_in_short(predictor):
    info = replace(predictor.checkpoint.info, vocabulary=("red", "car"))
    predictor = Predictor(replace(predictor.checkpoint, info=info), predictor.runtime)
    words = " ".join(f"w{i}" for i in range(30))
    (warning, *_) = predictor.segment(PICTURE, [f"red {words} {'a' * 800}"])[0].warnings
    assert "'w0', 'w1'" in warning and "and 23 more" in warning and "red" not in warning and len(warning) < 300
    assert len(unknown_words(words, frozenset({"red"}))) == 30


def test_training_reads_the_very_tokens_that_the_app_reads():
    """The expressions of scenes are clean: training, which does not clean them, and the app read the same text."""
    for seed in range(30):
        for expression in expressions(make_scene(seed)):
            assert clean_prompt(expression.text) == expression.text


def test_neighbours_in_a_batch_do_not_change_a_phrase(tokenizer):
    alone = tokenize(tokenizer, ["the red car"], BEIT3.longest_text)
    beside = tokenize(tokenizer, ["the red car", "the small blue zebra left"], BEIT3.longest_text)
    assert torch.equal(beside.token_ids[0][~beside.padding_mask[0]], alone.token_ids[0])
