"""Clips that members could not read: the others answer, nobody is judged on them. Classes match by name."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.cli.entry import main
from jungle.data import predictions
from jungle.data.clips import Clips
from jungle.ensemble.members import load_members
from jungle.ensemble.prediction_matrix import build_matrix, make_predictions
from jungle.errors import UsageError
from jungle.metrics.scores import log_loss
from tests.ensemble.ensemble_cases import CLASSES, answers, both, members, run_folder


def fail(run: Path, split: str, rows: list[int], priors: bool = False) -> list[str]:
    """Make rows of a run's table failed; `priors`: as version 0.1 wrote them, with numbers in them."""
    file = run / f"predictions_{split}.parquet"
    table = pl.read_parquet(file).with_columns(
        status=pl.when(pl.int_range(pl.len()).is_in(rows)).then(pl.lit("failed")).otherwise("status"),
        reason=pl.when(pl.int_range(pl.len()).is_in(rows)).then(pl.lit("no frames")).otherwise("reason"),
    )
    lost = table["clip"][rows].to_list()
    (table if priors else predictions.clear_failed(table, CLASSES)).write_parquet(file)
    return lost


def stacked(tmp_path: Path, runs: list[Path], *more: str) -> Path:
    paths = ",".join(map(str, runs))
    out = tmp_path / "out"
    args = ["ensemble", "stack", f"members=[{paths}]", f"out={out}", "calibration=none", *more]
    assert main(args) == 0
    return out


def test_others_answer_for_a_member_and_what_none_has_read_has_failed(tmp_path: Path) -> None:
    a, b = members(tmp_path, {"a": 2.0, "b": 1.0})
    fail(a, "test", [3, 5])
    [_, lost] = fail(b, "test", [4, 5])
    out = stacked(tmp_path, [a, b], "stacker=mean", "report=false")
    found = predictions.read(out / "predictions_test.parquet")
    answer_of_b = predictions.get_probabilities(predictions.read(b / "predictions_test.parquet"))
    np.testing.assert_allclose(predictions.get_probabilities(found)[3], answer_of_b[3], atol=1e-6)
    assert found["status"].to_list()[3:6] == ["degraded", "degraded", "failed"]
    assert found["reason"][3] == "1 of 2 members could not read it"
    assert found.filter(pl.col("clip") == lost).select("reason", *CLASSES).row(0) == (
        "no frames",
        None,
        None,
        None,
    )
    scores = json.loads((out / "metrics.json").read_text())
    assert (scores["test/clips"], scores["test/unreadable"]) == (len(found) - 1, 1)
    assert scores["val/unreadable"] == 0
    labels = Clips.read(a / "clips.parquet").of("test").targets()
    read = predictions.select_read(found)
    kept = np.delete(labels, 5, axis=0)
    assert scores["test/log_loss"] == pytest.approx(log_loss(predictions.get_probabilities(read), kept))


@pytest.mark.parametrize("stacker", ["weighted", "greedy", "loglinear", "logistic"])
def test_every_stacker_takes_clips_that_were_not_read(stacker: str, tmp_path: Path) -> None:
    a, b = members(tmp_path, {"a": 2.0, "b": 1.0}, n=60)
    fail(a, "val", [0, 7])
    fail(b, "val", [7, 8])
    fail(b, "test", [2])
    out = stacked(tmp_path, [a, b], f"stacker={stacker}", "report=false")
    for split, failed in (("val", 1), ("test", 0)):
        found = predictions.read(out / f"predictions_{split}.parquet")
        assert found["status"].to_list().count("failed") == failed
    assert json.loads((out / "metrics.json").read_text())["val/clips"] == 59


