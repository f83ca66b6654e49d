"""Tables that strangers made: what is read as what, by construction."""

import os

import polars as pl
import pytest

from jungle.config.compose import compose
from jungle.config.folder import config_dir
from jungle.data.paths import resolve_files
from jungle.data.table_io import read_table
from jungle.data.text import is_ambiguous
from jungle.data.validation import _is_made_of, check
from jungle.errors import UsageError, UserError
from jungle.export.submission import Template
from jungle.prediction import requests
from jungle.prediction.requests import ClipRequest
from jungle.training.clips import load
from tests.data.loading import load_csv


def labels_of(clips) -> dict[str, set[str]]:
    return {
        row["clip"]: {c for c in clips.classes if row[c] == 1} for row in clips.table.iter_rows(named=True)
    }


@pytest.mark.parametrize(
    "cell",
    [
        "array(['leopard', 'hog'], dtype=object)",
        'c("leopard", "hog")',
        "set(['leopard', 'hog'])",
        "np.array(['hog', 'leopard'])",
    ],
)
def test_a_list_as_a_program_prints_it_is_several_species(tmp_path, cell) -> None:
    table = tmp_path / "t.csv"
    quoted = cell.replace('"', '""')
    table.write_text(f'filepath,label\na.mp4,leopard\nb.mp4,hog\nc.mp4,"{quoted}"\n')
    assert labels_of(load_csv(table))["c.mp4"] == {"leopard", "hog"}


def test_classes_made_of_others_are_known_by_any_sign_between() -> None:
    folds = {"leopard", "hog", "bushpig"}
    for words in (["leopard", "hog"], ["leopard", "hog", "leopard"], ["hog", "bush", "pig"]):
        assert _is_made_of(words, folds)
    for words in (["hog"], ["leopard", "cub"], ["bush", "hog"]):
        assert not _is_made_of(words, folds)


@pytest.mark.parametrize("word", ["No data", "~", "_", "-999", "k.A.", "=", "n\\a"])
def test_words_that_may_be_nothing_are_asked(word) -> None:
    assert is_ambiguous(word)
    assert not is_ambiguous(f"{word} hog")


