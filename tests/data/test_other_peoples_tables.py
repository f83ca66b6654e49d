"""Tables of other programs and other habits: what they mean is what is read, or a line says what is not."""

import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jungle.data import pseudo_labels
from jungle.data.clips import Clips
from jungle.data.encodings import repair_text
from jungle.data.formats import find_clips
from jungle.data.formats.times import is_sortable, read_times
from jungle.data.text import find_scripts, fold_class
from jungle.data.validation import check
from jungle.ensemble import stacking_features
from jungle.errors import UsageError, UserError
from jungle.export.submission import read_template
from jungle.training.run_inputs import _clip_changes
from tests.data.loading import load_csv, load_folders

UUID = "f1856211-cfb7-4a5b-9158-c0f72fd09ee6"


@pytest.fixture(autouse=True)
def _every_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def read(folder: Path, text: str | pl.DataFrame, **settings) -> Clips:
    file = folder / ("t.csv" if isinstance(text, str) else "t.parquet")
    file.write_text(text, encoding="utf-8") if isinstance(text, str) else text.write_parquet(file)
    return load_csv(file, **settings)


def labels(clips: Clips) -> dict[str, set[str] | None]:
    known = clips.labelled().to_list()
    return {
        row["clip"]: {c for c in clips.classes if row[c] == 1} if known[i] else None
        for i, row in enumerate(clips.table.iter_rows(named=True))
    }


def test_observations_without_a_name_are_what_was_observed(tmp_path, caplog) -> None:
    found = read(
        tmp_path,
        "filePath,observationType,scientificName\na.mp4,animal,Sus scrofa\nb.mp4,blank,\nc.mp4,Human,\n"
        "d.mp4,unclassified,\ne.mp4,animal,\nf.mp4,human,Homo sapiens\n",
    )
    assert labels(found) == {
        **{"a.mp4": {"Sus scrofa"}, "b.mp4": {"blank"}, "c.mp4": {"human"}, "d.mp4": None, "e.mp4": None},
        "f.mp4": {"Homo sapiens"},
    }
    assert "labels of rows without one are those of column observationType: 1" in caplog.text


def test_a_genus_is_not_said_twice(tmp_path) -> None:
    rows = (
        "a.mp4,Panthera,Panthera pardus\nb.mp4,Sus,scrofa\nc.mp4,Panthera,P. leo\nd.mp4,Sus,\ne.mp4,Sus,Sus\n"
    )
    found = labels(read(tmp_path, "filepath,genus,species\n" + rows))
    assert [*found.values()] == [{"Panthera pardus"}, {"Sus scrofa"}, {"Panthera leo"}, {"Sus"}, {"Sus"}]


def test_all_ranks_in_one_cell_are_one_label(tmp_path, caplog) -> None:
    found = read(
        tmp_path,
        f"filepath,label\na.mp4,{UUID};mammalia;carnivora;felidae;panthera;pardus;leopard\n"
        f"b.mp4,{UUID};;;;;;blank\nc.mp4,{UUID};aves;;;;;\n",
    )
    assert [*labels(found).values()] == [{"leopard"}, {"blank"}, {"aves"}]
    assert "hold all ranks of a species" in caplog.text


@pytest.mark.parametrize(
    "words", [("FAŁSZ", "PRAWDA"), ("ЛОЖЬ", "ИСТИНА"), ("EPÄTOSI", "TOSI"), ("NEPRAVDA", "PRAVDA")]
)
def test_truth_values_of_spreadsheets_are_read(tmp_path, words) -> None:
    no, yes = words
    found = read(tmp_path, f"filepath,hog,lion\na.mp4,{yes},{no}\nb.mp4,{no},{yes}\n")
    assert labels(found) == {"a.mp4": {"hog"}, "b.mp4": {"lion"}}


