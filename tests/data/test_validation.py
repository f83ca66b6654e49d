import polars as pl
import pytest

from jungle.data.clips import Clips
from jungle.data.validation import check, format_counts
from jungle.data.validation_report import Problems
from jungle.errors import UserError
from tests.data.loading import load_csv

CLASSES = ("blank", "lion", "ox")


def clips(root, *rows, classes=CLASSES, **more):
    """Rows are (name, split, class names); a name that starts with `-` is not put on disk."""
    names = [r[0].lstrip("-") for r in rows]
    for r in rows:
        if not r[0].startswith("-"):
            (root / r[0]).touch()
    frame = {
        "clip": names,
        "path": [f"{root}/{n}" for n in names],
        "split": [r[1] for r in rows],
        **more,
        **{c: [None if r[2] is None else int(c in r[2]) for r in rows] for c in classes},
    }
    return Clips(pl.DataFrame(frame, schema_overrides=dict.fromkeys(classes, pl.Int8)), classes)


GOOD = (
    ("a.mp4", "train", ("blank",)),
    ("b.mp4", "train", ("lion", "ox")),
    ("c.mp4", "val", ("lion",)),
    ("d.mp4", "test", ("ox",)),
    ("e.mp4", "unlabelled", None),
)


def test_a_good_table_passes_as_it_is(tmp_path):
    table = clips(tmp_path, *GOOD)
    checked = check(table, classes=CLASSES)
    assert checked.clips.table.equals(table.table)
    assert checked.failures.rows() == []
    assert checked.warnings == ()


def test_all_of_it_in_one_message(tmp_path):
    table = clips(
        tmp_path,
        ("a.mp4", "train", ("blank", "ox")),
        ("a.mp4", "train", ("blank",)),
        *((f"-gone{i}.mp4", "train", ("blank",)) for i in range(7)),
        ("d.mp4", "test", ("lion",)),
        ("e.mp4", "tets", ("ox",)),
        classes=(*CLASSES, "pangolin"),
    )
    table = Clips(
        table.table.with_columns(ox=pl.when(pl.col("clip") == "d.mp4").then(3).otherwise("ox")), table.classes
    )
    problems = Problems()
    problems.add("rows are odd", ["x"], "Mend them.")
    with pytest.raises(UserError) as error:
        check(table, classes=CLASSES, problems=problems, where="labels.csv")
    text = str(error.value)
    assert text.startswith("labels.csv: 10 kinds of problems:")
    for part in (
        "1 row is odd: x. Mend them.",
        "1 clip has more than one row: a.mp4.",
        "1 class is unknown: pangolin. Known are blank, lion, ox.",
        "1 label is neither 0 nor 1: ox = 3 of d.mp4.",
        "1 clip is blank and something else at once: a.mp4 (blank and ox).",
        "1 split is unknown: tets.",
        "1 class has no clip at all: pangolin.",
        "1 class has no clip in training: lion.",
        "No labelled clip is for validation",
        "gone3.mp4, " + str(tmp_path) + "/gone4.mp4, .... Correct data.root",
        "7 clips are not on disk",
    ):
        assert part in text
    assert "gone5" not in text


def test_classes_without_clips_are_warnings_where_the_columns_are_fixed(tmp_path):
    table = clips(tmp_path, *GOOD, ("f.mp4", "test", ("rare",)), classes=(*CLASSES, "empty", "rare"))
    assert check(table, strict=False).warnings == (
        "1 class has no clip at all: empty",
        "1 class has no clip in training: rare",
    )


def test_missing_clips_can_be_skipped(tmp_path):
    table = clips(tmp_path, *GOOD, ("-x.mp4", "train", ("ox",)), ("-y.mp4", "test", None))
    with pytest.raises(UserError, match=r"1 clip is not on disk: .*x\.mp4"):
        check(table)
    checked = check(table, missing="skip")
    assert checked.failures.select("clip", "reason").rows() == [
        ("x.mp4", "no such file"),
        ("y.mp4", "no such file"),
    ]
    assert checked.clips.table["clip"].to_list() == [r[0] for r in GOOD]
    assert checked.warnings == ("2 clips are not on disk and are left out: x.mp4, y.mp4",)


