"""Unknown words are replaced by known words of the same meaning, with a warning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evfsam
from evfsam.checkpoints.registry import list_models
from evfsam.data.scenes import expressions, make_scene, render
from evfsam.data.scenes.words import vocabulary
from evfsam.evaluation.wordings import WORDINGS
from evfsam.predictor import Predictor
from evfsam.processing.text import unknown_words
from evfsam.refine.synonyms import SYNONYMS, _may_be_typing_error, _other_numbers, map_to_vocabulary

PICTURE = np.zeros((40, 60, 3), np.uint8)
WORLD = frozenset(vocabulary())
FEW = frozenset(
    ["the", "red", "car", "smaller", "balloon", "balloons", "wheel", "house", "horse", "tree", "left-hand", "yellow"]
)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("the blaloon", "the balloon"),  # neighbours exchanged
        ("the RED Baloon!", "the RED balloon!"),  # left out
        ("[semantic] wheell", "[semantic] wheel"),  # doubled
        ("whel, yelow and smalller", "wheel, yellow and smaller"),
        ("yelliw", "yellow"),  # a wrong one
        ("left-hnad", "left-hand"),
    ],
)
def test_a_slip_of_the_keyboard_is_read_as_the_word_that_was_meant(typed, read):
    prompt, words = map_to_vocabulary(typed, FEW)
    assert prompt == read and all(word in FEW for word in words.values())


# English words that differ by a slip of the keyboard from words that a bundled checkpoint knows.
ENGLISH = """
basked basset bats bellow bids blow boast bots brow buss cellar clod closet crow dresser envelop fling flowed flowery
font form frying hose horses kits lager larder mats meddle muddle neatest parson pedals waring weaving whit widow blaze
boost cloths clothed cogs fats globes groves jumped loaders pans pats glassed pure roper scar skit sorts speakers
sweeter vets rocket pocket ticket stale sins
"""
MISSPELT = {
    **{"blaloon": "balloon", "baloon": "balloon", "umbrela": "umbrella", "umberlla": "umbrella", "flwoer": "flower"},
    **{"flowwer": "flower", "hosue": "house", "houuse": "house", "perosn": "person", "pesron": "person"},
    **{"mountian": "mountain", "moutain": "mountain", "windwo": "window", "windoww": "window", "yelow": "yellow"},
    **{"yelliw": "yellow", "oragne": "orange", "puprle": "purple", "purpel": "purple", "grene": "green"},
    **{"whtie": "white", "smalll": "small", "bigest": "biggest", "largets": "largest", "trouesrs": "trousers"},
    **{"girafe": "giraffe", "giraaffe": "giraffe", "elephent": "elephant", "elehpant": "elephant", "bannana": "banana"},
    **{"bicylce": "bicycle", "skatebord": "skateboard", "keybaord": "keyboard", "lapptop": "laptop", "pizzza": "pizza"},
    **{"brocoli": "broccoli", "carrrot": "carrot", "suitcsae": "suitcase", "toaaster": "toaster"},
    "sufrboard": "surfboard",
}


def near(typed: str) -> list[frozenset[str]]:
    """The bundled vocabularies with a word of which ``typed`` may be a slip."""
    known = [frozenset(row.vocabulary) for row in list_models() if row.vocabulary]
    return [words for words in known if typed not in words and any(_may_be_typing_error(typed, word) for word in words)]


@pytest.mark.parametrize("typed", ENGLISH.split())
def test_an_english_word_is_read_as_no_other_one(typed):
    synonyms = {word for said in SYNONYMS.values() for word in said.split()}
    for words in near(typed):
        read = map_to_vocabulary(f"the {typed}", words)[1].get(typed)
        assert read is None or read in _other_numbers(typed) or typed in synonyms


@pytest.mark.parametrize(("typed", "meant"), MISSPELT.items())
def test_a_misspelt_word_is_read_as_the_one_that_was_meant(typed, meant):
    vocabularies = [words for words in near(typed) if meant in words]
    assert vocabularies
    for words in vocabularies:
        assert map_to_vocabulary(typed, words) == (meant, {typed: meant})


@pytest.mark.parametrize(
    ("typed", "vocabulary_", "read"),
    [
        ("toes", {"to"}, "toes"),
        ("cares", {"car"}, "cares"),
        ("doges", {"dog"}, "doges"),
        ("suites", {"suit"}, "suites"),
        ("buss", {"bus"}, "buss"),
        ("ones", {"on"}, "ones"),
        ("the short man", {"the", "man", "shorts"}, "the short man"),
        ("a glass", {"a", "glasses"}, "a glass"),
        ("cloth", {"clothes"}, "cloth"),
        ("buses", {"bus"}, "bus"),
        ("benches", {"bench"}, "bench"),
        ("knives", {"knife"}, "knife"),
        ("wolf", {"wolves"}, "wolves"),
        ("skies", {"sky"}, "sky"),
        ("toys", {"toy"}, "toy"),
        ("box", {"boxes"}, "boxes"),
        ("potatoes", {"potato"}, "potato"),
    ],
)
def test_a_plural_is_spelt_as_english_spells_it(typed, vocabulary_, read):
    assert map_to_vocabulary(typed, vocabulary_)[0] == read


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("[semantic] wheels", "[semantic] wheel"),
        ("[semantic] Clouds", "[semantic] cloud"),
        ("[semantic] leaves", "[semantic] leaf"),
        ("the red petal", "the red petals"),
        ("the dog's tail", "the dog tail"),
        ("dog\u2019s ear", "dog ear"),  # as telephones type it
    ],
)
def test_another_number_of_a_word_is_read_as_the_one_that_was_learned(typed, read):
    assert map_to_vocabulary(typed, WORLD)[0] == read


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("the woman in red", "the person in red"),
        ("the ship on the ocean", "the boat on the sea"),
        ("[semantic] ships", "[semantic] boats"),  # several
        ("the ship's sail", "the boat sail"),  # but one here
        ("[semantic] tyres", "[semantic] wheel"),
        ("the automobile near the pine tree", "the car beside the tree"),
        ("the hot air balloon", "the balloon"),
        ("two Hot-Air Balloons", "two Balloons"),
        ("the beach ball", "the ball"),
        ("a puppy dog", "a dog"),
        ("a violet sailing boat", "a purple boat"),
    ],
)
def test_what_people_say_for_a_thing_is_read_as_its_name(typed, read):
    prompt, words = map_to_vocabulary(typed, WORLD)
    assert prompt == read and words and set(words.values()) <= WORLD


@pytest.mark.parametrize(
    ("vocabulary_", "read"),
    [
        ({"the", "jeans", "trousers", "pants"}, "the jeans"),  # known: nothing to do
        ({"the", "trousers", "pants"}, "the trousers"),
        ({"the", "pants"}, "the jeans"),  # jeans are not said for pants
        ({"the", "person"}, "the jeans"),
    ],
)
def test_a_word_is_read_as_one_that_this_checkpoint_knows(vocabulary_, read):
    assert map_to_vocabulary("the jeans", vocabulary_)[0] == read


@pytest.mark.parametrize(
    "typed",
    [
        "the red car",
        "cay",  # too short to tell
        "as",  # not several a
        "hose",  # a house or a horse
        "balloos",  # a balloon or balloons
        "tres",  # no letter short, none doubled: another word
        "hallon",  # two slips
        "galloon",  # the first letter is seldom wrong
        "wheel-chair",
        "unicorn",
        "the beach",
        "the vehicle",  # a car or a bus
        "[semantic] zebra",
    ],
)
def test_what_may_be_another_word_is_left_as_it_is(typed):
    assert map_to_vocabulary(typed, FEW | {"a"}) == (typed, {})


def test_without_a_word_list_all_is_read_as_typed():
    for nothing in (frozenset(), ()):
        assert map_to_vocabulary("the blaloon of the woman", nothing) == ("the blaloon of the woman", {})


@given(
    st.lists(st.sampled_from([*SYNONYMS, *" ".join(SYNONYMS.values()).split(), "hot", "air", "beach", "x"]), max_size=6)
)
def test_what_is_read_is_known_and_named_and_reading_it_again_changes_nothing(words):
    typed = " ".join(words)
    prompt, read = map_to_vocabulary(typed, WORLD)
    assert (prompt == typed) == (not read)
    assert set(read.values()) <= WORLD
    assert map_to_vocabulary(prompt, WORLD) == (prompt, {})
    assert set(unknown_words(prompt, WORLD)) <= set(unknown_words(typed, WORLD)) - set(read)


@given(st.text(max_size=40))
def test_reading_touches_nothing_but_the_words_that_it_names(typed):
    prompt, read = map_to_vocabulary(typed, FEW)
    assert (prompt == typed) == (not read)
    assert set(read) <= set(unknown_words(typed, FEW)) and set(read.values()) <= FEW


def test_every_word_of_the_table_can_be_read_by_a_bundled_checkpoint():
    """Each entry is useful: some vocabulary has the word, and some vocabulary lacks one of its synonyms."""
    known = [set(row.vocabulary) for row in list_models() if row.vocabulary]
    assert known
    for word, said in SYNONYMS.items():
        assert any(word in words for words in known), word
        for other in said.split():
            assert any(word in words and other not in words for words in known), (word, other)


def test_a_phrase_in_strange_words_means_what_it_meant():
    rng = np.random.default_rng(0)
    read = [
        (expression.text, map_to_vocabulary(said, WORLD)[0])
        for seed in range(900_000, 900_010)
        for expression in expressions(make_scene(seed))
        if (said := WORDINGS["unknown_word"](expression, rng))
    ]
    assert len(read) > 100
    same = sum(before == after for before, after in read)
    assert same > 0.9 * len(read)  # "near" is read as "beside", though "close to" was meant


def test_a_phrase_so_read_is_answered_as_if_typed_well_and_that_is_told():
    predictor = evfsam.Predictor.from_pretrained("evf-sam2-tiny", device="cpu")
    image = render(make_scene(3), (90, 120)).image
    typed, meant = predictor.segment(image, ["the blaloon above the ship", "the balloon above the boat"])
    assert (typed.mask_logits == meant.mask_logits).all() and not meant.warnings
    assert typed.warnings == ("evf-sam2-tiny never learned 'blaloon', 'ship'; read as 'balloon', 'boat'.",)
    assert typed.prompt == "the blaloon above the ship"


def test_an_article_that_was_not_learned_is_read_as_the_other_one_and_not_told():
    few = evfsam.refine.refiner.Refiner("small", evfsam.refine.refinement.Refinement(), ["the", "dog"])
    assert few.read("a dog") == ("the dog", ())
    assert few.read("an puppy")[1] == ("small never learned 'puppy'; read as 'dog'.",)


def test_many_such_words_are_told_in_one_short_sentence(random_checkpoint):
    predictor = evfsam.Predictor.from_pretrained(random_checkpoint, device="cpu")
    words = [f"{letter}bcdefgh" for letter in "abcdefghijklmnopqrst"]
    slips = " ".join(word + "h" for word in words)  # the last letter doubled
    info = replace(predictor.info, vocabulary=tuple(words))
    predictor = Predictor(replace(predictor.checkpoint, info=info), predictor.runtime)
    (answer,) = predictor.segment(PICTURE, [slips])
    warning = answer.warnings[0]  # another says that so long a prompt was cut
    assert sum("read as" in other for other in answer.warnings) == 1
    assert warning.count("and 12 more") == 2 and "read as 'abcdefgh', 'bbcdefgh'" in warning and len(warning) < 300
