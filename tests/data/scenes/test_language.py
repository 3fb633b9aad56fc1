"""Phrases mean what they say: each is read again by an oracle that knows only the image's truth."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.scenes import (
    ABSENT,
    KINDS_OF_EXPRESSION,
    PARTS,
    REFERRING,
    STUFF,
    TEST,
    THINGS,
    categories,
    expressions,
    make_scene,
    part_names,
    render_parts,
    stuff_names,
    vocabulary,
)
from tests.data.scenes.oracle import Oracle

SEEDS = [*range(90), *range(TEST.start, TEST.start + 60)]


@pytest.fixture(scope="module")
def world():
    """(scene, oracle at another size than the generator's, expressions) of each seed."""
    scenes = [make_scene(seed) for seed in SEEDS]
    return [(scene, Oracle(scene, (320, 320)), expressions(scene)) for scene in scenes]


def test_every_referring_phrase_covers_its_target_and_nothing_else(world):
    wrong = [
        (scene.seed, expression.text)
        for scene, oracle, found in world
        for expression in found
        if expression.kind in REFERRING
        and [look.number for look in oracle.covered(expression.text)] != [expression.target]
    ]
    assert wrong == []


def test_absent_referring_phrases_cover_nothing(world):
    wrong = [
        (scene.seed, expression.text)
        for scene, oracle, found in world
        for expression in found
        if expression.kind == ABSENT
        and not expression.text.startswith("[semantic]")
        and oracle.covered(expression.text)
    ]
    assert wrong == []


def test_the_mask_of_a_referring_phrase_is_all_of_one_thing(world):
    for scene, oracle, found in world:
        for expression in found:
            if expression.kind in REFERRING:
                parts = {scene.parts[i].thing for i in expression.part_ids}
                assert parts == {expression.target}
                assert len(expression.part_ids) == sum(part.thing == expression.target for part in scene.parts)
                assert np.isin(oracle.part_map, expression.part_ids).mean() > 0.0025


def semantic_truth(scene, name: str) -> set[int]:
    """Part indices that a semantic name covers, by the part table."""
    found = set()
    for part in scene.parts:
        names = {part.name} if part.thing is None else {part.kind, f"{part.kind} {part.name}"}
        if part.thing is not None and part_names(part.kind):
            names.add(part.name)
        if name in names:
            found.add(part.index)
    return found


def test_semantic_phrases_cover_all_of_their_name(world):
    for scene, _, found in world:
        for expression in found:
            assert expression.text.startswith("[semantic] ") == (
                expression.kind in (STUFF, THINGS, PARTS)
                or (expression.kind == ABSENT and expression.text.startswith("[semantic] "))
            )
            if expression.text.startswith("[semantic] "):
                assert set(expression.part_ids) == semantic_truth(scene, expression.text.removeprefix("[semantic] ")), (
                    expression
                )
                assert expression.target is None


def test_absent_phrases_have_an_empty_mask(world):
    for _, _, found in world:
        absent = [expression for expression in found if expression.kind == ABSENT]
        assert absent
        assert all(expression.part_ids == () and expression.target is None for expression in absent)


def test_targets_have_distractors_of_their_kind(world):
    """Expressions of colour, place and size exist only if the scene has another thing of the kind."""
    for _, oracle, found in world:
        kinds = [look.kind for look in oracle.looks]
        by_number = {look.number: look.kind for look in oracle.looks}
        for expression in found:
            if expression.kind in ("colour", "place", "size"):
                assert kinds.count(by_number[expression.target]) >= 2, expression


def test_scenes_have_phrases_of_many_kinds(world):
    counts = np.array([[sum(p.kind == kind for p in found) for kind in KINDS_OF_EXPRESSION] for _, _, found in world])
    assert (counts.sum(1) >= 15).all()
    assert np.median(counts.sum(1)) >= 25
    assert (counts.mean(0) >= 0.8).all()


def test_texts_are_lower_case_unique_and_within_the_vocabulary(world):
    known = set(vocabulary())
    for _, _, found in world:
        texts = [expression.text for expression in found]
        assert len(set(texts)) == len(texts)
        for text in texts:
            assert text == text.lower().strip() and "{" not in text
            assert set(text.split()) <= known, text


def test_the_vocabulary_holds_what_the_page_offers():
    words = set(vocabulary())
    assert words >= {*categories(), *stuff_names()}
    assert words >= {part for kind in categories() for part in part_names(kind)}


def test_phrases_do_not_depend_on_what_was_rendered():
    scene = make_scene(7)
    before = expressions(scene)
    render_parts(scene, (64, 96))
    assert expressions(scene) == before
