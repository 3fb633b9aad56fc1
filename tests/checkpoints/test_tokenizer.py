"""Ids equal SentencePiece's own, in fairseq's order, whatever the text."""

from __future__ import annotations

import socket

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evfsam.checkpoints.layout import SENTENCEPIECE_FILE, TOKENIZER_JSONS
from evfsam.checkpoints.tokenizer import load_tokenizer, train_tokenizer
from evfsam.errors import CheckpointError
from tests.checkpoints.small import PHRASES

BOS, PAD, EOS, UNKNOWN = 0, 1, 2, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(PHRASES, folder, vocabulary_size=90)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def pieces(folder):
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))


def fairseq(pieces, text: str) -> list[int]:
    """What the reference's tokenizer did: SentencePiece's ids moved by one, its unknown (0) to 3."""
    return [BOS, *(piece + 1 if piece else UNKNOWN for piece in pieces.encode(text)), EOS]


def test_special_tokens_have_fairseq_places(tokenizer, pieces):
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id) == (BOS, PAD)
    assert (tokenizer.eos_token_id, tokenizer.unk_token_id) == (EOS, UNKNOWN)
    assert len(tokenizer) == pieces.get_piece_size() + 2  # <pad> and <mask>; 64,008 become the published 64,010
    assert tokenizer.convert_ids_to_tokens(4) == pieces.id_to_piece(3)


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# As processing.text.clean_prompt leaves it: no white space but single spaces. "<" and ">" could spell special
# tokens, which the reference reads as such too.
CLEAN = st.text(st.characters(exclude_characters="<>", exclude_categories=("Cs", "Cc")), max_size=40).map(
    lambda text: " ".join(text.split())
)


@unhurried
@given(CLEAN)
def test_any_text_gets_the_ids_of_sentencepiece(tokenizer, pieces, text):
    assert tokenizer(text)["input_ids"] == fairseq(pieces, text)


@unhurried
@given(st.lists(st.sampled_from(" ".join(PHRASES).split()), min_size=1, max_size=12).map(" ".join))
def test_phrases_get_the_ids_of_sentencepiece(tokenizer, pieces, phrase):
    ids = tokenizer(phrase)["input_ids"]
    assert ids == fairseq(pieces, phrase)
    assert UNKNOWN not in ids


def test_case_and_punctuation_are_kept(tokenizer):
    ids = tokenizer("A person's hat")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "A person's hat"
    assert ids != tokenizer("a person's hat")["input_ids"]


def test_a_tokenizer_of_few_words_may_fold_case(tmp_path):
    train_tokenizer(PHRASES, tmp_path, vocabulary_size=90, fold_case=True)
    folding = load_tokenizer(tmp_path)
    assert folding("A PERSON's Hat")["input_ids"] == folding("a person's hat")["input_ids"]


def test_a_long_phrase_is_not_cut_here(tokenizer):
    assert len(tokenizer("red car " * 2000)["input_ids"]) > 4000


def test_loading_asks_no_network(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_tokenizer(folder)("red car")["input_ids"][0] == BOS


def test_the_same_phrases_give_the_same_files(folder, tmp_path):
    train_tokenizer(iter(PHRASES), tmp_path, vocabulary_size=90)
    for name in (SENTENCEPIECE_FILE, *TOKENIZER_JSONS):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_sentencepiece_file_is_enough(folder, tokenizer, tmp_path):
    """The two json files hold XLM-R's defaults, which some copies lack."""
    (tmp_path / "sentencepiece.bpe.model").write_bytes((folder / "sentencepiece.bpe.model").read_bytes())
    assert load_tokenizer(tmp_path)("the red car")["input_ids"] == tokenizer("the red car")["input_ids"]


def test_a_model_that_transformers_would_misread_is_refused(tmp_path):
    """transformers reads a BPE model as a unigram one and cuts words elsewhere, without a word about it."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PHRASES),
        model_prefix=str(tmp_path / "sentencepiece.bpe"),
        model_type="bpe",
        vocab_size=90,
        minloglevel=2,
    )
    with pytest.raises(CheckpointError, match="not a unigram"):
        load_tokenizer(tmp_path)


def test_nothing_to_learn_from_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one sentence"):
        train_tokenizer(["", "  "], tmp_path, vocabulary_size=90)
