"""Wide, long, events and zamba: what each cell says."""

from pathlib import Path

import polars as pl
import pytest

from jungle.export import ExportSettings, Results, tables
from jungle.postprocessing.seen import find_seen
from tests.export.folder import CASES, CLASSES, Case, with_facts


def results(cases: tuple[Case, ...] = CASES) -> Results:
    table = with_facts(cases)
    return Results(table, CLASSES, "exclusive", find_seen(table, CLASSES, task="exclusive", threshold=0.5))


def read(write, tmp_path: Path, cases: tuple[Case, ...] = CASES) -> pl.DataFrame:
    (file,) = write(results(cases), ExportSettings(formats=(), out=tmp_path))
    return pl.read_csv(file)


def test_wide(tmp_path: Path) -> None:
    table = read(tables.write_wide, tmp_path)
    assert table.columns == [
        *("clip", "path", "site", "time", "duration", "status", "reason", "seen", "blank", "hog", "lion")
    ]
    assert table["seen"].to_list() == ["lion", "blank", "blank", "hog", None, None]
    assert table["time"][0] == "2024-05-01 10:00:00"
    assert table.row(5)[-4:] == (None,) * 4  # nothing is said of a clip that could not be read
    assert table["reason"].to_list() == [None] * 5 + ["the file is no video"]


def test_long(tmp_path: Path) -> None:
    table = read(tables.write_long, tmp_path)
    assert len(table) == 5 * 3 + 1
    assert table["class"].to_list()[:4] == ["blank", "hog", "lion", "blank"]
    assert table["counts"].to_list()[:3] == [0, 0, 1]
    assert table.row(15, named=True) | {"path": None} == {
        **{"clip": "south/bad.mp4", "path": None, "site": "south", "time": "2024-05-01 10:15:00"},
        **{"duration": 2.0, "status": "failed", "reason": "the file is no video"},
        **{"class": None, "probability": None, "counts": None},
    }


def test_events(tmp_path: Path) -> None:
    table = read(tables.write_events, tmp_path)
    assert table.select("event", "site", "start", "end", "clips", "unread", "seen").rows() == [
        (1, "north", "2024-05-01 10:00:00", "2024-05-01 10:20:02", 2, 0, "lion (1)"),
        (2, "north", "2024-05-01 11:30:00", "2024-05-01 11:30:02", 1, 0, None),
        (3, "south", "2024-05-01 10:05:00", "2024-05-01 10:15:02", 3, 1, "hog (1)"),
    ]
    assert table["top_class"].to_list() == ["lion", "blank", "hog"]
    assert table["clips with blank"].to_list() == [1, 1, 0]
    assert table["clips with lion"].to_list() == [1, 0, 0]
    product = [(p * q) ** 0.5 for p, q in zip((0.1, 0.1, 0.8), (0.6, 0.1, 0.3), strict=True)]
    assert table.select(CLASSES).row(0) == pytest.approx([p / sum(product) for p in product], abs=2e-6)


def test_events_of_clips_that_were_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cases = (Case("a.mp4", "", "", None), Case("b.mp4", "", "", None))
    with caplog.at_level("WARNING", "jungle"):
        table = read(tables.write_events, tmp_path, cases)
    assert (
        table.select("site", "start", "clips", "unread", "top_class", "lion").rows()
        == [(None, None, 1, 1, None, None)] * 2
    )
    assert "2 clips are without a site or a time, each an event of its own" in caplog.text


def test_zamba_leaves_failed_clips_out_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "jungle"):
        table = read(tables.write_zamba, tmp_path)
    assert table.columns == ["filepath", *CLASSES]
    assert table["filepath"].to_list() == [c.clip for c in CASES if c.probs is not None]
    assert "leaves out 1 clip that could not be read, as south/bad.mp4" in caplog.text


def test_a_class_of_the_name_of_a_column_has_it(tmp_path: Path) -> None:
    classes = ("seen", "start", "probability", "filepath")
    case = Case("a.mp4", "north", "2024-05-01 10:00:00", (0.1, 0.2, 0.3, 0.4))
    table = with_facts((case,), classes=classes)
    seen = find_seen(table, classes, task="exclusive", threshold=0)
    for write in (tables.write_wide, tables.write_long, tables.write_events, tables.write_zamba):
        (file,) = write(Results(table, classes, "exclusive", seen), ExportSettings(formats=(), out=tmp_path))
        row = pl.read_csv(file).row(0, named=True)
        if write is not tables.write_long:
            assert [row[c] for c in classes] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_names_are_no_formulas_in_tables_for_people(tmp_path: Path) -> None:
    case = Case("=1+1.mp4", "@site", "2024-05-01 10:00:00", (0.1, 0.2, 0.7))
    for write in (tables.write_wide, tables.write_long, tables.write_events):
        assert read(write, tmp_path, (case,))["site"][0] == "'@site"
    assert read(tables.write_zamba, tmp_path, (case,))["filepath"][0] == "=1+1.mp4"  # of programs: as it is
