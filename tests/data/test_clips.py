import datetime
import random

import numpy as np
import polars as pl
import pytest

from jungle.data.clips import Clips
from jungle.errors import UserError


def table(**more):
    return pl.DataFrame(
        {
            "clip": ["a.mp4", "b.mp4", "c.mp4"],
            "path": ["/r/a.mp4", "/r/b.mp4", "/r/c.mp4"],
            "lion": [1, 0, None],
            "blank": [0, 1, None],
            **more,
        }
    )


def many(n=200, n_classes=8, splits=("train", "val", "test"), seed=0):
    draw = random.Random(seed)
    classes = [f"c{i}" for i in range(n_classes)]
    labels = [draw.choices(range(n_classes), [2.0**-i for i in range(n_classes)])[0] for _ in range(n)]
    labels[:n_classes] = range(n_classes)
    frame = pl.DataFrame(
        {
            "clip": [f"{i}.mp4" for i in range(n)],
            "path": [f"/r/{i}.mp4" for i in range(n)],
            **{c: [int(k == i) for k in labels] for i, c in enumerate(classes)},
        }
    )
    if splits:
        where = ["train" if i < n_classes else draw.choice(splits) for i in range(n)]
        frame = frame.with_columns(pl.Series("split", where))
    return Clips(frame, tuple(classes))


def test_columns_have_their_order_and_types():
    clips = Clips(table(weight=[1, 2, 3], site=["x", None, "y"], other=[1, 2, 3]), ("blank", "lion"))
    assert clips.table.columns == ["clip", "path", "site", "weight", "blank", "lion"]
    assert clips.table.schema["lion"] == pl.Int8
    assert clips.table.schema["weight"] == pl.Float32


def test_targets_are_nan_where_unknown():
    targets = Clips(table(), ("lion", "blank")).targets()
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, [[1, 0], [0, 1], [np.nan, np.nan]])
    assert Clips(table(), ("lion", "blank")).labelled().to_list() == [True, True, False]


def test_a_class_may_not_take_the_name_of_a_column():
    with pytest.raises(UserError, match="cannot be named 'site'"):
        Clips(table(site=[0, 1, 0]), ("lion", "site"))


def test_a_missing_column_is_named():
    with pytest.raises(UserError, match="'path' is missing"):
        Clips(table().drop("path"), ("lion",))


@pytest.mark.parametrize("name", ["clips.parquet", "clips.csv"])
def test_what_is_written_is_read(tmp_path, name):
    clips = Clips(
        table(split=["train", "val", None], site=["s 1", "é,2", None], weight=[0.5, 1, 2]), ("lion", "blank")
    )
    clips.write(tmp_path / name)
    again = Clips.read(tmp_path / name)
    assert again.classes == clips.classes
    assert again.table.equals(clips.table)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_times_survive_parquet(tmp_path):
    times = [datetime.datetime(2017, 1, 1, 5), None, None]
    Clips(table(time=times), ("lion",)).write(tmp_path / "t.parquet")
    assert Clips.read(tmp_path / "t.parquet").table["time"].to_list() == times


def test_reading_something_else_says_so(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=r"x\.parquet: not a Parquet table"):
        Clips.read(tmp_path / "x.parquet")
    (tmp_path / "x.csv").write_text("clip,path,lion\na,b,roar\n")
    with pytest.raises(UserError, match=r"x\.csv: not a clips table"):
        Clips.read(tmp_path / "x.csv")
    with pytest.raises(UserError, match="no such file"):
        Clips.read(tmp_path / "y.csv")


@pytest.mark.parametrize("n", [1, 12, 40])
def test_limit_keeps_every_class_and_every_split(n):
    clips = many().limit(n, seed=3)
    counts = clips.counts()
    assert (counts["train"] > 0).all()
    assert all((clips.splits() == s).sum() >= 2 for s in ("val", "test"))
    assert len(clips) == max(n, 12)


def test_limit_does_not_depend_on_the_order_of_rows():
    clips = many()
    turned = Clips(clips.table.reverse(), clips.classes)
    assert set(clips.limit(30, 1).table["clip"]) == set(turned.limit(30, 1).table["clip"])
    assert set(clips.limit(30, 1).table["clip"]) != set(clips.limit(30, 2).table["clip"])


def test_limit_without_splits_keeps_every_class():
    assert (many(splits=()).limit(8).counts()["all"] > 0).all()


def test_limit_above_the_number_of_clips_changes_nothing():
    assert many().limit(1000).table.equals(many().table)


def test_counts():
    clips = Clips(table(split=["train", "train", "test"]), ("lion", "blank"))
    assert clips.counts().to_dict(as_series=False) == {
        "class": ["lion", "blank"],
        "train": [1, 1],
        "test": [0, 0],
        "all": [1, 1],
    }


def test_limit_lets_one_clip_stand_for_several_classes():
    frame = pl.DataFrame({"clip": list("abcd"), "path": list("abcd"), "x": [1, 1, 0, 0], "y": [1, 0, 1, 1]})
    for seed in range(4):
        clips = Clips(frame.with_columns(z=pl.Series([1, 0, 0, 0])), ("x", "y", "z")).limit(1, seed)
        assert "a" in clips.table["clip"]
        assert len(clips) == 2  # a split has two clips at least
