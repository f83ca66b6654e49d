from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.data.content_key import Content
from jungle.data.predictions import ClipPrediction
from jungle.errors import UsageError, UserError
from jungle.files import write_json
from jungle.prediction.writer import FILES, PARTS, PLAN, Rows, check_out

CLASSES = ("lion", "hog")
K = Content("k", "k, damaged")


def rows(out: Path, plan: str = "a", overwrite: bool = False) -> Rows:
    return Rows(out, {"ckpt": [plan]}, CLASSES, overwrite)


def row(clip: str, p: float = 0.5, key: str = "k") -> tuple[str, str, ClipPrediction]:
    return clip, key, ClipPrediction(probs=np.array([p, 1 - p], np.float32))


def test_what_was_flushed_is_known_again(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a"))
        first.flush()
        first.add(*row("b"))  # killed before it is flushed
    with rows(tmp_path) as again:
        assert again.has("a", K)
        assert not again.has("a", Content("other content", "other content, damaged"))
        assert not again.has("b", K)


def test_the_last_row_of_a_clip_counts_also_after_parts_were_joined(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        for clip in "abc":
            first.add(*row(clip, 0.1))
            first.flush()
        first.finish(first.table(list("abc")))
    assert len(list((tmp_path / PARTS).glob("*.parquet"))) == 1
    with rows(tmp_path) as second:
        second.add(*row("a", 0.9, key="new"))
        second.flush()
    with rows(tmp_path) as third:
        table = third.table(["c", "a"])
    assert table["clip"].to_list() == ["c", "a"]
    assert table["lion"].to_list() == pytest.approx([0.1, 0.9])


def test_failed_clips_have_no_answer_and_can_be_tried_again(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        first.add("a", K.if_damaged, ClipPrediction.failure("no frames"))
        table = first.table(["a"])
        first.finish(table)
    assert table.row(0, named=True) == table.row(0, named=True) | {
        "status": "failed",
        "reason": "no frames",
        "lion": None,
        "hog": None,
    }
    assert pl.read_csv(tmp_path / "failures.csv").rows() == [("a", "no frames")]
    with rows(tmp_path) as second:
        assert second.has("a", K)
    with rows(tmp_path) as third:
        third.forget_failed()
        assert not third.has("a", K)


def test_another_plan_is_refused_or_starts_anew(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a"))
        first.flush()
    with pytest.raises(UsageError, match="overwrite"), rows(tmp_path, "b"):
        pass
    with rows(tmp_path, "b", overwrite=True) as second:
        assert not second.has("a", K)


def test_overwrite_predicts_every_clip_again_though_the_plan_is_the_same(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a", 0.1))
        first.finish(first.table(["a"]))
    (tmp_path / "submission.csv").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with rows(tmp_path, overwrite=True) as second:
        assert not second.has("a", K)
        assert not (tmp_path / "predictions.csv").exists()
        assert not (tmp_path / "submission.csv").exists()
        second.add(*row("a", 0.9))
        assert second.table(["a"])["lion"].to_list() == pytest.approx([0.9])
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with rows(tmp_path) as third:
        assert third.has("a", K)


def test_files_of_a_folder_that_is_new_to_us_stay_until_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("of another program")
    with rows(tmp_path, overwrite=True):
        assert (tmp_path / "predictions.csv").read_text() == "of another program"


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with rows(tmp_path), pytest.raises(UsageError, match="another process"), rows(tmp_path):
        pass


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a"))
        first.flush()
    part = next((tmp_path / PARTS).glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(UserError, match=part.name), rows(tmp_path):
        pass


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pl.lit(None).alias("more"), "it has other columns than the predictions of these checkpoints."),
        (pl.col("hog").cast(pl.Float64), "it has other columns than the predictions of these checkpoints."),
        (pl.lit(7, pl.Float32).alias("hog"), "a probability lies outside 0 to 1."),
        (pl.lit("done").alias("status"), "a status is one of ok, degraded, failed."),
    ],
)
def test_a_part_that_is_no_part_of_these_predictions_is_named(
    tmp_path: Path, change: pl.Expr, said: str
) -> None:
    with rows(tmp_path) as first:
        for clip in "ab":
            first.add(*row(clip))
            first.flush()
    file = tmp_path / PARTS / "part-000000.parquet"
    pl.read_parquet(file).with_columns(change).write_parquet(file)
    with pytest.raises(UserError) as error, rows(tmp_path):
        pass
    assert str(error.value) == f"{file}: {said} Delete that file: its clips are predicted again"


def test_other_checkpoints_are_refused_before_they_are_loaded(tmp_path: Path) -> None:
    check_out(tmp_path / "new", ["k2"], None)
    plan = {"ckpt": ["a"], "decoder": "pyav", FILES: ["k1"]}
    with Rows(tmp_path, plan, CLASSES, False):
        pass
    check_out(tmp_path, ["k1"], "pyav")
    for files, decoder, said in (
        (["k2"], "pyav", "of other checkpoints"),
        (["k1", "k2"], "pyav", "of other checkpoints"),
        (["k1"], None, "of decoder=pyav, not auto"),
    ):
        with pytest.raises(UsageError, match=said):
            check_out(tmp_path, files, decoder)


def test_a_plan_of_version_0_1_is_told_by_the_identities_alone(tmp_path: Path) -> None:
    write_json(tmp_path / PLAN, {"ckpt": ["a"], "decoder": None})
    check_out(tmp_path, ["k1"], None)
    with Rows(tmp_path, {"ckpt": ["a"], "decoder": None, FILES: ["k1"]}, CLASSES, False) as again:
        again.add(*row("a"))
        again.flush()
    with Rows(tmp_path, {"ckpt": ["a"], "decoder": None, FILES: ["k1"]}, CLASSES, False) as again:
        assert again.has("a", K)
    with pytest.raises(UsageError, match="other checkpoints"):
        check_out(tmp_path, ["k2"], None)
