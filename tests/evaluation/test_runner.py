"""Who answers what: the truth is perfect, floor and ceiling are what they say, the exchange is one."""

from __future__ import annotations

import numpy as np
import pytest

from evfsam.data.scenes import KINDS_OF_EXPRESSION, REFERRING, SEEDS
from evfsam.errors import InputError
from evfsam.evaluation.answers import exchanged_answer, fit_mean_mask, floor_answer, model_answers, true_clicks
from evfsam.evaluation.report import split_of, to_json, to_table
from evfsam.evaluation.runner import ALL_REFERRING, SceneEvaluation, evaluate_scenes, score
from evfsam.evaluation.samples import scene_samples
from evfsam.predictor import Predictor
from evfsam.refine.refinement import Refinement

SIZE_HW = (48, 64)
SEEDS_HERE = range(900_000, 900_004)


@pytest.fixture(scope="module")
def samples():
    return list(scene_samples(SEEDS_HERE, SIZE_HW))


@pytest.fixture(scope="module")
def predictor(random_checkpoint):
    return Predictor.from_pretrained(random_checkpoint, device="cpu")


def test_the_truth_is_perfect_and_silence_is_right_only_about_absent_things(samples):
    answers = {
        "model": lambda sample: list(sample.targets),
        "silence": lambda sample: [np.zeros(SIZE_HW, bool) for _ in sample.phrases],
    }
    scores = score(samples, answers)
    assert set(scores) == {ALL_REFERRING, *KINDS_OF_EXPRESSION}
    for kind, row in scores.items():
        assert row["model"].giou == row["model"].ciou == 1
        assert row["silence"].giou == (kind == "absent")
    assert scores["absent"]["silence"].absent_answered_empty == 1
    assert scores["stuff"]["silence"].present_denied == 1


def test_referring_is_all_that_name_one_thing(samples, predictor):
    scores = score(samples, model_answers(predictor))
    kinds = [scores[kind]["model"] for kind in REFERRING if kind in scores]
    whole = scores[ALL_REFERRING]["model"]
    assert whole.samples == sum(kind.samples for kind in kinds)
    assert whole.giou == pytest.approx(sum(kind.giou * kind.samples for kind in kinds) / whole.samples)


def test_scenes_are_the_same_every_time_and_each_has_another_ones_picture(samples):
    again = list(scene_samples(SEEDS_HERE, SIZE_HW))
    for one, two in zip(samples, again, strict=True):
        assert (one.image == two.image).all() and one.phrases == two.phrases
        assert (one.other_image == two.other_image).all()
        assert (one.other_image != one.image).any()
        assert all(target.shape == SIZE_HW for target in one.targets)
    assert (samples[1].other_image == samples[0].image).all()


def test_the_exchange_changes_what_the_encoder_sees_and_nothing_else(samples, predictor, monkeypatch):
    sample, seen = samples[0], []
    segment = Predictor.segment

    def watched(self, picture, phrases):
        seen.append(picture)
        return segment(self, picture, phrases)

    monkeypatch.setattr(Predictor, "segment", watched)
    exchanged_answer(predictor)(sample)
    own, other = predictor.encode(sample.image), predictor.encode(sample.other_image)
    assert (seen[0].features.image_embeddings == own.features.image_embeddings).all()
    assert (seen[0].encoder_pixels == other.encoder_pixels).all()
    assert (own.encoder_pixels != other.encoder_pixels).any()


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_undenied_are_the_same_answers_without_the_threshold(samples, predictor, threshold):
    """As users get them, and as they would be if nothing were denied; half of the presences lie below the threshold."""
    sample = samples[0]
    phrases = [phrase.text for phrase in sample.phrases]
    if threshold:
        threshold = float(np.median([result.presence for result in predictor.segment(sample.image, phrases)]))
    predictor = predictor.with_refinement(Refinement(reject_below=threshold))
    answers = {who: answer(sample) for who, answer in model_answers(predictor).items()}
    expected = {"model": predictor, "undenied": predictor.with_refinement(Refinement())}
    for who, one in expected.items():
        masks = [result.mask for result in one.segment(sample.image, phrases)]
        assert all((mask == answer).all() for mask, answer in zip(masks, answers[who], strict=True))
    differ = [(a != b).any() for a, b in zip(answers["model"], answers["undenied"], strict=True)]
    assert any(differ) == (threshold is not None)


def test_the_floor_is_the_best_constant():
    """Three masks of the left half and one of the right: the left half it is."""
    left = np.zeros((4, 8), bool)
    left[:, :4] = True
    constant = fit_mean_mask(np.stack([left, left, left, ~left]))
    assert (constant.at((4, 8)) == left).all()
    assert constant.at((40, 40)).shape == (40, 40)
    assert not fit_mean_mask(np.zeros((3, 4, 8), bool)).at((4, 8)).any()


def test_the_floor_knows_where_the_sky_is(samples):
    """Constants fitted on other scenes overlap stuff better than a filled frame, and deny what is absent."""
    scores = score(
        samples,
        {
            "model": floor_answer(range(800_000, 800_030)),
            "all": lambda sample: [np.ones(SIZE_HW, bool) for _ in sample.phrases],
        },
    )
    assert scores["stuff"]["model"].giou > scores["stuff"]["all"].giou + 0.1
    assert scores["absent"]["model"].giou == 1


def test_true_clicks_lie_inside():
    ring = np.zeros((20, 30), bool)
    ring[4:17, 5:25] = True
    ring[7:14, 8:22] = False
    clicks = true_clicks(ring)
    x, y = clicks.points.coords[0]
    assert ring[int(y), int(x)] and clicks.box == (5, 4, 25, 17) and list(clicks.points.labels) == [1]


def test_everything_at_once(predictor):
    told = []
    evaluation = evaluate_scenes(
        predictor, 900_000, 2, SIZE_HW, exchange=True, floor=True, ceiling=True, on_scene=told.append
    )
    assert told == [1, 2]
    for kind, row in evaluation.scores.items():
        expected = {"model", "undenied", "exchanged", "floor"} | ({"ceiling"} if kind != "absent" else set())
        assert set(row) == expected
    document = to_json(evaluation)
    assert document["scores"]["stuff"]["model"]["absent_answered_empty"] is None
    assert "ceiling gIoU" in to_table(evaluation)


@pytest.mark.parametrize(
    ("seeds", "split"),
    [
        (SEEDS["test"], "test"),
        (range(900_000, 900_001), "test"),
        (range(0, 10), "train"),
        (range(799_999, 800_001), "mixed"),
        (range(2_000_000, 2_000_001), "mixed"),
    ],
)
def test_the_report_names_the_split(seeds, split):
    assert split_of(seeds) == split
    assert to_json(SceneEvaluation(seeds, SIZE_HW, {}, 1.0))["split"] == split


@pytest.mark.parametrize(("seed", "count", "size_hw"), [(0, 0, SIZE_HW), (-1, 1, SIZE_HW), (0, 1, (8, 64))])
def test_refused(predictor, seed, count, size_hw):
    with pytest.raises(InputError, match="count from 1"):
        evaluate_scenes(predictor, seed, count, size_hw)