def test_members_are_compared_on_clips_that_all_have_read(tmp_path: Path) -> None:
    a, b = members(tmp_path, {"a": 2.0, "b": 1.0})
    fail(a, "test", [3])
    out = stacked(tmp_path, [a, b], "stacker=mean")
    judged = json.loads((out / "stack.json").read_text())["judged"]["test"]
    assert (judged["clips"], judged["not_judged"]) == (119, 1)
    labels = np.delete(Clips.read(a / "clips.parquet").of("test").targets(), 3, axis=0)
    for run, row in zip((a, b), judged["members"], strict=True):
        own = np.delete(
            predictions.get_probabilities(predictions.read(run / "predictions_test.parquet")), 3, axis=0
        )
        assert row["log_loss"] == pytest.approx(log_loss(own, labels))
    page = (out / "report.html").read_text()
    assert "1 test clip could not be read by every member and is not included in any score here." in page


def test_numbers_that_version_1_gave_to_failed_clips_are_no_answers(tmp_path: Path) -> None:
    a, b = members(tmp_path, {"a": 2.0, "b": 1.0})
    fail(a, "val", [2], priors=True)
    matrix = build_matrix(load_members([a, b]), "val")
    assert matrix is not None
    np.testing.assert_array_equal(matrix.probs_MNC[0][2], matrix.probs_MNC[1][2])
    assert matrix.task == "exclusive"
    assert make_predictions(matrix, matrix.probs_MNC[1])["status"][2] == "degraded"


def test_only_a_submission_gives_a_number_to_what_nobody_has_read(tmp_path: Path) -> None:
    a, b = members(tmp_path, {"a": 2.0, "b": 1.0})
    for run in (a, b):  # training clips, whose shares stand in a submission
        clips = Clips.read(run / "clips.parquet")
        train = (
            clips.of("val")
            .table.head(8)
            .with_columns(pl.lit("train").alias("split"), (pl.lit("x") + pl.col("clip")).alias("clip"))
        )
        Clips(pl.concat([clips.table, train]), CLASSES).write(run / "clips.parquet")
        [lost] = fail(run, "test", [5])
    names = both().of("test").table["clip"].to_list()
    pl.DataFrame({"filename": names, **{c: [0.3] * len(names) for c in CLASSES}}).write_csv(
        tmp_path / "t.csv"
    )
    out = stacked(tmp_path, [a, b], "stacker=mean", "report=false", f"template={tmp_path / 't.csv'}")
    row = pl.read_csv(out / "submission.csv").filter(pl.col("filename") == lost).row(0)
    shares = both().of("val").table.head(8).select(pl.col(c).mean() for c in CLASSES).row(0)
    assert row[1:] == pytest.approx(shares)
    assert (
        predictions.read(out / "predictions_test.parquet").filter(pl.col("clip") == lost)[CLASSES[0]][0]
        is None
    )


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    clips = both(60)
    probs = {s: answers(clips.of(s), 2.0, i) for i, s in enumerate(("val", "test"))}
    a = run_folder(tmp_path / "a", clips, probs)
    other = Clips(clips.table.select("clip", "path", "split", "site", *CLASSES[::-1]), CLASSES[::-1])
    turned = {s: p[:, ::-1] for s, p in probs.items()}
    b = run_folder(tmp_path / "b", other, turned, classes=CLASSES[::-1])
    matrix = build_matrix(load_members([a, b]), "val")
    assert matrix is not None
    np.testing.assert_array_equal(matrix.probs_MNC[0], matrix.probs_MNC[1])


@pytest.mark.parametrize("split", ["val", "test"])
def test_predictions_of_classes_that_the_labels_lack_are_refused(split: str, tmp_path: Path) -> None:
    clips = both(60)
    a = run_folder(tmp_path / "a", clips, {s: answers(clips.of(s), 2.0, 0) for s in ("val", "test")})
    file = a / f"predictions_{split}.parquet"
    pl.read_parquet(file).rename({"lion": "boar"}).write_parquet(file)
    with pytest.raises(UsageError, match=r"classes|boar"):
        load_members([a])


def test_a_member_that_has_read_nothing_is_refused(tmp_path: Path) -> None:
    (a,) = members(tmp_path, {"a": 2.0}, n=20)
    fail(a, "val", list(range(20)))
    with pytest.raises(UsageError, match="could not read any of its validation clips"):
        load_members([a])
