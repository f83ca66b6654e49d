from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.data import predictions
from jungle.errors import UserError


def row(clip: str, **more) -> dict:
    return {"clip": clip, "status": "ok", "reason": "", "probs": np.array([0.25, 0.75]), **more}


def table() -> pl.DataFrame:
    rows = [
        row("a b/ä.MP4", times=[0.5, 1.0], attention=[0.1, 0.9]),
        row("c", status="failed", reason="no frames"),
    ]
    return predictions.make(rows, ("lion", "hog"))


def test_it_reads_what_it_wrote(tmp_path) -> None:
    predictions.write(table(), tmp_path / "p.parquet")
    assert predictions.read(tmp_path / "p.parquet").equals(table())
    assert predictions.classes_of(table()) == ("lion", "hog")


def test_the_csv_is_for_people(tmp_path) -> None:
    predictions.write(table(), tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "clip,status,reason,top_class,top_probability,lion,hog"
    assert lines[1] == "a b/ä.MP4,ok,,hog,0.750000,0.250000,0.750000"


@pytest.mark.parametrize("column", ["status", "clip", "times"])
def test_a_class_cannot_hide_a_column(column: str) -> None:
    with pytest.raises(UserError, match=column):
        predictions.make([], (column, "lion"))


def test_wrong_tables_are_refused(tmp_path) -> None:
    for rows in ([row("a"), row("a")], [row("a", probs=np.array([1.5, 0]))], [row("a", status="fine")]):
        with pytest.raises(UserError):
            predictions.make(rows, ("lion", "hog"))
    (tmp_path / "x.parquet").write_text("not parquet")
    with pytest.raises(UserError, match=r"x\.parquet"):
        predictions.read(tmp_path / "x.parquet")


def test_names_that_would_steer_a_terminal_are_spelt_out_for_people(tmp_path: Path) -> None:
    clips = ["a\nb.mp4", "esc\x1b[31m.mp4", "bidi\u202e.mp4", "é 中.mp4"]
    rows = [{"clip": c, "status": "ok", "reason": "", "probs": [0.5]} for c in clips]
    table = predictions.make(rows, ["hog"])
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