def test_a_column_among_the_classes_that_is_none_is_told_and_marks_are_asked(tmp_path, caplog) -> None:
    read(tmp_path, "filepath,hog,lion,blank\na.mp4,1,,0\nb.mp4,0,3,0\n")
    assert "columns stand among those of classes" in caplog.text
    assert "lion ('3', line 3)" in caplog.text
    with pytest.raises(UserError, match="marks alone"):
        read(tmp_path, "filepath,hog,lion,blank\na.mp4,1,-,0\nb.mp4,0,found,0\n")


def test_numbers_that_stand_for_labels_and_flags_are_no_classes(tmp_path) -> None:
    with pytest.raises(UserError, match="no labels"):
        read(tmp_path, "filepath,species_id\na.mp4,0\nb.mp4,1\n")
    assert read(tmp_path, "filepath,hog,reviewed\na.mp4,0,1\nb.mp4,1,0\n").classes == ("hog",)


def test_answers_that_contradict_each_other_are_told(tmp_path, caplog) -> None:
    found = read(tmp_path, "filepath,label,hog\na.mp4,hog,0\nb.mp4,lion,0\na.mp4,lion,0\n")
    assert labels(found)["a.mp4"] == {"hog", "lion"}
    assert "1 clip has rows of different labels, and each is taken: a.mp4 (lines 2 and 4)" in caplog.text
    assert "another answer in column 'hog' than in 'label'" in caplog.text


def test_a_split_is_found_by_what_it_holds(tmp_path) -> None:
    found = read(tmp_path, "filepath,label,partition,phase\na.mp4,hog,Train,x\nb.mp4,lion,holdout,x\n")
    assert found.splits().to_list() == ["train", "test"]
    assert (
        "split" not in read(tmp_path, "filepath,label,dev\na.mp4,hog,train\nb.mp4,lion,train\n").table.columns
    )


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("2021-03-04T10:05", (3, 4, 10)),
        ("4.3.2021 10:05", (3, 4, 10)),
        ("04-Mar-2021 10:05:00", (3, 4, 10)),
        ("2021-03-04 09:05:00 PM", (3, 4, 21)),
        ("20210304_100500", (3, 4, 10)),
    ],
)
def test_times_that_mean_one_thing_are_read(written, means) -> None:
    time = read_times(pl.Series([written, None]))[0]
    assert isinstance(time, datetime.datetime)
    assert (time.month, time.day, time.hour) == means


def test_day_and_month_are_told_apart_by_all_rows_or_not_at_all(tmp_path, caplog) -> None:
    assert read_times(pl.Series(["01/03/2021 10:00", "13/03/2021 10:00"]))[0].month == 3
    assert read_times(pl.Series(["01/03/2021 10:00", "03/13/2021 10:00"]))[0].month == 1
    for unclear in (
        ["01/03/2021 10:00"],
        ["13/03/2021 10:00", "03/13/2021 10:00"],
        ["1.3.21 9:05"],
        ["44256.5"],
    ):
        assert read_times(pl.Series(unclear)).to_list() == unclear
    read(tmp_path, "filepath,label,time\na.mp4,hog,01/03/2021 10:00\nb.mp4,lion,02/03/2021 10:00\n")
    assert "times are kept as text, since '01/03/2021 10:00' (line 2)" in caplog.text


def test_text_is_in_order_of_time_within_one_zone_alone() -> None:
    assert is_sortable(pl.Series(["2021-03-01T10:00:00Z", "2021-03-02T10:00:00Z"]))
    assert not is_sortable(pl.Series(["2021-03-01T10:00:00+01:00", "2021-03-02T10:00:00+02:00"]))
    assert not is_sortable(pl.Series(["01/03/2021 10:00", "02/03/2021 10:00"]))


def test_neighbours_are_not_looked_for_by_text_of_unknown_order() -> None:
    class PredictionMatrix:
        clips = Clips(
            pl.DataFrame(
                {
                    "clip": ["a", "b"],
                    "path": ["a", "b"],
                    "site": ["s", "s"],
                    "time": ["1/3/2021 10:00", "2/3/2021 10:00"],
                }
            ).with_columns(hog=pl.lit(1)),
            ("hog",),
        )
        probs_MNC = np.full((1, 2, 1), 0.5)

    with pytest.raises(UsageError, match="cannot be sorted: '1/3/2021 10:00'"):
        stacking_features.build_neighbour_features(PredictionMatrix)  # type: ignore[arg-type]


