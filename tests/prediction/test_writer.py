import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.data import predictions
from jungle.data.content_key import Content
from jungle.data.predictions import ClipPrediction
from jungle.errors import UsageError, UserError
from jungle.files import write_json
from jungle.prediction import writer
from jungle.prediction.requests import ClipRequest
from jungle.prediction.writer import FILES, NEW, PLAN, PRIVATE, SO_FAR, STORE, Rows, check_out

CLASSES = ("lion", "hog")
K = Content("k", "k, damaged")


def rows(out: Path, plan: str = "a", overwrite: bool = False) -> Rows:
    return Rows(out, {"ckpt": [plan]}, CLASSES, overwrite)


def requests(clips: Iterable[str]) -> list[ClipRequest]:
    return [ClipRequest(clip, f"/clips/{clip}") for clip in clips]


def row(clip: str, p: float = 0.5, key: str = "k") -> tuple[str, str, ClipPrediction]:
    return clip, key, ClipPrediction(probs=np.array([p, 1 - p], np.float32))


def test_what_was_flushed_is_known_again(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a"))
        first.flush()
        first.add(*row("b"))  # killed before it is flushed
    with rows(tmp_path) as again:
        assert again.find("a", K) == "ok"
        assert not again.find("a", Content("other content", "other content, damaged"))
        assert not again.find("b", K)


def test_the_last_row_of_a_clip_counts(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        for clip in "abc":
            first.add(*row(clip, 0.1))
            first.flush()
        first.finish(requests("abc"))
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
        first.finish(requests("a"))
    table = pl.read_parquet(tmp_path / "predictions.parquet")
    assert table.row(0, named=True) == table.row(0, named=True) | {
        "status": "failed",
        "reason": "no frames",
        "lion": None,
        "hog": None,
    }
    assert pl.read_csv(tmp_path / "failures.csv").rows() == [("a", "no frames")]
    with rows(tmp_path) as second:
        assert second.find("a", K)
    with rows(tmp_path) as third:
        third.forget_failed()
        assert not third.find("a", K)


def test_another_plan_is_refused_or_starts_anew(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a"))
        first.flush()
    with pytest.raises(UsageError, match="overwrite"), rows(tmp_path, "b"):
        pass
    with rows(tmp_path, "b", overwrite=True) as second:
        assert not second.find("a", K)


def test_overwrite_predicts_every_clip_again_though_the_plan_is_the_same(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a", 0.1))
        first.finish(requests("a"))
    (tmp_path / "submission.csv").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with rows(tmp_path, overwrite=True) as second:
        assert not second.find("a", K)
        assert not (tmp_path / "predictions.csv").exists()
        assert not (tmp_path / "submission.csv").exists()
        second.add(*row("a", 0.9))
        assert second.table(["a"])["lion"].to_list() == pytest.approx([0.9])
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with rows(tmp_path) as third:
        assert third.find("a", K)


def test_files_of_a_folder_that_is_new_to_us_stay_until_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text("of another program")
    with rows(tmp_path, overwrite=True):
        assert (tmp_path / "predictions.csv").read_text() == "of another program"


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with rows(tmp_path), pytest.raises(UsageError, match="another process"), rows(tmp_path):
        pass


def old_part(out: Path, clips: str = "ab") -> Path:
    """Write rows as version 0.1 did."""
    table = predictions.make_table(list(clips), [row(c)[2] for c in clips], CLASSES)
    (out / PRIVATE).mkdir(exist_ok=True)
    file = out / PRIVATE / "part-000000.parquet"
    table.with_columns(pl.lit("k").alias("key")).write_parquet(file)
    write_json(out / PLAN, {"ckpt": ["a"]})
    return file


def test_rows_of_earlier_versions_are_taken_over(tmp_path: Path) -> None:
    part = old_part(tmp_path)
    with rows(tmp_path) as taken:
        assert taken.find("b", K) == "ok"
        assert taken.table(["b"])["lion"].to_list() == [0.5]
    assert not part.exists()


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    part = old_part(tmp_path)
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
    file = old_part(tmp_path)
    pl.read_parquet(file).with_columns(change).write_parquet(file)
    with pytest.raises(UserError) as error, rows(tmp_path):
        pass
    assert str(error.value) == f"{file}: {said} Delete that file: its clips are predicted again"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE rows SET probs = x'0000004100000000'", "a probability lies outside 0 to 1"),
        ("UPDATE rows SET probs = x'00000000'", "other answers than there are classes"),
        ("UPDATE rows SET status = 'done'", "a status is one of ok, degraded, failed"),
        ("UPDATE rows SET status = 'failed'", "other answers than there are classes"),
        ("UPDATE rows SET times = 'text'", "of another kind than those of a prediction"),
        ("UPDATE about SET classes = '[\"hog\"]'", "other classes than these checkpoints"),
        ("DELETE FROM about", "other classes than these checkpoints"),
        ("CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END", "other tables"),
        ("CREATE VIEW more AS SELECT 1", "other tables"),
    ],
)
def test_a_strangers_database_is_named(tmp_path: Path, sql: str, said: str) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a"))
        first.flush()
    file = tmp_path / PRIVATE / STORE
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(sql)
    with pytest.raises(UserError, match=said) as error, rows(tmp_path) as again:
        again.table(["a"])
    assert str(error.value).startswith(f"{file}: ")
    assert str(error.value).endswith("Delete that file: its clips are predicted again")


@pytest.mark.parametrize("cut", [20, 5000])
def test_a_damaged_database_is_named(tmp_path: Path, cut: int) -> None:
    with rows(tmp_path) as first:
        first.add(*row("a"))
        first.flush()
    file = tmp_path / PRIVATE / STORE
    file.write_bytes(file.read_bytes()[:cut] + b"x" * 5000)
    with pytest.raises(UserError, match="Delete that file"), rows(tmp_path) as again:
        again.table(["a"])


def test_rows_so_far_can_be_opened_at_any_moment(tmp_path: Path) -> None:
    with rows(tmp_path) as first:
        for clip in "abc":
            first.add(*row(clip, 0.25))
            first.flush()
            so_far = pl.read_csv(tmp_path / SO_FAR)
            assert so_far["clip"].to_list() == list("abc"[: "abc".index(clip) + 1])
            assert so_far["hog"].to_list() == pytest.approx([0.75] * len(so_far))
    with rows(tmp_path) as second:  # which was stopped, and goes on
        second.add(*row("d"))
        second.flush()
        assert pl.read_csv(tmp_path / SO_FAR)["clip"].to_list() == list("abcd")
        second.finish(requests("dcba"))
    assert not (tmp_path / SO_FAR).exists()
    assert pl.read_csv(tmp_path / "predictions.csv")["clip"].to_list() == list("dcba")
    assert not (tmp_path / NEW).exists()


def test_clips_of_a_later_call_are_listed_apart(tmp_path: Path) -> None:
    for clips, new in (("ab", None), ("abcd", "cd"), ("abcd", "cd"), ("abcde", "e")):
        with rows(tmp_path) as call:
            for clip in clips:
                if not call.find(clip, K):
                    call.add(*row(clip))
            call.finish(requests(clips))
        assert (tmp_path / NEW).exists() == (new is not None)
        if new:
            assert pl.read_csv(tmp_path / NEW)["clip"].to_list() == list(new)


def test_tables_in_parts_are_those_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [f"{i:02d}" for i in range(17)]
    for folder, chunk in (("whole", 100), ("parts", 4)):
        monkeypatch.setattr(writer, "CHUNK", chunk)
        with rows(tmp_path / folder) as all_rows:
            for i, clip in enumerate(clips):
                all_rows.add(*row(clip, i / 16) if i % 5 else (clip, "", ClipPrediction.failure("no video")))
            all_rows.finish(requests(clips))
    for name in ("predictions.csv", "failures.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    tables = [predictions.read(tmp_path / f / "predictions.parquet") for f in ("whole", "parts")]
    assert tables[0].equals(tables[1])
    assert tables[0]["clip"].to_list() == clips
    assert tables[0]["path"].to_list() == [f"/clips/{clip}" for clip in clips]


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
        assert again.find("a", K)
    with pytest.raises(UsageError, match="other checkpoints"):
        check_out(tmp_path, ["k2"], None)
