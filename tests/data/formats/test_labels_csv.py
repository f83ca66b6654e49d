import datetime

import polars as pl
import pytest

from jungle.data.validation_report import Problems
from jungle.errors import UserError
from tests.data.loading import load_csv


def write(folder, text, name="labels.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_long_rows_of_one_clip_are_its_labels(tmp_path):
    labels = write(
        tmp_path,
        "filepath,label,split,site,time,note\n"
        "a.mp4,lion,train,s1,2017-03-01 05:00:00,x\n"
        "x\\b.mp4, hyena ,holdout,s2,,y\n"
        "./a.mp4,hyena,train,,,\n"
        "c.mp4,,val,s1,,\n",
    )
    clips = load_csv(labels)
    assert clips.classes == ("hyena", "lion")
    assert clips.table.select("clip", "split", "site", "hyena", "lion").rows() == [
        ("a.mp4", "train", "s1", 1, 1),
        ("x/b.mp4", "test", "s2", 1, 0),
        ("c.mp4", "val", "s1", None, None),
    ]
    assert clips.table["time"][0] == datetime.datetime(2017, 3, 1, 5)
    assert clips.table["path"][1] == f"{tmp_path}/x/b.mp4"


def test_wide_columns_are_classes(tmp_path):
    labels = write(
        tmp_path,
        "filename;lion;blank;site;observer;weight\na.mp4;1;0;s1;me;\nb.mp4;0.0;TRUE;s2;you;2\nc.mp4;;;;;\n",
    )
    clips = load_csv(labels, "/usr")
    assert clips.classes == ("lion", "blank")
    assert clips.table.select("path", "lion", "blank", "weight").rows() == [
        ("/usr/a.mp4", 1, 0, 1.0),
        ("/usr/b.mp4", 0, 1, 2.0),
        ("/usr/c.mp4", None, None, 1.0),
    ]


@pytest.mark.parametrize("head", ["filepath", "Filename", "FILE", "path", "clip", "video"])
def test_the_column_of_clips_is_found(tmp_path, head):
    assert load_csv(write(tmp_path, f"{head},label\na.mp4,lion\n")).table["clip"].to_list() == ["a.mp4"]


def test_columns_can_be_named(tmp_path):
    labels = write(tmp_path, "where,what,file,split,site,time\na.mp4,lion,7,val,s1,noon\n")
    clips = load_csv(labels, filepath_column="where", label_column="what")
    assert clips.table.rows() == [("a.mp4", f"{tmp_path}/a.mp4", "val", "s1", "noon", 1)]


def test_a_wrong_column_name_gets_the_nearest(tmp_path):
    with pytest.raises(UserError, match=r"no column 'lable' .*Nearest: label"):
        load_csv(write(tmp_path, "filepath,label\na.mp4,lion\n"), label_column="lable")


def test_a_table_without_clips_says_what_is_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"no column names the clips.*there are foo, label.*filepath_column"):
        load_csv(write(tmp_path, "foo,label\na.mp4,lion\n"))


def test_given_classes_have_their_order(tmp_path):
    labels = write(tmp_path, "filepath,label\na.mp4,lion\nb.mp4,hyena\n")
    assert load_csv(labels, classes=["lion", "zebra", "hyena"]).targets().tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(UserError, match=r"1 label is not in data\.classes: hyena"):
        load_csv(labels, classes=["lion"])
    wide = write(tmp_path, "file,lion,night,label\na.mp4,1,7,x\n")
    assert load_csv(wide, classes=["lion"]).table.rows() == [("a.mp4", f"{tmp_path}/a.mp4", 1)]


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    labels = write(
        tmp_path,
        "filepath,split,weight,lion,blank\n"
        "../a.mp4,train,1,1,0\n"
        "/etc/b.mp4,train,1,1,0\n"
        ",train,1,1,0\n"
        "c.mp4,trian,1,2,0\n"
        "d.mp4,val,-1,1,yes\n",
    )
    with pytest.raises(UserError) as error:
        load_csv(labels)
    text = str(error.value)
    assert "6 kinds of problems" in text
    for part in (
        "1 row whose filepath leads out of the root: ../a.mp4 (line 2)",
        "/etc/b.mp4 (line 3)",
        "data.root=/etc",
        "1 row without a filepath: (line 4)",
        "trian (line 5)",
        "-1 (line 6)",
        "2 labels are neither 0 nor 1: lion = 2 (line 5), blank = yes (line 6)",
    ):
        assert part in text


