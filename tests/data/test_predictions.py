from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.data import predictions
from jungle.data.predictions import ClipPrediction
from jungle.errors import UserError

READ = ClipPrediction(probs=np.array([0.25, 0.75]))
SEEN = replace(READ, times=np.array([0.5, 1.0]), attention=np.array([0.1, 0.9]))


def table() -> pl.DataFrame:
    rows = [SEEN, ClipPrediction("failed", "no frames", READ.probs)]
    return predictions.make_table(["a b/ä.MP4", "c"], rows, ("lion", "hog"))


def test_it_reads_what_it_wrote(tmp_path) -> None:
    predictions.write(table(), tmp_path / "p.parquet")
    assert predictions.read(tmp_path / "p.parquet").equals(table())
    assert predictions.get_classes(table()) == ("lion", "hog")


def test_the_csv_is_for_people(tmp_path) -> None:
    predictions.write(table(), tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "clip,status,reason,top_class,top_probability,lion,hog"
    assert lines[1] == "a b/ä.MP4,ok,,hog,0.750000,0.250000,0.750000"
    assert lines[2] == "c,failed,no frames,,,,"  # no top class: who filters on one does not meet it


def test_a_clip_that_failed_has_no_answer(tmp_path) -> None:
    assert table()["lion"].to_list() == [0.25, None]
    assert np.isnan(predictions.get_probabilities(table())[1]).all()
    assert predictions.select_read(table())["clip"].to_list() == ["a b/ä.MP4"]
    assert predictions.select_failed(table())["clip"].to_list() == ["c"]
    with pytest.raises(UserError, match="could not be read has a probability"):
        predictions.check(table().with_columns(lion=pl.lit(0.5, pl.Float32)))
    with pytest.raises(UserError, match="0 to 1"):
        predictions.check(table().with_columns(lion=pl.lit(None, pl.Float32)))


def test_numbers_that_version_1_gave_to_failed_clips_are_no_answers(tmp_path) -> None:
    table().with_columns(lion=pl.lit(0.5, pl.Float32), hog=pl.lit(0.5, pl.Float32)).write_parquet(
        tmp_path / "old.parquet"
    )
    assert predictions.read(tmp_path / "old.parquet")["lion"].to_list() == [0.5, None]


def test_probabilities_are_matched_by_class() -> None:
    turned = predictions.get_probabilities(table(), ("hog", "lion"))
    assert turned[0].tolist() == [0.75, 0.25]
    with pytest.raises(UserError, match="other classes: boar, lion"):
        predictions.get_probabilities(table(), ("hog", "boar"))


def test_the_parquet_does_not_depend_on_how_the_rows_came_together(tmp_path) -> None:
    whole, parts = table(), pl.concat([table()[:1], table()[1:]], rechunk=False)
    assert parts.n_chunks() == 2
    for name, made in (("whole", whole), ("parts", parts)):
        predictions.write(made, tmp_path / f"{name}.parquet")
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "parts.parquet").read_bytes()


def test_names_are_no_formulas_in_the_csv_and_stay_as_they_are_in_parquet(tmp_path) -> None:
    clips, rows = ["=cmd|'calc'!A1.mp4", "+1+1.mp4", "-5"], [READ, ClipPrediction.failure("@SUM(1)"), READ]
    made = predictions.make_table(clips, rows, ("lion", "=1+1"))
    predictions.write(made, tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == "clip,status,reason,top_class,top_probability,lion,'=1+1"
    assert lines[1] == "'=cmd|'calc'!A1.mp4,ok,,'=1+1,0.750000,0.250000,0.750000"
    assert lines[2] == "'+1+1.mp4,failed,'@SUM(1),,,,"
    assert lines[3].startswith("-5,ok")  # a number is no formula
    predictions.write(made, tmp_path / "p.parquet")
    assert predictions.read(tmp_path / "p.parquet").equals(made)


@pytest.mark.parametrize("column", ["status", "clip", "times"])
def test_a_class_cannot_hide_a_column(column: str) -> None:
    with pytest.raises(UserError, match=column):
        predictions.make_table([], [], (column, "lion"))


def test_wrong_tables_are_refused(tmp_path) -> None:
    for rows in ([READ, READ], [replace(READ, probs=np.array([1.5, 0]))], [replace(READ, status="fine")]):
        with pytest.raises(UserError):
            predictions.make_table(["a"] * len(rows), rows, ("lion", "hog"))
    (tmp_path / "x.parquet").write_text("not parquet")
    with pytest.raises(UserError, match=r"x\.parquet"):
        predictions.read(tmp_path / "x.parquet")


def test_names_that_would_steer_a_terminal_are_spelt_out_for_people(tmp_path: Path) -> None:
    clips = ["a\nb.mp4", "esc\x1b[31m.mp4", "bidi\u202e.mp4", "é 中.mp4"]
    table = predictions.make_table(clips, [ClipPrediction(probs=np.array([0.5]))] * len(clips), ["hog"])
    for name in ("a.csv", "a.parquet"):
        predictions.write(table, tmp_path / name)
    assert predictions.read(tmp_path / "a.parquet")["clip"].to_list() == clips
    shown = ["a\\nb.mp4", "esc\\x1b[31m.mp4", "bidi\\u202e.mp4", "é 中.mp4"]
    assert pl.read_csv(tmp_path / "a.csv")["clip"].to_list() == shown


def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "x\udcff \n"
    for name in ("a.csv", "a.parquet"):
        predictions.write(table(), folder / name)
    assert predictions.read(folder / "a.parquet").equals(table())
    assert (folder / "a.csv").read_text().startswith("clip,status")


def test_a_model_of_one_class_does_not_name_it_for_every_clip(tmp_path) -> None:
    rows = [ClipPrediction("ok", "", np.array([p], np.float32)) for p in (0.9, 0.5, 0.4)]
    predictions.write(predictions.make_table(["a", "b", "c"], rows, ("blank",)), tmp_path / "p.csv")
    written = pl.read_csv(tmp_path / "p.csv")
    assert written["top_class"].to_list() == ["blank", "blank", None]
    assert written["top_probability"].to_list() == [0.9, 0.5, None]