def test_an_unlabelled_clip_that_is_not_there_is_a_failure_and_no_error(tmp_path):
    checked = check(clips(tmp_path, *GOOD, ("-y.mp4", "test", None)))
    assert checked.failures["clip"].to_list() == ["y.mp4"]


def test_a_wrong_root_is_suspected_where_nothing_is_there(tmp_path):
    table = clips(tmp_path, *((f"-{r[0]}", r[1], r[2]) for r in GOOD))
    with pytest.raises(
        UserError, match=r"4 clips are not on disk.*None of the 4 is there: is data\.root right"
    ):
        check(table)
    with pytest.raises(UserError, match="2 splits have no clip on disk: train, val"):
        check(table, missing="skip")


def test_the_path_is_the_name_on_disk(tmp_path):
    table = clips(tmp_path, *GOOD)
    (tmp_path / "a.mp4").rename(tmp_path / "a.MP4")
    checked = check(table)
    assert checked.clips.table["path"][0] == f"{tmp_path}/a.MP4"
    assert checked.clips.table["clip"][0] == "a.mp4"


def test_sites_on_both_sides_are_a_warning(tmp_path):
    (warning,) = check(clips(tmp_path, *GOOD, site=["s1", "s2", "s1", "s3", "s2"])).warnings
    assert warning.startswith("1 site is in more than one split (s1)")


def test_labels_of_nothing(tmp_path):
    with pytest.raises(UserError, match="No clip has a label"):
        check(clips(tmp_path, ("a.mp4", "train", None)))


def test_a_clip_of_no_class_is_a_warning_where_blank_is_one(tmp_path):
    (warning,) = check(clips(tmp_path, *GOOD, ("f.mp4", "train", ()))).warnings
    assert warning == "1 labelled clip has no class at all, not even blank"


def test_text_of_a_table_cannot_steer_the_terminal(tmp_path):
    labels = tmp_path / "l.csv"
    labels.write_text("file,split,lion\na\x1b[31m.mp4,\x1b]0;x\x07,1\n")
    with pytest.raises(UserError) as error:
        load_csv(labels)
    assert "\x1b" not in str(error.value)
    assert "\x07" not in str(error.value)


def test_the_counts_as_text(tmp_path):
    assert format_counts(clips(tmp_path, *GOOD)) == (
        "class  train  val  test  unlabelled  all\n"
        "blank      1    0     0           0    1\n"
        "lion       1    1     0           0    2\n"
        "ox         1    0     1           0    2\n"
        "clips      2    1     1           1    5"
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("yak",), "and 1 class without a clip: yak"),
        (tuple("pqrst"), "and 5 classes without a clip: p, q, r, s, t"),
        (tuple("pqrstu"), "and 6 classes without a clip: p, q, r, s, t, ..."),
    ],
)
def test_classes_without_a_clip_are_one_line(tmp_path, more, said):
    few, many = (
        format_counts(clips(tmp_path, *GOOD, classes=("blank", "lion", "ox", *m))) for m in ((), more)
    )
    assert many == f"{few}\n{said}"


def test_a_class_written_in_two_ways_is_an_error_unless_both_are_named(tmp_path):
    classes = ("blank", "red fox", "Red_Fox", "ox")
    rows = [(f"{i}.mp4", "train" if i < 6 else "val", (classes[i % 4],)) for i in range(8)]
    with pytest.raises(UserError, match="written in several ways: red fox = Red_Fox"):
        check(clips(tmp_path, *rows, classes=classes))
    check(clips(tmp_path, *rows, classes=classes), classes=classes)


def test_a_rare_class_one_letter_from_a_common_one_is_a_warning(tmp_path):
    classes = ("leopard", "leopar", "ox")
    rows = [(f"{i}.mp4", "train" if i % 5 else "val", ("ox" if i % 2 else "leopard",)) for i in range(30)]
    checked = check(clips(tmp_path, *rows, ("z.mp4", "train", ("leopar",)), classes=classes))
    assert checked.warnings == (
        "leopar (1 clip) may be a misspelling of leopard (15 clips): correct the table, or keep it if it "
        "is a class of its own",
    )