def test_a_run_of_times_as_text_has_not_changed_when_they_are_read_better() -> None:
    table = pl.DataFrame({"clip": ["a"], "path": ["a"], "time": ["4.3.2021 10:05"], "hog": [1]})
    before, now = Clips(table, ("hog",)), Clips(table.with_columns(read_times(table["time"])), ("hog",))
    assert _clip_changes(before, now) == []
    other = Clips(table.with_columns(time=pl.lit("5.3.2021 10:05")), ("hog",))
    assert _clip_changes(other, now) == ["times of clips changed: 1 (a)"]


def test_stations_that_nobody_knows_are_none(tmp_path) -> None:
    rows = "".join(f"{i}.mp4,hog,{s}\n" for i, s in enumerate(["S1", "unknown_site", "TBC", "Not set", "0"]))
    assert read(tmp_path, "filepath,label,site\n" + rows).table["site"].to_list() == [
        "S1",
        None,
        None,
        None,
        "0",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "hog=1",
        "hog(0.9)",
        "hog 90%",
        "0.9 hog",
        "(hog)",
        "hog - Copy",
        "Copy of hog",
        "hog copy (2)",
        "Hog 🐗",
        "hogs",
    ],
)
def test_names_that_say_more_than_the_class_are_the_class(name) -> None:
    assert fold_class(name) == fold_class("hog")


def test_names_that_differ_by_a_number_stay_apart() -> None:
    assert len({fold_class(n) for n in ("zone 1", "zone 2", "1", "2", "10", "x2")}) == 6
    assert fold_class("007") == fold_class("7") == fold_class("7.0")


def test_words_about_a_class_and_mixed_scripts_are_told(tmp_path) -> None:
    names = ["hog", "lion", "no hog", "hog or lion", "lion sp.", "jeއbek", "wild hog"]
    rows = "".join(f"{i}.mp4,{n}\n" for i, n in enumerate(names))
    for i in range(len(names)):
        (tmp_path / f"{i}.mp4").touch()
    found = read(tmp_path, "filepath,label\n" + rows).with_columns(split=pl.Series(["train"] * 6 + ["val"]))
    said = check(found, strict=False).warnings
    assert [w.split()[1] for w in said if "words about it" in w] == ["hog", "lion", "no"]
    assert any("jeއbek has letters of several scripts (Latin, Thaana)" in w for w in said)
    assert find_scripts("ヤマネコ豹") == find_scripts("écureuil") == find_scripts("leopard кабан") == []


@pytest.mark.parametrize(
    ("text", "was"),
    [
        ("Ã©cureuil", "écureuil"),
        ("&eacute;cureuil", "écureuil"),
        (r"\u00e9cureuil", "écureuil"),
        ("<U+00E9>cureuil", "écureuil"),
        ("Rivi?re", "(letters lost)"),
        ("\ufffdcureuil", "(letters lost)"),
        *[(fine, None) for fine in ("hog?", "hog; lion?", "AT&T;x", "écureuil", "a ? b")],
    ],
)
def test_names_that_a_program_broke_are_known(text, was) -> None:
    assert repair_text(text) == was


def test_a_broken_name_is_asked_before_its_signs_part_it(tmp_path) -> None:
    with pytest.raises(UserError, match=r"'&eacute;cureuil' \(line 2\) is 'écureuil'"):
        read(tmp_path, "filepath,label\na.mp4,&eacute;cureuil\nb.mp4,hog\n")


