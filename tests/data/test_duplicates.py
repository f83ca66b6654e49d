"""Copies of a clip stay on one side of every cut."""

import polars as pl
import pytest

from jungle.cli import overrides
from jungle.config.folder import config_dir
from jungle.data.clips import Clips
from jungle.data.duplicates import find_copies, join_copied_sites, lookup_contents
from jungle.data.splits import assign_splits
from jungle.errors import UsageError
from jungle.training import clips as training_clips
from tests.conftest import survey_args


def table(n: int = 40, **columns: list) -> Clips:
    names = [f"c{i:02d}.mp4" for i in range(n)]
    return Clips(
        pl.DataFrame({"clip": names, "path": names, **columns, "a": [i % 2 for i in range(n)]}), ("a",)
    )


def sides(cut: Clips, contents: pl.Series) -> set[int]:
    """How many different splits the copies of one content are in, over all contents."""
    both = pl.DataFrame({"hash": contents, "split": cut.splits()}).drop_nulls("hash")
    return set(both.group_by("hash").agg(pl.col("split").n_unique())["split"])


@pytest.mark.parametrize("sites", [None, [f"s{i % 13:02d}" for i in range(40)]])
@pytest.mark.parametrize("folds", [None, 4])
def test_copies_are_never_on_both_sides(sites, folds) -> None:
    contents = pl.Series([f"h{i % 17}" if i % 3 else None for i in range(40)])
    clips = table(**({} if sites is None else {"site": sites}))
    how = {"folds": folds, "fold": 1 if folds else None, "val_fraction": 0.3}
    plain = [assign_splits(clips, seed=s, **how) for s in range(5)]
    assert any(sides(cut, contents) != {1} for cut in plain)  # else this test could not fail
    few = pl.Series([h if h in ("h1", "h2", "h4") else None for h in contents])
    merged = join_copied_sites(clips, few)
    for seed in range(5):
        assert sides(assign_splits(merged, seed=seed, **how), few) == {1}


def test_sites_that_share_a_copy_go_together_and_others_do_not() -> None:
    clips = table(6, site=["a", "b", "b", "c", "d", None])
    merged = join_copied_sites(clips, pl.Series(["x", "x", "y", "y", "z", None]))
    site = merged.table["site"].to_list()
    assert len(set(site[:4])) == 1
    assert site[4] == "d"
    assert site[5] is None


def test_an_index_of_other_clips_is_refused(tmp_path, caplog) -> None:
    index = tmp_path / "index.parquet"
    pl.DataFrame(
        {"clip": ["c00.mp4", "c01.mp4"], "hash": ["x", "y"], "copy_of": ["c00.mp4"] * 2}
    ).write_parquet(index)
    assert lookup_contents(table(4), index).to_list() == ["c00.mp4", "c00.mp4", None, None]
    assert "2 of 4 clips are not in" in caplog.text
    pl.DataFrame({"clip": ["other"], "hash": ["x"], "copy_of": [None]}).write_parquet(index)
    with pytest.raises(UsageError, match="none of the clips is in it"):
        lookup_contents(table(4), index)
    pl.DataFrame({"clip": ["other"], "hash": ["x"]}).write_parquet(index)
    with pytest.raises(UsageError, match=r"not an index \(no column copy_of\)"):
        lookup_contents(table(4), index)


def test_training_clips_that_are_copies_of_judged_ones_are_named() -> None:
    splits = pl.DataFrame({"clip": ["a", "b", "c", "d"], "split": ["train", "val", "train", "test"]})
    found = find_copies(splits, pl.Series(["x", "x", None, "x"]))
    assert found["clip"].to_list() == ["a"]
    assert found["copy"].to_list() in (["b"], ["d"])


def test_the_setting_reaches_the_splits(survey, tmp_path, caplog) -> None:
    names = sorted(f"clips/{f.name}" for f in (survey / "clips").glob("*.mp4"))
    index = tmp_path / "index.parquet"
    copies = [names[0]] * 2 + [None] * 34
    pl.DataFrame({"clip": names, "hash": names, "copy_of": copies}).write_parquet(index)
    args = [*survey_args(survey), f"data.duplicates={index}"]
    given = training_clips.load(overrides.compose("train", args, config_dir()))[0]
    assert "site" in given.table.columns
    assert set(given.table["site"]) == {f"site{i}" for i in range(6)}  # sites are as they were
    for fold in range(2):
        cfg = overrides.compose("train", [*args, "data.folds=2", f"data.fold={fold}"], config_dir())
        clips = training_clips.load(cfg)[0].table
        assert clips.filter(pl.col("clip").is_in(names[:2]))["split"].n_unique() == 1


def test_an_index_that_writes_names_in_another_case_is_matched_and_said(tmp_path, caplog) -> None:
    clips, index = table(4), tmp_path / "index.parquet"
    names = [n.upper() for n in clips.table["clip"]]
    pl.DataFrame({"clip": names, "hash": names, "copy_of": [names[0]] * 2 + [None] * 2}).write_parquet(index)
    assert lookup_contents(clips, index).to_list() == [names[0]] * 2 + [None] * 2
    assert "4 clips are named in another way" in caplog.text
    pl.DataFrame({"clip": ["c01.mp4"], "hash": ["x"], "copy_of": ["x"]}).write_parquet(index)
    both = Clips(clips.table.with_columns(clip=pl.Series(["c01.mp4", "C01.mp4", "a", "b"])), ("a",))
    assert lookup_contents(both, index).to_list() == ["x", None, None, None]  # a row is of one clip alone
