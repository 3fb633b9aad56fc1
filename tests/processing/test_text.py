"""Words reach the encoder as they were typed, the same way everywhere; what cannot be read is told."""

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
from evfsam.processing.text import EOS_ID, MAX_CHARACTERS, PAD_ID, clean_prompt, tokenize, unknown_words
from tests.checkpoints.small import BEIT3, PHRASES

PICTURE = np.zeros((40, 60, 3), np.uint8)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(PHRASES, folder, vocabulary_size=90)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return evfsam.load_model(random_checkpoint, device="cpu")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("the Red car's door, left!", "the Red car's door, left!"),
        ("  the \n red\tcar ", "the red car"),
        ("[semantic] sky", "[semantic] sky"),
        ("[Semantic]sky", "[semantic] sky"),
        ("sky [semantic]", "sky [semantic]"),
        ("l'été 空 3", "l'été 空 3"),
    ],
)
def test_case_and_punctuation_stay_and_white_space_is_put_in_order(typed, read):
    assert clean_prompt(typed) == read


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("?!", "empty"),
        ("[semantic] ", "empty"),
        (None, "must be text"),
        (5, "must be text"),
        ("red \ud800 car", "half a character"),
        ("a" * (MAX_CHARACTERS + 1), "shorten it"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(predictor, typed, told):
    for ask in (clean_prompt, lambda text: predictor.segment(PICTURE, [text])):
        with pytest.raises(InputError, match=told) as error:
            ask(typed)
        assert "\n" not in str(error.value) and len(str(error.value)) < 200


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(6, 40))
def test_phrases_of_any_length_fit_the_positions(tokenizer, lengths, text_positions):
    phrases = [" ".join(["red"] * length) for length in lengths]
    text = tokenize(tokenizer, phrases, text_positions)
    assert text.token_ids.shape == text.padding_mask.shape and text.token_ids.shape[1] <= text_positions - 2
    for row, phrase in enumerate(phrases):
        full = tokenizer(phrase)["input_ids"]
        read = text.token_ids[row][~text.padding_mask[row]].tolist()
        assert text.cut[row] == (len(full) > text_positions - 2)
        assert read[-1] == EOS_ID and read[:-1] == full[: len(read) - 1]
        assert (text.token_ids[row][text.padding_mask[row]] == PAD_ID).all()


def test_a_phrase_that_is_cut_is_said(predictor):
    short, long = predictor.segment(PICTURE, ["the red car", "the red car " * 500])
    assert not short.warnings
    assert ["its end was left out" in warning for warning in long.warnings] == [True]


def test_many_unknown_words_are_named_in_short(predictor, monkeypatch):
    info = replace(predictor.checkpoint.info, vocabulary=("red", "car"))
    monkeypatch.setattr(predictor, "checkpoint", replace(predictor.checkpoint, info=info))
    words = " ".join(f"w{i}" for i in range(30))
    (warning, *_) = predictor.segment(PICTURE, [f"red {words} {'a' * 3000}"])[0].warnings
    assert "'w0', 'w1'" in warning and "and 23 more" in warning and "red" not in warning and len(warning) < 300
    assert len(unknown_words(words, frozenset({"red"}))) == 30


def test_training_reads_the_very_tokens_that_the_app_reads():
    """Training and evaluation take the scenes' phrases as they are, the app cleans what is typed."""
    for seed in range(30):
        for expression in expressions(make_scene(seed)):
            assert clean_prompt(expression.text) == expression.text


def test_neighbours_in_a_batch_do_not_change_a_phrase(tokenizer):
    alone = tokenize(tokenizer, ["the red car"], BEIT3.text_positions)
    beside = tokenize(tokenizer, ["the red car", "the small blue zebra left"], BEIT3.text_positions)
    assert torch.equal(beside.token_ids[0][~beside.padding_mask[0]], alone.token_ids[0])
