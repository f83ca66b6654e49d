from pathlib import Path

import polars as pl
import pytest

import jungle
from jungle.data.spreadsheets import SIGNS, escape_formula, write_csv
from jungle.names import escape


@pytest.mark.parametrize("sign", SIGNS)
def test_what_a_spreadsheet_would_run_is_text(sign: str, tmp_path) -> None:
    spelt = escape(sign)
    assert escape_formula(f"{sign}cmd") == f"'{spelt}cmd"
    assert escape_formula(f"x{sign}cmd") == f"x{spelt}cmd"
    write_csv(pl.DataFrame({f"{sign}h": [f"{sign}c", f"a{sign}", None]}), tmp_path / "t.csv")
    found = pl.read_csv(tmp_path / "t.csv")
    assert found.columns == [f"'{spelt}h"]
    assert found.to_series().to_list() == [f"'{spelt}c", f"a{spelt}", None]


@pytest.mark.parametrize("number", ["-1", "+1.5", "-1.5e-3", "-.5", "+3E+8"])
def test_a_plain_number_stays_one(number: str, tmp_path) -> None:
    assert escape_formula(number) == number
    write_csv(pl.DataFrame({"x": [number, f"{number}+1"]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().split() == ["x", number, f"'{number}+1"]


def test_numbers_and_columns_that_are_read_again_stay_as_they_are(tmp_path) -> None:
    table = pl.DataFrame({"filepath": ["=a.mp4"], "answer": ["=a"], "p": [-0.25]})
    write_csv(table, tmp_path / "t.csv", exact=["filepath"], float_precision=3)
    assert (tmp_path / "t.csv").read_text() == "filepath,answer,p\n=a.mp4,'=a,-0.250\n"


def test_a_heading_that_is_taken_gets_another_mark(tmp_path) -> None:
    write_csv(pl.DataFrame({"=a": [1], "'=a": [2]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "''=a,'=a\n1,2\n"


def test_every_csv_for_people_is_written_here() -> None:
    """Others write tables that the program reads again, or whose names must stay as they are."""
    package = Path(jungle.__file__).parent
    writing = {
        f.relative_to(package).as_posix() for f in package.rglob("*.py") if ".write_csv(" in f.read_text()
    }
    exact = {"export/submission.py", "export/tables.py", "export/camtrap_dp.py"}  # for other programs
    assert writing == {"data/spreadsheets.py", "data/clips.py", *exact}
