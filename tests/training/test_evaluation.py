"""Scores of a training run: clips that nobody could read are in none, and classes are matched by name."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch

from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.data.predictions import ClipPrediction
from jungle.errors import UserError
from jungle.metrics.scores import log_loss
from jungle.models.description import read_description
from jungle.models.tensors import load_archive
from jungle.training import evaluation
from tests.ensemble.ensemble_cases import answers, labelled
from tests.ensemble.ensemble_cases import table as case_table

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


def calibrated(tmp_path: Path, wanted: bool | str, clips: int, sites: int) -> Path:
    """Calibrate a model that is too sure, at the end of its training; return its checkpoint."""
    val = labelled(clips, sites)
    file = tmp_path / "best.ckpt"
    about = {"version": 1, "task": "exclusive", "classes": list(val.classes)}
    torch.save({"state_dict": {"w": torch.ones(3)}, "jungle": about, "epoch": 7}, file)
    run = SimpleNamespace(
        cfg=SimpleNamespace(calibrate=wanted),
        clips=val,
        model=SimpleNamespace(classes=val.classes, task="exclusive"),
    )
    evaluation._calibrate(cast(Any, run), case_table(val, answers(val, 2.0, 1, sharp=4.0)), file)
    assert load_archive(file)["epoch"] == 7
    return file


def test_a_run_with_many_validation_clips_ends_calibrated(tmp_path: Path, caplog) -> None:
    with caplog.at_level("INFO"):
        found = read_description(calibrated(tmp_path, "auto", 200, 8)).calibration
    assert found is not None
    assert found.method != "none"
    assert (
        "chosen on 200 clips of 8 sites by cross-validation over whole sites; calibration error"
        in caplog.text
    )


@pytest.mark.parametrize(("clips", "sites"), [(60, 8), (200, 3)])
def test_with_few_clips_or_sites_a_run_says_that_it_is_not_calibrated(
    tmp_path: Path, caplog, clips: int, sites: int
) -> None:
    with caplog.at_level("INFO"):
        assert read_description(calibrated(tmp_path, "auto", clips, sites)).calibration is None
    assert f"not calibrated: validation has {clips} clips of {sites} sites" in caplog.text
    assert read_description(calibrated(tmp_path, True, clips, sites)).calibration is not None


def test_a_run_is_not_calibrated_unless_that_is_wanted_and_can_be(tmp_path: Path, caplog) -> None:
    assert read_description(calibrated(tmp_path, False, 200, 8)).calibration is None
    assert read_description(calibrated(tmp_path, True, 12, 3)).calibration is None
    assert "not calibrated: calibration needs at least 20 labelled clips" in caplog.text
