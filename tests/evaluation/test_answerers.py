"""Who answers what: hints are true, an ablation changes one thing, the baseline knows no image."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.sample import Prompt, Sample
from evfsam.data.scenes.dataset import SceneDataset
from evfsam.errors import InputError
from evfsam.evaluation import answerers
from evfsam.evaluation.clicks import OBJECTS_PER_IMAGE, clicked, first_prompts, next_click
from evfsam.evaluation.constant_mask import fit_constant_masks, fit_mean_mask
from evfsam.evaluation.probes import PROBES, SETS, expand
from evfsam.evaluation.robustness import SPOILED
from evfsam.predictor import Predictor
from tests.evaluation.fakes import HandMade

SIZE_HW = (48, 64)
SCENES = SceneDataset(range(900_000, 900_004), SIZE_HW)


@pytest.fixture(scope="module")
def samples():
    return [SCENES[i] for i in range(len(SCENES))]


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return Predictor.from_pretrained(random_checkpoint, device="cpu")


def texts(sample):
    return [prompt.text for prompt in sample.prompts]


def test_the_model_answers_as_the_predictor_does(samples, predictor):
    """However many prompts there are; a text that users would be told to type again gets an empty mask."""
    sample = samples[0]
    many = Sample("many", sample.image, sample.prompts * 3 + (Prompt("?", sample.prompts[0].mask),))
    masks = answerers.model(predictor)(many, None)
    expected = [result.mask for result in predictor.segment(sample.image, texts(sample))]
    assert len(masks) == 3 * len(expected) + 1 > answerers.PROMPTS_AT_ONCE
    assert all((mask == expected[i % len(expected)]).mean() > 0.99 for i, mask in enumerate(masks[:-1]))
    assert not masks[-1].any()


def test_a_swapped_image_changes_what_the_encoder_sees_and_nothing_else(samples, predictor, monkeypatch):
    seen = []
    segment = Predictor.iter_segment

    def watched(self, image, *arguments):
        seen.append(image)
        return segment(self, image, *arguments)

    monkeypatch.setattr(Predictor, "iter_segment", watched)
    answerers.swapped_image(predictor)(samples[0], lambda: samples[1])
    own, other = predictor.encode(samples[0].image), predictor.encode(samples[1].image)
    assert (seen[0].features.image_embeddings == own.features.image_embeddings).all()
    assert (seen[0].encoder_pixels == other.encoder_pixels).all()
    assert (own.encoder_pixels != other.encoder_pixels).any()


@pytest.mark.parametrize("reject_below", [None, 0.0, 1.0])
def test_no_rejection_answers_what_the_model_rejects(samples, predictor, reject_below):
    from dataclasses import replace

    strict = predictor.with_refinement(replace(predictor.info.refinement, reject_below=reject_below))
    own, believed = (make(strict)(samples[0], None) for make in (answerers.model, answerers.no_rejection))
    plain = answerers.model(predictor)(samples[0], None)
    assert all((a == b).all() for a, b in zip(believed, plain, strict=True))
    assert any(mask.any() for mask in plain)
    assert any(mask.any() for mask in own) == (reject_below != 1.0)


@pytest.mark.parametrize("name", ["oracle_prompt", "oracle_box", "oracle_point"])
def test_an_oracle_answers_prompts_that_have_a_target(samples, predictor, name):
    masks = PROBES[name].make(predictor)(samples[0], None)
    assert [mask is not None for mask in masks] == [prompt.mask.any() for prompt in samples[0].prompts]


def test_true_hints_lie_on_the_object():
    ring = np.zeros((20, 30), bool)
    ring[4:17, 5:25] = True
    ring[7:14, 8:22] = False
    hint = answerers.true_hint(ring)
    x, y = hint.points.coords[0]
    assert ring[int(y), int(x)] and hint.box == (5, 4, 25, 17) and list(hint.points.labels) == [1]
    assert answerers.true_hint(ring, box=False).box is None and answerers.true_hint(ring, point=False).points is None


def image(*rows: str) -> np.ndarray:
    return np.array([[pixel == "x" for pixel in row] for row in rows])


@pytest.mark.parametrize(
    ("mask", "target", "click"),
    [
        (("-----", "-----", "-----"), ("xxx--", "xxx--", "xxx--"), (1.5, 1.5, 1)),
        (("xxxxx", "xxxxx", "xxxxx"), ("xx---", "xx---", "xx---"), (3.5, 1.5, 0)),
        (("x----", "-----", "-----"), ("--xxx", "--xxx", "--xxx"), (3.5, 1.5, 1)),
        (("xx---", "-----", "-----"), ("xx---", "-----", "-----"), None),
    ],
)
def test_the_next_click_is_in_the_middle_of_the_largest_error(mask, target, click):
    assert next_click(image(*mask), image(*target)) == click


def test_objects_are_clicked_once_each(samples, predictor):
    sample = samples[0]
    chosen = first_prompts(sample)
    objects = [sample.prompts[i].object_id for i in chosen]
    assert 1 <= len(chosen) <= OBJECTS_PER_IMAGE and len(set(objects)) == len(objects)
    masks = clicked(predictor, 2, text=True, corrects=True)(sample, None)
    assert [i for i, mask in enumerate(masks) if mask is not None] == chosen
    alone = Sample("", sample.image, tuple(Prompt("a", sample.prompts[0].mask) for _ in range(2)))
    assert first_prompts(alone) == [0, 1]


def test_the_mean_mask_is_the_best_constant():
    """Three masks of the left half and one of the right: the left half it is."""
    left = np.zeros((4, 8), bool)
    left[:, :4] = True
    constant = fit_mean_mask(np.stack([left, left, left, ~left]))
    assert (constant.at((4, 8)) == left).all()
    assert constant.at((40, 40)).shape == (40, 40)
    assert not fit_mean_mask(np.zeros((3, 4, 8), bool)).at((4, 8)).any()


def test_a_text_seen_often_has_a_constant_of_its_own():
    often = [[("sky", "semantic", "##..")]] * 10 + [[("car", "semantic", "..##")]] * 9
    constants = fit_constant_masks(HandMade(often))
    assert set(constants.masks) == {("semantic", "sky"), ("semantic", "")}
    asked = HandMade([[("sky", "semantic", "####"), ("car", "semantic", "####"), ("eye", "part", "####")]])[0]
    sky, car, eye = constants(asked, None)
    assert (sky == [[True, True, False, False]]).all() and (car == sky).all() and eye is None


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_image_is_another_of_the_same_size(name, samples):
    spoiled = SPOILED[name](samples[0].image, np.random.default_rng(0))
    assert spoiled.shape == samples[0].image.shape and spoiled.dtype == np.uint8
    difference = spoiled.astype(int) - samples[0].image
    assert 0 < np.abs(difference).mean() < 100
    assert {"darker": difference.mean() < -20, "brighter": difference.mean() > 20}.get(name, True)


@pytest.mark.parametrize("name", [*SETS["robustness"], "without_refinements", "without_guided_filter"])
def test_every_change_is_the_same_every_time(samples, predictor, name):
    first, second = (PROBES[name].make(predictor)(samples[1], None) for _ in range(2))
    assert any(mask is not None for mask in first)
    for one, two in zip(first, second, strict=True):
        assert (one is None and two is None) or (one == two).all()


def test_sets_of_probes_expand_and_unknown_names_list_the_known_ones():
    assert expand(["clicks", "no_rejection", "clicks_1"]) == [*SETS["clicks"], "no_rejection"]
    assert all(name in PROBES for name in expand(SETS))
    with pytest.raises(InputError, match="Known ones: .*constant_mask.*oracle_prompt"):
        expand(["magic"])
