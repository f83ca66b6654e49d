"""Scores of a training run: clips that nobody could read are in none, and classes are matched by name."""

import numpy as np
import polars as pl
import pytest

from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.predictions import ClipPrediction
from jungle.errors import UserError
from jungle.metrics.scores import log_loss
from jungle.training import evaluation

CLASSES = ("hog", "lion")


def clips(classes: tuple[str, ...] = CLASSES) -> Clips:
    names = ["a", "b", "c", "d"]
    labels = {"hog": [1, 0, 1, None], "lion": [0, 1, 0, None]}
    table = pl.DataFrame(
        {"clip": names, "path": names, "split": ["val"] * 4, **{c: labels[c] for c in classes}}
    )
    return Clips(table, classes)


def done(classes: tuple[str, ...] = CLASSES) -> pl.DataFrame:
    probs = {"hog": [0.9, 0.2], "lion": [0.1, 0.8]}
    rows = [ClipPrediction(probs=np.array([probs[k][i] for k in classes])) for i in range(2)]
    return predictions.make_table(["a", "b"], rows, classes)


def test_what_was_not_predicted_is_a_failed_row_without_an_answer() -> None:
    table = evaluation.complete(done(), clips(), "val", {2: "no such file"})
    assert table["clip"].to_list() == ["a", "b", "c", "d"]
    assert table.row(2, named=True) == {
        "clip": "c",
        "status": "failed",
        "reason": "no such file",
        "hog": None,
        "lion": None,
        "times": None,
        "attention": None,
    }


def test_a_clip_that_could_not_be_read_is_in_no_score() -> None:
    table = evaluation.complete(done(), clips(), "val", {2: "no such file"})
    found = evaluation.score(table, clips(), "exclusive")
    assert (found["clips"], found["unreadable"], found["accuracy"]) == (2, 1, 1.0)  # d has no label
    expected = log_loss(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[1, 0], [0, 1]]))
    assert found["log_loss"] == pytest.approx(expected)
    assert found["class/hog/clips"] == 1
    assert evaluation.score(table.filter(pl.col("clip") == "c"), clips(), "exclusive") == {
        "clips": 0,
        "unreadable": 1,
    }


def test_a_table_whose_classes_stand_in_another_order_scores_the_same() -> None:
    turned = evaluation.complete(done(CLASSES[::-1]), clips(), "val", {})
    assert predictions.get_classes(turned) == CLASSES[::-1]
    same = evaluation.complete(done(), clips(), "val", {})
    assert evaluation.score(turned, clips(), "exclusive") == evaluation.score(same, clips(), "exclusive")


def test_a_table_of_other_classes_is_refused() -> None:
    table = done().rename({"lion": "leopard"})
    with pytest.raises(UserError, match="leopard, lion"):
        evaluation.score(table, clips(), "exclusive")


def test_the_sentence_counts() -> None:
    assert evaluation.describe_unscored(1) == "1 clip could not be read and is not scored"
    assert evaluation.describe_unscored(3) == "3 clips could not be read and are not scored"