@pytest.mark.parametrize("cell", ["hog<br>lion", "hog؛lion", "hog，lion", "hog／lion"])
def test_signs_of_other_scripts_and_of_pages_stand_between_species(tmp_path, cell) -> None:
    found = read(tmp_path, f"filepath,label\na.mp4,hog\nb.mp4,lion\nc.mp4,{cell}\n")
    assert labels(found)["c.mp4"] == {"hog", "lion"}


def test_fields_with_values_are_asked(tmp_path) -> None:
    cell = '"[{""species"":""hog""},{""species"":""lion""}]"'
    with pytest.raises(UserError, match="several species or one class"):
        read(tmp_path, f"filepath,label\na.mp4,hog\nb.mp4,lion\nc.mp4,{cell}\n")


def test_an_empty_list_of_a_parquet_is_asked_as_in_a_csv_and_whole_numbers_have_no_point(tmp_path) -> None:
    table = pl.DataFrame(
        {"filepath": ["a.mp4", "b.mp4"], "label": [["hog"], []]},
        schema_overrides={"label": pl.List(pl.String)},
    )
    with pytest.raises(UserError, match="no label, no animal, or a class"):
        read(tmp_path, table)
    found = read(
        tmp_path, pl.DataFrame({"filepath": ["a.mp4", "b.mp4"], "label": [1.0, None], "site": [2.5, 3.0]})
    )
    assert found.classes == ("1",)
    assert found.table["site"].to_list() == ["2.5", "3.0"]


def test_clips_of_no_weight_at_all_teach_nothing(tmp_path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    text = "filepath,label,split,weight\na.mp4,hog,train,0\nb.mp4,lion,train,0\nc.mp4,hog,val,1\n"
    with pytest.raises(UserError, match="Every training clip has the weight 0"):
        check(read(tmp_path, text), strict=False)


def test_folders_below_those_of_classes_are_told(tmp_path, caplog) -> None:
    for name in ("S1/hog/a.mp4", "S2/hog/b.mp4", "S2/lion/c.mp4", "lost+found/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert load_folders(tmp_path).classes == ("S1", "S2")
    assert "labels are the folders S1, S2; the folders below them are not: hog, lion" in caplog.text


def soft(folder: Path, **more) -> pseudo_labels.SoftLabels:
    clips = Clips(
        pl.DataFrame(
            {"clip": ["a", "b", "c"], "path": ["a", "b", "c"], "split": ["unlabelled"] * 2 + ["train"]}
        ).with_columns(
            hog=pl.Series([None, None, 1], dtype=pl.Int8), lion=pl.Series([None, None, 0], dtype=pl.Int8)
        ),
        ("hog", "lion"),
    )
    table = pl.DataFrame({"clip": ["a", "b", "c"], "hog": [0.7] * 3, "lion": [0.3] * 3, **more})
    table.write_parquet(folder / "s.parquet")
    return pseudo_labels.read(folder / "s.parquet", clips, "exclusive")


def test_soft_labels_of_failed_clips_of_no_weight_and_of_people(tmp_path, caplog) -> None:
    assert soft(tmp_path, status=["FAILED", "ok", "ok"]).numbers.tolist() == [1]
    assert "1 clip has no soft label" in caplog.text
    assert "1 row is of clips with labels of people, and left out" in caplog.text
    with pytest.raises(UserError, match="unknown status: broken"):
        soft(tmp_path, status=["broken", "ok", "ok"])
    with pytest.raises(UserError, match="Every clip has the weight 0"):
        soft(tmp_path, weight=[0, 0, 0])


def test_a_template_without_rows_and_rows_without_a_clip(tmp_path, caplog) -> None:
    (tmp_path / "t.csv").write_text("filename,hog\n")
    with pytest.raises(UsageError, match="names no clip"):
        read_template(tmp_path / "t.csv")
    (tmp_path / "a.mp4").touch()
    (tmp_path / "l.csv").write_text("filepath,x\na.mp4,1\n,2\n")
    assert len(find_clips(tmp_path / "l.csv")) == 1
    assert "1 row names no clip: passed over" in caplog.text
