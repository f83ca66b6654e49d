import random

import numpy as np
import polars as pl
import pytest

from jungle.data.clips import Clips
from jungle.data.site_splits import fold_sites
from jungle.data.splits import assign_splits
from jungle.errors import UsageError

CLASSES = ("blank", "duiker", "hog", "lion", "rare")


def clips(n=400, n_sites=20, seed=0, multi=0.1, sites=True):
    """Clips whose classes differ by site, as they do in a forest."""
    draw = random.Random(seed)
    taste = [[draw.random() ** 3 for _ in CLASSES] for _ in range(n_sites)]
    rows = []
    for i in range(n):
        site = draw.randrange(n_sites)
        seen = {draw.choices(range(4), taste[site][:4])[0]}
        if draw.random() < multi and 0 not in seen:
            seen.add(draw.randrange(1, 4))
        rows.append((f"{i}.mp4", f"s{site}", seen))
    rows[0][2].add(4)
    other = next(r for r in rows if r[1] != rows[0][1])
    other[2].add(4)
    frame = {"clip": [r[0] for r in rows], "path": [f"/r/{r[0]}" for r in rows], "site": [r[1] for r in rows]}
    frame |= {c: [int(k in r[2]) for r in rows] for k, c in enumerate(CLASSES)}
    table = pl.DataFrame(frame)
    return Clips(table if sites else table.drop("site"), CLASSES)


def sites_of(split_clips, split):
    return set(split_clips.of(split).table["site"].drop_nulls())


@pytest.mark.parametrize("seed", range(12))
def test_by_site(seed):
    table = clips(seed=seed)
    split = assign_splits(table, seed=seed)
    assert not sites_of(split, "train") & sites_of(split, "val")
    counts = split.counts()
    at = [table.table.filter(pl.col(c) == 1)["site"].n_unique() for c in CLASSES]
    for row, n_sites in zip(counts.iter_rows(named=True), at, strict=True):
        assert row["train"] > 0
        if n_sites > 1:
            assert row["val"] > 0, row
    assert 0.1 < len(split.of("val")) / len(table) < 0.3
    common = counts.filter(pl.col("all") > 60)
    assert ((common["val"] / common["all"] - 0.2).abs() < 0.12).all()


@pytest.mark.parametrize("by", ["site", "clip"])
def test_the_order_of_rows_says_nothing_and_the_seed_does(by):
    table = clips(sites=by == "site")
    turned = Clips(table.table.sample(fraction=1, shuffle=True, seed=5), CLASSES)
    for options in ({}, {"test_fraction": 0.2}, {"folds": 4, "fold": 1}):
        one = assign_splits(table, seed=1, **options).table.sort("clip")
        assert assign_splits(turned, seed=1, **options).table.sort("clip").equals(one)
        assert not assign_splits(table, seed=2, **options).table.sort("clip").equals(one)


