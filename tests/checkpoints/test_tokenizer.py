"""Ids equal SentencePiece's own, in fairseq's order, and those of transformers, whatever the text."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evfsam.checkpoints.layout import SENTENCEPIECE_FILE, TOKENIZER_JSONS
from evfsam.checkpoints.tokenizer import UnigramTokenizer, load_tokenizer, train_tokenizer
from evfsam.errors import CheckpointError
from tests.checkpoints.small import PHRASES

ASSETS = Path(__file__).parents[2] / "assets/checkpoints"
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


@pytest.fixture(scope="module")
def pairs(folder, tmp_path_factory):
    """Each kind of SentencePiece file, read here and by transformers."""
    from transformers import AddedToken, XLMRobertaTokenizer

    kinds = tmp_path_factory.mktemp("kinds")
    train_tokenizer(PHRASES, kinds / "folded", vocabulary_size=90, fold_case=True)
    for name, rule in (("plain", "identity"), ("own tokens", "nmt_nfkc")):
        own = ["[SEG]", "[Ünit]"] if name == "own tokens" else []
        (kinds / name).mkdir()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(PHRASES),
            model_prefix=str(kinds / name / "sentencepiece.bpe"),
            vocab_size=90,
            hard_vocab_limit=False,
            normalization_rule_name=rule,
            user_defined_symbols=own[:1],
            control_symbols=own[1:],
            minloglevel=2,
        )
    found = []
    for source in [folder, *kinds.iterdir(), *sorted(ASSETS.glob("*/"))]:
        if not (source / SENTENCEPIECE_FILE).is_file():
            continue
        alone = tmp_path_factory.mktemp("alone")  # transformers would read other files that lie beside it
        shutil.copyfile(source / SENTENCEPIECE_FILE, alone / SENTENCEPIECE_FILE)
        mask = AddedToken("<mask>", lstrip=True, normalized=True, special=True)
        theirs = XLMRobertaTokenizer.from_pretrained(alone, mask_token=mask, local_files_only=True)
        found.append((source.name, UnigramTokenizer((source / SENTENCEPIECE_FILE).read_bytes()), theirs))
    assert len(found) >= 8
    return found


TEXTS = [
    *("", " ", "\t", "\n\n", "a", "▁", "▁the ▁", " the  red\tcar \n", "the\u3000red\u00a0car\u200bs\ufeff"),
    *("A person's hat, 3 of 10%!?", "[semantic] sky", "[SEG] the[SEG]x [Ünit]", "straße İI ıi ß ﬁ ½ ² Å", "1,234.5"),
    *("<mask>", "a <mask> dog", "a<mask>dog", "the  <mask>  ", "</s>", "<s>red</s>car", "<pad><pad>", "<unk> <cls>"),
    *("<mask", "< mask>", "<mask><mask> <s>", "＜mask＞", "<ｍask>", "<MASK>", "the<s> </s>red<pad> car<unk>"),
    *("赤い車", "красная машина", "السيارة الحمراء", "लाल गाड़ी", "빨간 차", "รถสีแดง", "ｒｅｄ　ｃａｒ"),
    *("e\u0301 q\u0323\u0307 \u0301x", "👍🏽", "👩\u200d👩\u200d👧 family", "🇩🇪🇫🇷", "a\ufe0f1\ufe0f\u20e3"),
    *("\U0010ffff \ue000", "ก\u0e33", "\u1100\u1161\u11a8", "\u202ered\u202c", "\x00 a\x1fb", "\x7f", "\u0085a\u2028b"),
    *("x" * 3000, "the red car " * 1000, "👍" * 500, "a\u0301" * 500, " " * 1000, "<mask>" * 100),
]


def test_transformers_gives_the_same_ids(pairs):
    for name, ours, theirs in pairs:
        assert len(ours) == len(theirs), name
        wrong = [text for text in TEXTS + PHRASES if ours(text)["input_ids"] != theirs(text)["input_ids"]]
        assert not wrong, name


ANY = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
SPELT = st.sampled_from(["<mask>", "<s>", "</s>", "<pad>", "<unk>", "[SEG]", "[Ünit]", "▁", " ", "  ", "\t", *PHRASES])


@settings(unhurried, max_examples=200)
@given(st.lists(ANY | SPELT, max_size=8).map("".join))
def test_transformers_gives_the_same_ids_for_any_text(pairs, text):
    for name, ours, theirs in pairs:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], name


def test_case_and_punctuation_are_kept(tokenizer, pieces):
    ids = tokenizer("A person's hat")["input_ids"]
    assert pieces.decode([number - 1 for number in ids[1:-1]]) == "A person's hat"
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


def test_a_model_that_would_be_misread_is_refused(tmp_path):
    """A BPE model read as a unigram one cuts words elsewhere."""
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
