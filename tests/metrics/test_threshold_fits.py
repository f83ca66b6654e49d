"""Thresholds keep what they promise, on the clips they were chosen on and on other sites."""

import numpy as np
import pytest

from jungle.errors import UserError
from jungle.metrics import threshold_fits as fits
from jungle.metrics.thresholds import Thresholds, compute_blank_scores


def scores(sites: int = 30, seed: int = 0) -> fits.BlankScores:
    """Clips of sites that differ: at some, animals look more like blank."""
    rng = np.random.default_rng(seed)
    groups_N = np.repeat(np.arange(sites), 20)
    blank_N = rng.random(len(groups_N)) < 0.4
    hard_N = rng.normal(0, 0.5, sites)[groups_N]
    z_N = np.where(blank_N, 1.5, -1.5 + hard_N) + rng.normal(0, 1, len(groups_N))
    return fits.BlankScores(1 / (1 + np.exp(-z_N)), blank_N, ~blank_N, groups_N)


@pytest.mark.parametrize("max_missed", [0.0, 0.01, 0.05, 0.3])
def test_no_more_animals_are_lost_than_promised_and_a_lower_threshold_loses_more(max_missed: float) -> None:
    found = scores()
    chosen = fits.choose_blank_threshold(found, max_missed)
    assert chosen is not None
    lost = (found.score_N >= chosen)[found.animal_N].mean()
    assert lost <= max_missed
    below = found.score_N[found.score_N < chosen].max()
    assert (found.score_N >= below)[found.animal_N].mean() > max_missed


def test_where_an_animal_looks_most_like_blank_nothing_is_promised() -> None:
    found = fits.BlankScores(
        np.array([0.9, 0.5]), np.array([False, True]), np.array([True, False]), np.arange(2)
    )
    assert fits.choose_blank_threshold(found, 0.0) is None


def test_the_promise_holds_on_other_sites_within_its_interval() -> None:
    held = []
    for seed in range(20):
        whole = scores(60, seed)
        seen, other = whole.where(whole.groups_N < 30), whole.where(whole.groups_N >= 30)
        chosen = fits.choose_blank_threshold(seen, 0.05)
        assert chosen is not None
        point = fits.measure_blank_threshold(seen, chosen, 0.05, draws=200)
        lost = (other.score_N >= chosen)[other.animal_N].mean()
        held.append(point.missed.low <= lost <= point.missed.high)
        assert point.missed.high < 0.2  # an interval that says something
    assert np.mean(held) >= 0.85


def test_the_curve_falls_with_the_threshold() -> None:
    curve = fits.compute_blank_curve(scores(), draws=50)
    assert len(curve) <= fits.MOST_POINTS
    assert np.all(np.diff([p.threshold for p in curve]) < 0)
    assert np.all(np.diff([p.removed.value for p in curve]) >= 0)
    assert curve[-1].missed.value == 1.0
    assert all(p.missed.low <= p.missed.value <= p.missed.high for p in curve)


def test_a_class_is_accepted_where_it_is_as_often_right_as_wanted() -> None:
    score_N = np.array([0.9, 0.8, 0.7, 0.6, 0.5, -1.0])
    has_N = np.array([True, True, False, True, False, True])
    assert fits.choose_class_threshold(score_N, has_N, precision=0.75) == (0.6, True)
    assert fits.choose_class_threshold(score_N, has_N, precision=1.0) == (0.8, True)
    assert fits.choose_class_threshold(score_N, has_N, recall=0.5) == (0.8, True)
    assert fits.choose_class_threshold(score_N, has_N, recall=1.0) == (0.0, False)
    assert fits.choose_class_threshold(score_N, ~has_N, precision=0.9) == (1.0, False)
    point = fits.measure_class_threshold(score_N, has_N, np.arange(6), (0.6, True), draws=50)
    assert (point.precision.value, point.recall.value) == (0.75, 0.75)


def test_blank_is_the_sum_of_blank_classes_or_the_absence_of_all() -> None:
    probs = np.array([[0.5, 0.2, 0.3]])
    classes = ("blank", "empty", "hog")
    assert compute_blank_scores(probs, classes, ("blank", "empty"), "exclusive")[0] == pytest.approx(0.7)
    assert compute_blank_scores(probs, classes, ("blank", "empty"), "multilabel")[0] == 0.5
    assert compute_blank_scores(probs, classes, (), "multilabel")[0] == 0.5


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ([0.5], "not a table"),
        ({"blank": 1.5}, "outside"),
        ({"blank": float("nan")}, "outside"),
        ({"classes": {"hog": "0.5"}}, "outside"),
        ({"classes": {"boar": 0.5}}, "does not know: boar"),
        ({"blank_classes": ["empty"]}, "does not know: empty"),
        ({"classes": [0.5]}, "not a table of classes"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(stored: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Thresholds.from_dict(stored, ("blank", "hog"))


def test_thresholds_are_the_same_after_they_were_stored() -> None:
    chosen = Thresholds(0.8, ("blank",), {"hog": 0.6}, True)
    assert Thresholds.from_dict(chosen.to_dict(), ("blank", "hog")) == chosen