@pytest.mark.parametrize("seed", range(5))
def test_a_test_split_by_site(seed):
    split = assign_splits(clips(800, 40, seed=seed), test_fraction=0.2, seed=seed)
    parts = [sites_of(split, s) for s in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert 0.1 < len(split.of("test")) / 800 < 0.3
    counts = split.counts().filter(pl.col("class") != "rare")
    assert (counts.select("train", "val", "test").min() > 0).row(0) == (True, True, True)
    assert (split.counts().filter(pl.col("class") == "rare").select("train", "val").row(0)) == (1, 1)


def test_a_class_at_one_site_stays_in_training():
    frame = clips(60, 3).table.with_columns(lion=(pl.col("site") == "s1").cast(pl.Int8))
    for seed in range(5):
        split = assign_splits(Clips(frame, CLASSES), seed=seed, val_fraction=0.5)
        assert "s1" in sites_of(split, "train")


def test_sites_that_rob_each_other(caplog):
    # lion is at s0 and s1, but each of them holds the last of another class: training comes first.
    rows = [("s0", 1, 1, 0), ("s1", 1, 0, 1), ("s2", 0, 0, 0), ("s3", 0, 0, 0)]
    frame = pl.DataFrame(
        {
            "clip": [f"{i}" for i in range(4)],
            "path": [f"{i}" for i in range(4)],
            "site": [r[0] for r in rows],
            "lion": [r[1] for r in rows],
            "ox": [r[2] for r in rows],
            "hog": [r[3] for r in rows],
            "blank": [0, 0, 1, 1],
        }
    )
    split = assign_splits(Clips(frame, ("lion", "ox", "hog", "blank")))
    assert sites_of(split, "train") >= {"s0", "s1"}
    assert len(sites_of(split, "val")) == 1
    assert "not in val" in caplog.text
    assert "lion" in caplog.text


def test_a_way_out_is_found_where_the_best_balanced_sites_rob_each_other():
    # Triangles of two-site classes: val needs one site that serves two of them, and must leave one of each.
    classes = ("ab", "cd", "ac", "bd")
    frame = pl.DataFrame(
        {
            "clip": list("abcd"),
            "path": list("abcd"),
            "site": list("abcd"),
            **{c: [int(s in c) for s in "abcd"] for c in classes},
        }
    )
    for seed in range(10):
        counts = assign_splits(Clips(frame, classes), seed=seed).counts()
        assert (counts["val"] > 0).all()
        assert (counts["train"] > 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_without_sites_every_combination_is_cut_alike(seed):
    table = clips(600, sites=False, seed=seed)
    split = assign_splits(table, seed=seed, val_fraction=0.25)
    assert abs(len(split.of("val")) - 150) <= 3
    whole, held = combinations(table), combinations(split.of("val"))
    for key, n in whole.items():
        assert abs(held.get(key, 0) - n / 4) <= 1.5
    assert (split.counts()["val"] > 0).all()
    assert (split.counts()["train"] > 0).all()


def combinations(table):
    found, n = np.unique(table.labels(), axis=0, return_counts=True)
    return {tuple(f): int(k) for f, k in zip(found.tolist(), n, strict=True)}


@pytest.mark.parametrize("sites", [True, False])
def test_folds_cut_everything_once(sites):
    table = clips(sites=sites)
    vals = [assign_splits(table, folds=5, fold=k, seed=3) for k in range(5)]
    held = [set(v.of("val").table["clip"]) for v in vals]
    assert sorted(c for h in held for c in h) == sorted(table.table["clip"])
    assert max(map(len, held)) - min(map(len, held)) <= (60 if sites else 1)
    for v in vals:
        if sites:
            assert not sites_of(v, "train") & sites_of(v, "val")
        # `rare` is at two sites, so wherever it is held out it is in training too.
        assert (v.counts()["train"] > 0).all()
        assert (v.counts().filter(pl.col("class") != "rare")["val"] > 0).all()


def test_a_class_at_two_sites_is_in_two_folds_although_balance_is_against_it():
    # Sites t, u, v, w; the first two fill two of three folds, so balance would put v and w into the third.
    sizes = np.array([200, 200, 100, 60])
    rare = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    counts = np.column_stack([rare, *[sizes] * 4])
    for seed in range(6):
        fold = fold_sites(counts, sizes, 3, list("tuvw"), seed)
        assert fold[2] != fold[3]


def test_given_splits_stay():
    given = ["train", "val", "test", None] * 100
    table = clips().with_columns(split=pl.Series(given))
    split = assign_splits(table, test_fraction=0.3)
    assert split.splits().to_list() == ["train", "val", "test", "train"] * 100


def test_val_is_cut_from_train_where_only_test_is_given():
    table = clips().with_columns(split=pl.Series(["train", "train", "train", "test"] * 100))
    split = assign_splits(table)
    assert (split.splits().gather_every(4, 3) == "test").all()
    assert 30 < len(split.of("val")) < 90
    assert not sites_of(split, "train") & sites_of(split, "val")
    folded = assign_splits(table, folds=3, fold=0)
    assert len(folded.of("test")) == 100
    assert 60 < len(folded.of("val")) < 140


def test_unlabelled_clips_are_in_no_split_of_labelled_ones():
    frame = clips().table.with_columns(
        pl.when(pl.int_range(pl.len()) >= 350).then(None).otherwise(pl.col(c)).alias(c) for c in CLASSES
    )
    split = assign_splits(Clips(frame, CLASSES))
    assert split.splits()[350:].unique().to_list() == ["unlabelled"]
    assert not (split.splits()[:350] == "unlabelled").any()


def test_clips_without_a_site_are_cut_one_by_one():
    frame = clips(1000).table.with_columns(
        site=pl.when(pl.int_range(pl.len()) % 2 == 0).then(None).otherwise(pl.col("site"))
    )
    split = assign_splits(Clips(frame, CLASSES))
    loose = split.where(split.table["site"].is_null())
    assert abs(len(loose.of("val")) - 100) <= 3
    assert not sites_of(split, "train") & sites_of(split, "val")


def test_one_site_is_cut_clip_by_clip_and_said(caplog):
    table = clips().with_columns(site=pl.Series(["s1"] * 400))
    assert abs(len(assign_splits(table).of("val")) - 80) <= 3
    assert "all clips are of one site" in caplog.text


def test_a_site_a_clip_is_quick():
    table = clips(20_000)
    split = assign_splits(table.with_columns(site=table.table["clip"]))
    assert abs(len(split.of("val")) / 20_000 - 0.2) < 0.02


def test_an_empty_table():
    assert len(assign_splits(Clips(clips().table.head(0), CLASSES))) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"val_fraction": 1.0}, "val_fraction"),
        ({"val_fraction": 0.6, "test_fraction": 0.6}, "sum"),
        ({"folds": 1, "fold": 0}, "from 2 to 100"),
        ({"folds": 5}, "from 0 to 4"),
        ({"folds": 5, "fold": 5}, "from 0 to 4"),
        ({"fold": 1}, r"needs data\.folds"),
        ({"folds": 30, "fold": 0}, "only 20 sites"),
    ],
)
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        assign_splits(clips(), **options)