def test_rows_of_one_clip_must_agree(tmp_path):
    labels = write(tmp_path, "filepath,label,site\na.mp4,lion,s1\na.mp4,hyena,s2\n")
    with pytest.raises(UserError, match=r"another site than its first row: a\.mp4 \(line 3\)"):
        load_csv(labels)


def test_a_column_of_comments_is_no_label_column(tmp_path):
    rows = "".join(f"{i}.mp4,comment {i}\n" for i in range(6000))
    with pytest.raises(UserError, match="6000 different names"):
        load_csv(write(tmp_path, "filepath,label\n" + rows))


def test_no_labels_at_all(tmp_path):
    with pytest.raises(UserError, match="no labels"):
        load_csv(write(tmp_path, "filepath,note\na.mp4,nice\n"))
    with pytest.raises(UserError, match="no rows"):
        load_csv(write(tmp_path, "filepath,label\n"))


def test_duplicates_of_a_wide_table_are_left_to_the_checks(tmp_path):
    problems = Problems()
    clips = load_csv(write(tmp_path, "file,lion\na.mp4,1\na.mp4,0\n"), problems=problems)
    assert len(clips) == 2
    assert not problems


def test_parquet_labels(tmp_path):
    pl.DataFrame({"filename": ["a.mp4", "b.mp4"], "lion": [1.0, 0.0], "blank": [False, True]}).write_parquet(
        tmp_path / "l.parquet"
    )
    assert load_csv(tmp_path / "l.parquet").targets().tolist() == [[1, 0], [0, 1]]


def test_sites_of_another_table(tmp_path, caplog):
    labels = write(tmp_path, "filepath,label,site,split\na.mp4,lion,old,train\nb.mp4,hyena,kept,\n")
    sites = write(tmp_path, "filename,site,split,time\na.mp4,s1,val,5pm\nzzz.mp4,s2,,\n", "sites.csv")
    clips = load_csv(labels, sites=sites)
    assert clips.table.select("site", "split", "time").rows() == [("s1", "val", "5pm"), ("kept", None, None)]
    assert "1 of 2 clips have no row" in caplog.text


def test_sites_that_fit_no_clip_are_an_error(tmp_path):
    labels = write(tmp_path, "filepath,label\na.mp4,lion\n")
    with pytest.raises(UserError, match="none of its names is a clip"):
        load_csv(labels, sites=write(tmp_path, "filename,site\nx/a.mp4,s1\n", "sites.csv"))
    with pytest.raises(UserError, match=r"named twice.*: a\.mp4"):
        load_csv(labels, sites=write(tmp_path, "filename,site\na.mp4,s1\na.mp4,s2\n", "sites.csv"))


@pytest.mark.parametrize(
    ("times", "parsed"),
    [
        (["2017-01-01T05:00:00", "2018-01-01T05:00:00"], True),
        (["2017:01:01 05:00:00", "2018:01:01 05:00:00"], True),
        (["2017-01-01 05:00:00", "noon"], False),
        (["2017-01-01T05:00:00+02:00", "2018-01-01T05:00:00Z"], False),
    ],
)
def test_times_are_never_converted(tmp_path, times, parsed):
    rows = "".join(f"{i}.mp4,lion,{t}\n" for i, t in enumerate(times))
    column = load_csv(write(tmp_path, "filepath,label,time\n" + rows)).table["time"]
    assert column.to_list() == times if not parsed else column[0] == datetime.datetime(2017, 1, 1, 5)


LONG, WIDE = "filepath,label\na.mp4,{}\nb.mp4,lion\n", "filename,{},lion\na.mp4,1,0\nb.mp4,0,1\n"


@pytest.mark.parametrize(
    ("form", "name"),
    [
        *((LONG, name) for name in ("clip", "path", "site", "status", "attention", "top_class")),
        *((WIDE, name) for name in ("status", "attention", "top_class")),
    ],
)
def test_a_class_with_the_name_of_a_column_is_refused_at_once(tmp_path, form, name):
    with pytest.raises(UserError, match=f"named '{name}'.*Rename"):
        load_csv(write(tmp_path, form.format(name)))
