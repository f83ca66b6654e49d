import math

import numpy as np
import polars as pl
import pytest

from jungle.metrics.reliability import compute_reliability
from jungle.metrics.scores import log_loss
from jungle.report import evaluation, selection
from jungle.report.evaluation import Outcome
from jungle.report.summary import summarise
from tests.report.report_cases import CLASSES, said


def outcome_of(probs, targets):
    return Outcome([f"c{i}" for i in range(len(probs))], np.array(probs, float), np.array(targets, float))


def test_tables_are_joined_by_clip_and_not_by_position(table, clips):
    judged = evaluation.match_labels(table.reverse(), clips.sample(fraction=1, shuffle=True, seed=3), CLASSES)
    assert dict(zip(judged.clips, judged.right_N.tolist(), strict=True)) == {
        "c0.avi": True,
        "c1.avi": False,
        "c2.avi": True,
        "c3.avi": True,
        "c4.avi": False,
        "c5.avi": True,
    }


def test_clips_without_labels_are_left_out(table, clips):
    unlabelled = clips.with_columns(
        pl.when(pl.col("clip") == "c2.avi").then(None).otherwise(pl.col(c)).alias(c) for c in CLASSES
    )
    assert "c2.avi" not in evaluation.match_labels(table, unlabelled, CLASSES).clips
    assert not evaluation.has_labels(clips.with_columns(pl.lit(None).alias(c) for c in CLASSES), CLASSES)


def test_confusion_counts_truth_in_rows(table, clips):
    counts_CC = evaluation.compute_confusion_matrix(evaluation.match_labels(table, clips, CLASSES))
    assert counts_CC.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]


def test_finding_one_of_two_animals_is_no_confusion():
    judged = outcome_of([[0.1, 0.9, 0.8], [0.9, 0.7, 0.1]], [[0, 1, 1], [0, 1, 1]])
    assert evaluation.compute_confusion_matrix(judged).tolist() == [[0, 0, 0], [1, 1, 0], [1, 0, 1]]


def test_priors_are_the_shares_of_the_training_clips(table, clips):
    judged = evaluation.match_labels(table, clips, CLASSES)
    expected = log_loss(np.tile([0.5, 0.25, 0.25], (6, 1)), judged.targets_NC)
    assert evaluation.compute_prior_log_loss(judged, clips, CLASSES) == pytest.approx(expected)
    assert evaluation.compute_prior_log_loss(judged, clips.drop("split"), CLASSES) is None


def test_given_scores_are_shown_and_missing_ones_computed(table, clips):
    judged = evaluation.match_labels(table, clips, CLASSES)
    scores = evaluation.collect_scores(judged, CLASSES, "exclusive", {"accuracy": 0.123})
    assert scores["accuracy"] == 0.123
    assert scores["log_loss"] == pytest.approx(log_loss(judged.probs_NC, judged.targets_NC))


def test_calibration_of_a_model_that_is_too_sure():
    judged = outcome_of([[0.95, 0.05]] * 4, [[1, 0], [1, 0], [0, 1], [0, 1]])
    found = compute_reliability(judged.probs_NC, judged.targets_NC, "exclusive")
    assert found.counts == [0] * 9 + [4]
    assert found.happened[9] == 0.5
    assert found.error == pytest.approx(0.45)
    assert math.isnan(found.stated[0])
    assert sum(compute_reliability(judged.probs_NC, judged.targets_NC, "multilabel").counts) == 8


def test_interval_holds_the_share_and_narrows():
    low, high = evaluation.compute_interval(9, 10)
    assert 0.55 < low < 0.9 < high < 1
    assert np.diff(evaluation.compute_interval(900, 1000))[0] < np.diff((low, high))[0]
    assert evaluation.compute_interval(0, 0) == (0.0, 1.0)


def test_errors_come_most_confident_first(table, clips):
    judged = evaluation.match_labels(table, clips, CLASSES)
    assert [judged.clips[r] for r in selection.select_errors(judged, 9)] == ["c4.avi", "c1.avi"]
    assert [judged.clips[r] for r in selection.select_errors(judged, 1)] == ["c4.avi"]


def test_every_class_is_shown_before_any_is_shown_twice():
    probs = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]]
    judged = outcome_of(probs, [[1, 0], [1, 0], [1, 0], [0, 1]])
    assert selection.select_correct(judged, 2) == [0, 3]
    said_N = np.array([True] * 4)
    assert selection.select_confident(judged.probs_NC, judged.clips, 3, said_N) == [0, 1, 3]
    said_N[0] = False  # nothing was found in it
    assert selection.select_confident(judged.probs_NC, judged.clips, 3, said_N) == [1, 2, 3]
    assert selection.select_uncertain(judged.probs_NC, judged.clips, 2) == [3, 2]


def test_what_was_found_leaves_failed_clips_out():
    probs = [[0.9, 0.1, 0.1], [0.2, 0.6, 0.7], [0.1, 0.2, 0.3], [0.9, 0.1, 0.1]]
    found = summarise(said(probs, ["ok", "degraded", "ok", "failed"]), CLASSES, "multilabel")
    assert dict(found.counts) == {"blank": 1, "leopard": 1, "wild boar": 1}
    assert (found.nothing, found.blank, found.clips) == (1, 1, ["c0.avi", "c1.avi", "c2.avi"])
    assert sum(found.confidence) == 3
    assert dict(summarise(said(probs), CLASSES, "exclusive").counts) == {
        "blank": 2,
        "wild boar": 2,
        "leopard": 0,
    }