def test_a_link_to_a_file_is_no_clip_of_its_own(tmp_path) -> None:
    (tmp_path / "a.mp4").touch()
    os.symlink("a.mp4", tmp_path / "b.mp4")
    table = tmp_path / "t.csv"
    table.write_text("filepath,label,split\na.mp4,hog,train\nb.mp4,leopard,val\n")
    with pytest.raises(UserError, match=r"1 file is named as several clips: a\.mp4 = b\.mp4"):
        check(load_csv(table))
    many = [str(tmp_path / f"c{i}.mp4") for i in range(40)]
    paths = pl.Series([*many, str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")])
    assert resolve_files(paths).n_unique() == 41


def test_zeros_and_ones_are_read_however_they_are_written(tmp_path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("filepath,hog,leopard\na.mp4,01,0.00E+00\nb.mp4,00,1.00E+00\n")
    assert labels_of(load_csv(table)) == {"a.mp4": {"hog"}, "b.mp4": {"leopard"}}


def test_a_class_of_yes_and_no_is_asked_beside_others(tmp_path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("filepath,hog,leopard\na.mp4,1,no\nb.mp4,0,yes\n")
    with pytest.raises(UserError, match=r"marks alone.*leopard"):
        load_csv(table)


def test_a_column_of_labels_without_a_name_is_told(tmp_path, caplog) -> None:
    table = tmp_path / "t.csv"
    table.write_text("filepath,,hog\na.mp4,0,1\nb.mp4,1,0\nc.mp4,1,0\n")
    load_csv(table)
    assert "column 2 (line 4: '1') has no name and is not used" in caplog.text


def test_whole_names_are_taken_before_last_parts(tmp_path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,fullpath,label\n1.mp4,a/1.mp4,hog\n1.mp4,b/1.mp4,leopard\n")
    assert labels_of(load_csv(table)) == {"a/1.mp4": {"hog"}, "b/1.mp4": {"leopard"}}


def test_cells_of_parquet_that_are_no_text_are_told_and_arrays_are_lists(tmp_path, caplog) -> None:
    table = tmp_path / "t.parquet"
    pl.DataFrame(
        {
            "filepath": ["a.mp4", "b.mp4"],
            "label": pl.Series([["hog", "leopard"], ["hog", None]], dtype=pl.Array(pl.String, 2)),
            "box": [{"x": 1}, {"x": 2}],
        }
    ).write_parquet(table)
    assert labels_of(load_csv(table)) == {"a.mp4": {"hog", "leopard"}, "b.mp4": {"hog"}}
    assert "not used: box (Struct)" in caplog.text


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"PK\x03\x04...", "Excel workbook"), (b"\x1f\x8b\x08", "gzip"), (b"PAR1", r"Name it \.parquet")],
)
def test_files_that_are_no_text_are_called_what_they_are(tmp_path, data, says) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(UserError, match=says):
        read_table(tmp_path / "t.csv")


def test_a_class_named_twice_in_the_settings_is_an_error(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("filepath,label\na.mp4,hog\n")
    words = ["data=csv", f"data.labels={tmp_path}/t.csv", f"data.root={tmp_path}"]
    with pytest.raises(UsageError, match="'hog' is named twice"):
        load(compose("train", [*words, "data.classes=[hog,leopard,hog]"], config_dir()))


def test_names_with_a_slash_before_them_lie_below_the_root(tmp_path, caplog) -> None:
    for name in ("cam1/a.mp4", "cam2/b.mp4"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).touch()
    table = tmp_path / "t.csv"
    table.write_text("filepath,label\n/cam1/a.mp4,leopard\n/cam2/b.mp4,hog\n")
    assert labels_of(load_csv(table, tmp_path / "data")) == {"cam1/a.mp4": {"leopard"}, "cam2/b.mp4": {"hog"}}
    assert "2 names begin with /, where no such file is: looked for in" in caplog.text
    table.write_text("filepath,label\n/cam8/a.mp4,leopard\n/cam9/b.mp4,hog\n")
    with pytest.raises(UserError) as error:
        load_csv(table, tmp_path / "data")
    assert "/cam8 is not on this machine" in str(error.value)
    assert "data.root=/" not in str(error.value)


def test_a_class_whose_training_clips_are_all_gone_is_an_error(tmp_path) -> None:
    rows = [(f"{i}.mp4", ("leopard", "hog", "blank")[i % 3], "val" if i > 5 else "train") for i in range(9)]
    table = tmp_path / "t.csv"
    table.write_text("filepath,label,split\n" + "".join(",".join(r) + "\n" for r in rows))
    for name, label, split in rows:
        if (label, split) != ("hog", "train"):
            (tmp_path / name).touch()
    settings = ["data=csv", f"data.labels={table}", f"data.root={tmp_path}", "data.missing=skip"]
    with pytest.raises(UserError, match=r"1 class has no clip in training that is on disk: hog \(lines 3, 6"):
        load(compose("train", settings, config_dir()))
    (tmp_path / "1.mp4").touch()
    assert load(compose("train", settings, config_dir()))[0].classes == ("blank", "hog", "leopard")


def test_a_template_row_of_another_folder_is_another_clip(tmp_path) -> None:
    found = [ClipRequest(c, f"/v/{c}") for c in ("cam1/1.mp4", "cam2/2.mp4", "cam2/3.mp4", "cam1/3.mp4")]

    def rows(*names: str) -> list[str | None]:
        return [
            a.path for a in requests.match_template(Template(tmp_path / "t.csv", "clip", [*names], []), found)
        ]

    assert rows("cam1/1.mp4", "cam9/2.mp4") == ["/v/cam1/1.mp4", None]
    assert rows("x/1.mp4", "x/2.mp4") == ["/v/cam1/1.mp4", "/v/cam2/2.mp4"]
    with pytest.raises(UsageError, match=r"fits? several videos"):
        rows("3.mp4", "cam1/1.mp4")
